"""What evidence states: an in-toto Statement v1, some subjects named by digest and a predicate about them.

A statement is built by a module of ``predicates/``, encoded, signed and wrapped by
`tuneguard.signing.bundle.make_bundle`; reading goes the other way, and nothing is decoded before its
signature has been checked. As in-toto asks, fields that we do not know are ignored.

Source: in-toto attestation framework, ``spec/v1/statement.md`` and ``resource_descriptor.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, field

from tuneguard import limits
from tuneguard.records import read_json, to_json
from tuneguard.typed import JsonStruct, Sha256, Text, read, written

if TYPE_CHECKING:
    from collections.abc import Mapping

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""The DSSE payload type of every statement."""
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
TREE_DIGEST = "dirHash"
"""The key of a tree digest in a digest set. Never beside another key: the three identities (tree, OMS
root, OCI manifest) are not mixed in one set, where a reader may match any of them."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Resource(JsonStruct, frozen=True):
    """An in-toto ResourceDescriptor: something named by its digests."""

    name: Text | None = None
    digest: dict[str, Text] = field(default_factory=dict)
    uri: Text | None = None
    annotations: dict[str, Any] | None = None


class Sha256Set(JsonStruct, frozen=True):
    """The SHA-256 of something."""

    sha256: Sha256

    @property
    def oci(self) -> str:
        """The digest as OCI spells it."""
        return f"sha256:{self.sha256}"


class TreeSet(JsonStruct, frozen=True):
    """The digest of a tree."""

    dir_hash: Sha256


_ALONE = Meta(extra_json_schema={"additionalProperties": False})
OnlySha256 = Annotated[Sha256Set, _ALONE]
OnlyTree = Annotated[TreeSet, _ALONE]
"""We write no other digest beside it; readers overlook one, as any field that they do not know."""


class _Envelope(JsonStruct, frozen=True):
    type: Literal["https://in-toto.io/Statement/v1"] = field(name="_type")
    subject: Annotated[tuple[Resource, ...], Meta(min_length=1)]
    predicate_type: Text
    predicate: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not all(subject.digest for subject in self.subject):
            raise ValueError("a statement needs subjects, each with a digest")


@dataclass(frozen=True)
class Statement:
    """Some subjects, and a predicate of a type about them."""

    subjects: tuple[Resource, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    def encode(self) -> bytes:
        """The bytes to sign: compact JSON with sorted keys."""
        return to_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": [written(subject) for subject in self.subjects],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )

    @classmethod
    def decode(cls, payload: bytes, where: str) -> Statement:
        """Read a payload whose signature has been checked.

        Raises:
            NotUnderstood: not JSON that every reader reads alike (doubled keys, NaN, deep nesting), not a
                Statement v1, or a subject without a digest.
        """
        said = read(read_json(payload, where, limit=limits.BUNDLE_BYTES), _Envelope, where)
        return cls(said.subject, said.predicate_type, said.predicate or {})

    @property
    def tree(self) -> str | None:
        """The tree digest that the first subject names, if it names one and nothing else."""
        return only_digest(self.subjects[0], TREE_DIGEST)


def only_digest(resource: Resource, key: str) -> str | None:
    """A resource's digest if it has exactly one, under `key`, of 64 lower-case hex digits."""
    value = resource.digest.get(key, "") if len(resource.digest) == 1 else ""
    return value if _SHA256.fullmatch(value) else None


def tree_resource(name: str, digest: str) -> Resource:
    """A tree as a subject or dependency, by its tree digest."""
    return Resource(name=name, digest={TREE_DIGEST: digest})
