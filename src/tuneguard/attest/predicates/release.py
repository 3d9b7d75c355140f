"""Release: a promoter's word about what a tag names, from when until when, above which earlier word.

A tag is a name that whoever writes to the registry can move; a release pointer cannot be moved (TRUST.md
rule 23). It speaks of the tree alone and names the manifest in its predicate: a subject would make
``cosign verify`` accept it as if it were the verdict (rule 22).

The sequence grows with every pointer to a tag. Who has seen one believes none below it, so an old release
is not a new one again; ``notAfter`` ends the time in which who has seen none can be shown an old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import Statement, tree_resource

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE = "https://tuneguard.dev/release/v1"
KIND = "release"


@dataclass(frozen=True)
class Release:
    """Which manifest (``sha256:…``) a tag of a repository names.

    ``issued`` and ``not_after`` are RFC 3339 times; ``previous`` is the manifest that the tag named
    before, if it named one.
    """

    model: str
    repository: str
    tag: str
    manifest: str
    sequence: int
    issued: str
    not_after: str
    previous: str | None = None


def to_predicate(body: Release) -> dict[str, Any]:
    """The predicate's JSON values, as ``docs/schemas/release.schema.json`` describes them."""
    predicate: dict[str, Any] = {
        "model": body.model,
        "repository": body.repository,
        "tag": body.tag,
        "manifest": {"sha256": body.manifest.removeprefix("sha256:")},
        "sequence": body.sequence,
        "issued": body.issued,
        "notAfter": body.not_after,
    }
    if body.previous is not None:
        predicate["previous"] = {"sha256": body.previous.removeprefix("sha256:")}
    return predicate


def from_predicate(predicate: Mapping[str, Any], where: str) -> Release:
    """Read a predicate. Raises `NotUnderstood`."""
    fields = Fields.of(predicate, where)
    previous = fields.optional_section("previous")
    body = Release(
        model=fields.text("model"),
        repository=fields.text("repository"),
        tag=fields.text("tag"),
        manifest=f"sha256:{fields.section('manifest').sha256('sha256')}",
        sequence=fields.number("sequence"),
        issued=fields.time("issued"),
        not_after=fields.time("notAfter"),
        previous=None if previous is None else f"sha256:{previous.sha256('sha256')}",
    )
    if datetime.fromisoformat(body.not_after) <= datetime.fromisoformat(body.issued):
        raise fields.wrong("notAfter", "is not after `issued`")
    return body


def from_statement(statement: Statement, where: str) -> Release:
    """Read a statement, which must speak of one tree and of no manifest."""
    only_tree(statement, where)
    return from_predicate(statement.predicate, where)


def statement(tree_name: str, digest: str, body: Release) -> Statement:
    """The statement to sign about the tree `digest`."""
    return Statement((tree_resource(tree_name, digest),), TYPE, to_predicate(body))


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
