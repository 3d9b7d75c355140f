"""An OCI image layout, a folder, as a `Registry`: the embedded default, and what air gaps are crossed with.

::

    oci-layout             version, and the lock
    index.json             every manifest, and the tags (an `Index`)
    blobs/sha256/HEX       blobs and manifests, named by their hash

Nothing that is read is believed by its name: every blob and manifest is hashed while it streams, and a
referrer is one by its own ``subject``, whatever the index states. Writers may be many: blobs are
renamed into place, the index is changed under a lock and replaced whole. Kill one anywhere, push again,
and the layout is what it would have been.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tuneguard import limits
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.files import cannot_look, printable, read_bounded
from tuneguard.oci import folder, referrers
from tuneguard.oci.descriptor import MANIFEST_TYPE, Descriptor, checked_digest, digest_of, is_digest
from tuneguard.oci.index import Index
from tuneguard.oci.manifest import subject_of
from tuneguard.oci.reference import valid_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 128 * 1024  # of longer writes Linux makes more work (`artifact.snapshot.WRITTEN_AT_ONCE`)
_SHOWN_TAGS = 10


class Layout:
    """A `Registry` in a folder, made by the first write."""

    concurrency = 1

    def abandon(self) -> None:
        """Nothing to end: alone nothing runs in another thread."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def name(self) -> str:
        """``oci:`` and the path."""
        return f"oci:{printable(str(self.path))}"

    # --- blobs ------------------------------------------------------------------------------------

    def has_blob(self, digest: str, size: int | None = None) -> bool:
        """Whether the blob is there, whole: it is hashed. A layout that is not there has none."""
        hex, hasher = _hex(digest), hashlib.sha256()
        if not os.path.lexists(self.path / folder.HEADER):
            return False
        with folder.opened(self.path) as root:
            try:
                descriptor = folder.open_blob(root, hex, self._blob(digest))
            except Refused:  # a link or worse under its name: to be replaced, not to be believed
                return False
        if descriptor is None:
            return False
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if size is not None and os.fstat(descriptor).st_size != size:
                return False
            while chunk := self._read(file, digest):
                hasher.update(chunk)
        return hasher.hexdigest() == hex

    def put_blob(self, digest: str, size: int, open: Callable[[], BinaryIO]) -> bool:
        """Store a blob; False if it was there already. A wrong one under its name is replaced.

        Raises:
            Refused: what `open` gave is not `size` bytes with that digest. Nothing is stored.
        """
        hex = _hex(digest)
        if self.has_blob(digest, size):
            return False
        with folder.incoming(self.path) as (descriptor, name), folder.opened(self.path) as root:
            self._receive(descriptor, digest, size, open)
            folder.publish_blob(root, descriptor, name, hex, self._blob(digest))
        return True

    def read_blob(self, digest: str, size: int) -> Iterator[bytes]:
        """The blob in chunks, verified; see `Registry.read_blob`."""
        with folder.opened(self.path) as root:
            descriptor = folder.open_blob(root, _hex(digest), self._blob(digest))
        if descriptor is None:
            raise CannotLook("the layout lacks a blob", where=self._blob(digest), help="push again")
        yield from self._verified(descriptor, digest, size)

    def _verified(self, descriptor: int, digest: str, size: int) -> Iterator[bytes]:
        """Yield what is read while it hashes on; the last chunk only once all of it is right."""
        hasher, left, held = hashlib.sha256(), size, b""
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor).st_size
            if found != size:
                raise self._wrong(digest, f"has {found:,} bytes, not {size:,}")
            while chunk := self._read(file, digest):
                left -= len(chunk)
                hasher.update(chunk)
                if left < 0:
                    raise self._wrong(digest, "grew while it was read")
                if held:
                    yield held
                held = chunk
        if left or f"sha256:{hasher.hexdigest()}" != digest:
            raise self._wrong(digest, f"hashes to {hasher.hexdigest()[:12]}")
        if held:
            yield held

    def _read(self, file: BinaryIO, digest: str) -> bytes:
        try:
            return file.read(_CHUNK)
        except OSError as error:
            raise cannot_look(error, self._blob(digest)) from error

    def _receive(self, descriptor: int, digest: str, size: int, open: Callable[[], BinaryIO]) -> None:
        """Write what `open` gives, hashed on the way: the stored bytes are the bytes that were hashed."""
        hasher, left = hashlib.sha256(), size
        try:
            with contextlib.closing(open()) as source:
                while left >= 0 and (chunk := source.read(_CHUNK)):
                    left -= len(chunk)
                    hasher.update(chunk)
                    folder.write_all(descriptor, chunk, self._blob(digest))
        except OSError as error:
            raise cannot_look(error, f"the source of {digest[:19]}") from error
        if left or f"sha256:{hasher.hexdigest()}" != digest:
            raise Refused(
                f"what was to be pushed as {digest[:19]} has changed since it was hashed",
                where=self.name,
                help="find out who wrote to it; nothing was stored under that name",
            )

    # --- manifests and tags -----------------------------------------------------------------------

    def put_manifest(self, data: bytes, media_type: str = MANIFEST_TYPE) -> str:
        """Store a manifest and list it in the index; returns its digest."""
        import io

        if len(data) > limits.OCI_MANIFEST_BYTES:
            raise Refused(f"a manifest of {len(data):,} bytes is too large for registries", where=self.name)
        digest = digest_of(data)
        _, artifact_type, _ = subject_of(data, f"{self.name}@{digest}")
        self.put_blob(digest, len(data), lambda: io.BytesIO(data))
        descriptor = Descriptor(media_type, digest, len(data), artifact_type)
        self._change(lambda index: index.with_manifest(descriptor))
        return digest

    def read_manifest(self, reference: str) -> bytes:
        """The manifest that a digest or a tag names, checked against the digest.

        Raises:
            UsageError: no tag of that name is there.
        """
        digest = reference if is_digest(reference) else self.resolve(reference)
        if digest is None:
            known = sorted(self._index().tags())
            some = ", ".join(printable(tag) for tag in known[:_SHOWN_TAGS])
            raise UsageError(
                f"has no tag {printable(reference)[:128]}",
                where=self.name,
                help=f"tags that it has: {some}" if known else "it has no tags at all",
            )
        with folder.opened(self.path) as root:
            descriptor = folder.open_blob(root, _hex(digest), self._blob(digest))
        if descriptor is None:
            raise UsageError(f"has no manifest {digest[:19]}", where=self.name, help="check the digest")
        size = os.fstat(descriptor).st_size
        if size > limits.OCI_MANIFEST_BYTES:
            os.close(descriptor)
            raise self._wrong(digest, f"has {size:,} bytes, too many for a manifest")
        return b"".join(self._verified(descriptor, digest, size))

    def tag(self, name: str, digest: str) -> str | None:
        """Make a tag name a manifest of this layout; returns the digest that it named before.

        Raises:
            UsageError: no such manifest is there, or `name` cannot be a tag.
            Refused: the index lists no such manifest, or somebody moved the tag at the same time.
        """
        if not valid_tag(name):
            raise UsageError(f"{printable(name)[:128]} cannot be a tag", help="letters, digits, . _ and -")
        self.read_manifest(digest)
        before: list[str | None] = []

        def change(index: Index) -> Index:
            before.append(index.resolve(name))
            listed = [entry for entry in index.descriptors() if entry.digest == digest]
            if not listed:
                raise Refused(f"the layout lists no manifest {digest[:19]}", where=self.name)
            return index.with_tag(name, listed[0])

        self._change(change)
        if self.resolve(name) != digest:  # a tool that takes no lock
            raise Refused(f"the tag {name} was moved by somebody else", where=self.name, help="tag again")
        return before[-1]

    def resolve(self, tag: str) -> str | None:
        """The digest that a tag names now, or None."""
        return self._index().resolve(tag)

    def referrers(self, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """The manifests whose subject is `digest`, each read and its own subject checked.

        Those in an index within the layout's index are found as well, as other tools nest them.
        """

        def read(entry: Descriptor, claims: bool) -> bytes | None:  # noqa: FBT001 (as `among` calls it)
            return self.read_manifest(entry.digest) if claims else self._any_manifest(entry.digest)

        entries = self._index().descriptors()
        return referrers.among(entries, digest, artifact_type, read, self.name, nested=True)

    def _any_manifest(self, digest: str) -> bytes | None:
        """The bytes of what may be a manifest; None where there is nothing, or too much for one."""
        with folder.opened(self.path) as root:
            descriptor = folder.open_blob(root, _hex(digest), self._blob(digest))
        if descriptor is None:
            return None
        size = os.fstat(descriptor).st_size
        if size > limits.OCI_MANIFEST_BYTES:
            os.close(descriptor)
            return None
        return b"".join(self._verified(descriptor, digest, size))

    def _index(self) -> Index:
        with folder.opened(self.path):
            path = self.path / folder.INDEX
            return Index.parse(read_bounded(path, limits.OCI_INDEX_BYTES), str(path))

    def _change(self, change: Callable[[Index], Index]) -> None:
        """Read, change and replace the index under the lock, so that no other writer's change is lost."""
        with folder.locked(self.path) as root:
            before = self._index()
            after = change(before)
            if after != before:
                folder.replace_index(root, self.path, after.encode())

    def _blob(self, digest: str) -> str:
        return f"{self.name}/blobs/sha256/{digest.partition(':')[2][:12]}"

    def _wrong(self, digest: str, what: str) -> Refused:
        return Refused(
            f"the blob {digest[:19]} {what}",
            where=self.name,
            help="the layout was damaged or tampered with: push again from the source",
        )


def _hex(digest: str) -> str:
    """The file's name of a digest."""
    return checked_digest(digest).partition(":")[2]
