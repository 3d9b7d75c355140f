"""What pushing and pulling need of a registry: one protocol over a folder and, later, a server.

An implementation verifies every blob while it streams and every manifest before it is returned:
bytes that do not hash to the digest asked for never reach a caller as if they did. Its caller
pushes in the order of TRUST.md rule 25: blobs, manifest by digest, evidence, and the tag last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

from tuneguard.errors import CannotLook, Refused
from tuneguard.files import printable
from tuneguard.oci.descriptor import MANIFEST_TYPE, Descriptor
from tuneguard.oci.manifest import BUNDLE_TYPE, Referrer, read_referrer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Registry(Protocol):
    """One repository of a registry. Digests are ``sha256:`` and 64 hex.

    Every method raises `Refused` where bytes do not match their digest, and `CannotLook` where the
    registry cannot be reached, read or written.
    """

    concurrency: int
    """How many blobs may be sent or fetched at once, from as many threads."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def abandon(self) -> None:
        """End what other threads do with it, which then raises, and begin nothing more: for good."""

    def has_blob(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is there, whole, and of that size if one is given: give it where it is known."""

    def put_blob(self, digest: str, size: int, open: Callable[[], BinaryIO]) -> bool:
        """Store a blob that hashes to `digest`; False if it was there already and nothing was sent.

        `open` is called for each try, and only if the blob is needed.

        Raises:
            Refused: what `open` gave is not `size` bytes with that digest. Nothing is stored.
        """

    def read_blob(self, digest: str, size: int) -> Iterator[bytes]:
        """The blob in chunks. Believe none of them before the iterator ends without an error.

        Raises:
            Refused: at the end at the latest, if the bytes are not `size` bytes with that digest.
            CannotLook: there is no such blob.
        """

    def put_manifest(self, data: bytes, media_type: str = MANIFEST_TYPE) -> str:
        """Store a manifest by its digest, which is returned. What it names should be there before."""

    def read_manifest(self, reference: str) -> bytes:
        """The manifest that a digest or a tag names, checked against the digest.

        Raises:
            UsageError: nothing has that name.
        """

    def tag(self, name: str, digest: str) -> str | None:
        """Make a tag name a manifest that is there; returns the digest that it named before.

        Raises:
            UsageError: no such manifest is there.
            Refused: somebody else moved the tag at the same time.
        """

    def resolve(self, tag: str) -> str | None:
        """The digest that a tag names now, or None."""

    def referrers(self, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """The manifests whose subject is `digest`, each one's own subject checked."""


def read_bytes(registry: Registry, descriptor: Descriptor, limit: int) -> bytes:
    """A small blob, whole and verified.

    Raises:
        CannotLook: it is larger than `limit` bytes.
    """
    if descriptor.size > limit:
        raise CannotLook(
            f"{descriptor.digest[:19]} has {descriptor.size:,} bytes, over the limit of {limit:,}",
            where=registry.name,
        )
    return b"".join(registry.read_blob(descriptor.digest, descriptor.size))


def attach(registry: Registry, attached: Referrer) -> str:
    """Push evidence: its blobs, then its manifest; returns the manifest's digest."""
    import io

    for digest, data in attached.blobs.items():
        registry.put_blob(digest, len(data), lambda data=data: io.BytesIO(data))  # type: ignore[misc]
    return registry.put_manifest(attached.data)


def bundles(registry: Registry, digest: str, *, files: int, limit: int) -> Iterator[bytes]:
    """The bundles attached to a manifest: at most `files` of them, `limit` bytes together.

    Raises:
        CannotLook: there are more. None is left out in silence.
        NotUnderstood: a referrer of the bundle's type is not one.
    """
    found = registry.referrers(digest, BUNDLE_TYPE)
    if len(found) > files:
        raise CannotLook(
            f"{len(found):,} bundles are attached to {digest[:19]}, over the limit of {files:,}",
            where=registry.name,
        )
    left = limit
    for descriptor in found:
        where = f"{registry.name}@{descriptor.digest}"
        subject, bundle = read_referrer(registry.read_manifest(descriptor.digest), where)
        if subject.digest != digest:
            raise Refused("a referrer has another subject than it was listed for", where=printable(where))
        left -= bundle.size
        if left < 0:
            raise CannotLook(f"the bundles of {digest[:19]} are over {limit:,} bytes", where=registry.name)
        yield read_bytes(registry, bundle, limit)
