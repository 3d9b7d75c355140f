"""What evidence says: an in-toto Statement v1, some subjects named by digest and a predicate about them.

A statement is built by a module of ``predicates/``, encoded, signed and wrapped by
`tuneguard.signing.bundle.make_bundle`; reading goes the other way, and nothing is decoded before its
signature has been checked. As in-toto asks, fields that we do not know are ignored.

Source: in-toto attestation framework, ``spec/v1/statement.md`` and ``resource_descriptor.md``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.attest.fields import Fields
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.records import read_json, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""The DSSE payload type of every statement."""
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
TREE_DIGEST = "dirHash"
"""The key of a tree digest in a digest set. Never beside another key: the three identities (tree, OMS
root, OCI manifest) are not mixed in one set, where a reader may match any of them."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Resource:
    """An in-toto ResourceDescriptor: something named by its digests."""

    name: str | None
    digest: Mapping[str, str]
    uri: str | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The descriptor as JSON values; what is empty is left out."""
        values = {
            "name": self.name,
            "uri": self.uri,
            "digest": dict(self.digest),
            "annotations": dict(self.annotations),
        }
        return {key: value for key, value in values.items() if value not in (None, {})}

    @classmethod
    def from_fields(cls, fields: Fields) -> Resource:
        """Read one. Raises `NotUnderstood`."""
        return cls(
            name=fields.optional_text("name"),
            digest=fields.texts_by_key("digest") if fields.has("digest") else {},
            uri=fields.optional_text("uri"),
            annotations=fields.mapping("annotations") if fields.has("annotations") else {},
        )


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
                "subject": [subject.to_json() for subject in self.subjects],
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
        fields = Fields.of(read_json(payload, where, limit=limits.BUNDLE_BYTES), where)
        if fields.text("_type") != STATEMENT_TYPE:
            raise NotUnderstood(f"_type is not {STATEMENT_TYPE}", where=printable(where))
        subjects = tuple(Resource.from_fields(subject) for subject in fields.sections("subject"))
        if not subjects or not all(subject.digest for subject in subjects):
            raise NotUnderstood("a statement needs subjects, each with a digest", where=printable(where))
        return cls(
            subjects=subjects,
            predicate_type=fields.text("predicateType"),
            predicate=fields.mapping("predicate") if fields.has("predicate") else {},
        )

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
