"""Seal: a steward's word that a data set, evaluation set or base model is this tree, and what it is.

The files are listed with size and SHA-256, so that the seed's ``manifest.json`` and ``checksums.sha256`` can
be made again from the verified statement alone, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import Statement, tree_resource
from tuneguard.errors import NotUnderstood, TuneguardError
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE = "https://tuneguard.dev/seal/v1"
KIND = "seal"
KINDS = ("dataset", "evaluation", "base")


@dataclass(frozen=True)
class Seal:
    """What was sealed, as the steward describes it.

    ``inside`` says that the seal's own files lie in the tree and are left out of ``files``. ``rows`` and
    ``rows_digest`` count and digest canonical row hashes, for data that has rows. ``scan`` is a base's.
    """

    kind: str
    name: str
    version: str
    source: str
    license: str
    classification: str
    files: tuple[File, ...]
    created: str
    inside: bool = False
    rows: int | None = None
    rows_digest: str | None = None
    scan: Mapping[str, Any] | None = None

    @property
    def manifest(self) -> Manifest:
        """The sealed files as a manifest."""
        return Manifest(self.files)


def to_predicate(body: Seal) -> dict[str, Any]:
    """The predicate's JSON values, as ``docs/schemas/seal.schema.json`` describes them."""
    predicate: dict[str, Any] = {
        "kind": body.kind,
        "name": body.name,
        "version": body.version,
        "source": body.source,
        "license": body.license,
        "classification": body.classification,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in body.files],
        "created": body.created,
        "inside": body.inside,
    }
    if body.rows is not None:
        predicate["rows"] = {"count": body.rows, "digest": {"sha256": body.rows_digest}}
    if body.scan is not None:
        predicate["scan"] = dict(body.scan)
    return predicate


def from_predicate(predicate: Mapping[str, Any], where: str) -> Seal:
    """Read a predicate. Raises `NotUnderstood`."""
    fields = Fields.of(predicate, where)
    rows = fields.optional_section("rows")
    return Seal(
        kind=fields.one_of("kind", KINDS),
        name=fields.text("name"),
        version=fields.text("version"),
        source=fields.text("source"),
        license=fields.text("license"),
        classification=fields.text("classification"),
        files=tuple(
            File(file.text("path"), file.number("size"), file.sha256("sha256"))
            for file in fields.sections("files")
        ),
        created=fields.time("created"),
        inside=fields.flag("inside"),
        rows=rows.number("count") if rows else None,
        rows_digest=rows.section("digest").sha256("sha256") if rows else None,
        scan=fields.mapping("scan") if fields.has("scan") else None,
    )


def from_statement(statement: Statement, where: str) -> Seal:
    """Read a statement, whose one subject must be the tree of the files that it lists."""
    tree = only_tree(statement, where)
    body = from_predicate(statement.predicate, where)
    try:
        listed = body.manifest.digest
    except (TuneguardError, ValueError) as error:
        raise NotUnderstood(f"the files listed are no tree: {error}", where=printable(where)) from error
    if listed != tree:
        raise NotUnderstood("the subject is not the tree of the files listed", where=printable(where))
    return body


def statement(tree_name: str, digest: str, body: Seal) -> Statement:
    """The statement to sign about the tree `digest`."""
    return Statement((tree_resource(tree_name, digest),), TYPE, to_predicate(body))


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
