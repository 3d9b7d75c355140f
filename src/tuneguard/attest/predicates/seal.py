"""Seal: a steward's word that a data set, evaluation set or base model is this tree, and what it is.

The files are listed with size and SHA-256, so that cosign's ``manifest.json`` and ``checksums.sha256`` can
be made again from the verified statement alone, byte for byte.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import OnlySha256, OnlyTree, Statement
from tuneguard.errors import NotUnderstood, TuneguardError
from tuneguard.files import printable
from tuneguard.typed import Count, JsonStruct, Sha256, Text, Time, about, check_times

TYPE = "https://tuneguard.dev/seal/v1"
KIND = "seal"
Kind = Literal["dataset", "evaluation", "base"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Rows(JsonStruct, frozen=True):
    """For data that has rows."""

    count: Count
    digest: Annotated[OnlySha256, about("SHA-256 of the sorted row hashes, 32 bytes each, as in rows-*.bin.")]


class Signed(JsonStruct, frozen=True):
    """Another's signature over these files, which the steward verified when sealing them."""

    digest: Annotated[OnlySha256, about("SHA-256 of the signature's file.")]
    signer: Annotated[Text, about("Who was named as its signer: a key by its id, or an identity.")]


class Origin(JsonStruct, frozen=True):
    """A sealed tree that these files were made from."""

    name: Text
    version: Text
    digest: OnlyTree
    seal: Annotated[OnlySha256, about("SHA-256 of the bundle of its seal.")]


class Transform(JsonStruct, frozen=True):
    """The code that made these files."""

    name: Text
    digest: Annotated[
        dict[str, Sha256],
        Meta(min_length=1, description="dirHash of a folder, or sha256 of one file."),
    ]


class Derived(JsonStruct, frozen=True):
    """What these files were made from, and by which code, as the steward states."""

    inputs: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    transform: Transform | None = None


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

    signed: Annotated[Signed | None, about("Absent where no signature was verified.")] = None
    derived: Annotated[Derived | None, about("Absent where nothing is stated.")] = None

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
