"""Seal: a steward's word that a data set, evaluation set or base model is this tree, and what it is.

The files are listed with size and SHA-256, so that cosign's ``manifest.json`` and ``checksums.sha256`` can
be made again from the verified statement alone, byte for byte.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import OnlySha256, Statement
from tuneguard.errors import NotUnderstood, TuneguardError
from tuneguard.files import printable
from tuneguard.typed import Count, JsonStruct, Text, Time, about, check_times

TYPE = "https://tuneguard.dev/seal/v1"
KIND = "seal"
Kind = Literal["dataset", "evaluation", "base"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Rows(JsonStruct, frozen=True):
    """For data that has rows."""

    count: Count
    digest: Annotated[OnlySha256, about("SHA-256 of the sorted row hashes, 32 bytes each, as in rows-*.bin.")]


class Seal(JsonStruct, frozen=True, kw_only=True):
    """A data steward's word about a data set, an evaluation set or a base model.

    The statement's one subject is the tree of the files listed.
    """

    kind: Kind
    name: Text
    version: Text
    source: Annotated[Text, about("Where it came from.")]
    license: Text
    classification: Text
    files: Annotated[tuple[File, ...], about("Every file, sorted by the bytes of its path.")]
    created: Time
    inside: Annotated[bool, about("The seal's own files lie in the tree and are left out of `files`.")]
    rows: Rows | None = None
    scan: Annotated[
        dict[str, Any] | None,
        about("The steward's own scan of a base model, as the scan predicate holds it."),
    ] = None

    def __post_init__(self) -> None:
        check_times(created=self.created)

    @property
    def manifest(self) -> Manifest:
        """The sealed files as a manifest."""
        return Manifest(self.files)


def _check(statement: Statement, body: Seal, where: str) -> None:
    """The one subject is the tree of the files listed."""
    tree = only_tree(statement, where)
    try:
        listed = body.manifest.digest
    except (TuneguardError, ValueError) as error:
        raise NotUnderstood(f"the files listed are no tree: {error}", where=printable(where)) from error
    if listed != tree:
        raise NotUnderstood("the subject is not the tree of the files listed", where=printable(where))


PREDICATE = Predicate(KIND, TYPE, Seal, _check)
