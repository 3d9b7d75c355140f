"""A descriptor: what names a blob in OCI, by media type, digest and size.

Image specification v1.1, descriptor.md. Only ``sha256:`` digests in lower hex are understood, sizes
are bounded to what any JSON reader keeps exactly, and annotations are text by text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tuneguard.errors import NotUnderstood, UsageError
from tuneguard.files import printable

if TYPE_CHECKING:
    from typing import Self

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_BLOB = b"{}"
"""What the empty descriptor names: no content, in a form that every registry stores."""
TITLE = "org.opencontainers.image.title"
"""The annotation that ``oras pull`` names a file by."""

_MAX_SIZE = 2**53 - 1
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")


def digest_of(data: bytes) -> str:
    """``sha256:`` and the hash of bytes at hand."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_digest(text: object) -> bool:
    """Whether `text` is ``sha256:`` and 64 lower hex digits, the only digests that we use."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def checked_digest(text: str) -> str:
    """The digest that `text` is.

    Raises:
        UsageError: it is none. Nothing but ``sha256:`` and 64 hex digits becomes part of a path or a URL.
    """
    if not is_digest(text):
        raise UsageError(f"{printable(text)[:80]} is not a digest", help="sha256: and 64 hex digits")
    return text


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Names a blob: ``digest`` is ``sha256:`` and 64 hex, ``size`` counts bytes."""

    media_type: str
    digest: str
    size: int
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.partition(":")[2]

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it; what is empty is left out."""
        plain: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type is not None:
            plain["artifactType"] = self.artifact_type
        if self.annotations:
            plain["annotations"] = dict(self.annotations)
        return plain

    @classmethod
    def from_plain(cls, value: object, where: str) -> Self:
        """From untrusted JSON; unknown fields are ignored, as the specification asks.

        What may be left out may be ``null`` (an artifact type also ``""``): programs in Go write it so.

        Raises:
            NotUnderstood: it is not a descriptor, or of another hash than SHA-256.
        """
        if not isinstance(value, Mapping):
            raise _not_one("is not a mapping", where)
        digest, size, kind = value.get("digest"), value.get("size"), value.get("artifactType")
        if not is_digest(digest):
            raise _not_one("has no sha256 digest in lower-case hex", where)
        if type(size) is not int or not 0 <= size <= _MAX_SIZE:
            raise _not_one("has no size", where)
        return cls(
            media_type=_media_type(value.get("mediaType"), where),
            digest=str(digest),
            size=size,
            artifact_type=None if not kind else _media_type(kind, where),
            annotations=annotations_of(value.get("annotations"), where),
        )


def annotations_of(value: object, where: str) -> Mapping[str, str]:
    """Annotations from JSON: a mapping from text to text, or None where there are none.

    Raises:
        NotUnderstood: they are something else.
    """
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise _not_one("has annotations that are not text", where)
    return MappingProxyType(dict(value))


def of_bytes(data: bytes, media_type: str, **more: Any) -> Descriptor:
    """The descriptor of bytes at hand."""
    return Descriptor(media_type, digest_of(data), len(data), **more)


def _media_type(value: object, where: str) -> str:
    if not isinstance(value, str) or _MEDIA_TYPE.fullmatch(value) is None:
        raise _not_one("has no media type", where)
    return value


def _not_one(what: str, where: str) -> NotUnderstood:
    return NotUnderstood(f"a descriptor {what}", where=printable(where))
