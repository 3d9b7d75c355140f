"""A repository on a registry's server as a `Registry` (OCI distribution specification v1.1).

Nothing is believed of the server: bytes are hashed here, a tag and a manifest are read again
after they were written, and a referrer is one by its own ``subject``.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import printable
from tuneguard.oci import fallback, referrers, upload
from tuneguard.oci.descriptor import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    checked_digest,
    digest_of,
    is_digest,
)
from tuneguard.oci.http import Broken, Tries, joined, shown
from tuneguard.oci.index import Index, is_index
from tuneguard.oci.manifest import subject_of
from tuneguard.oci.reference import valid_tag
from tuneguard.oci.repository import Repository
from tuneguard.records import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneguard.oci.http import Transport

_RANGE = re.compile(r"bytes (\d{1,18})-", re.ASCII).match
_LINK = re.compile(r"<([^>]*)>([^<]*)")
_IS_NEXT = re.compile(r";\s*rel\s*=\s*\"?next\b", re.IGNORECASE).search


class _NoRanges(Exception):
    """The registry does not serve the range that was asked for."""


class Server(Repository):
    """A `Registry` over HTTP. Its methods may be called from several threads."""

    concurrency = 4

    def __init__(
        self,
        transport: Transport,
        repository: str,
        *,
        mount_from: str | None = None,
        piece: int = upload.PIECE,
    ) -> None:
        super().__init__(transport, repository, mount_from=mount_from)
        self._piece = piece

    # --- blobs ------------------------------------------------------------------------------------

    def put_blob(self, digest: str, size: int, open: Callable[[], BinaryIO]) -> bool:
        """Upload a blob, mounted or sent; False if it was there already."""
        if self.has_blob(digest, size):
            return False
        upload.put(self, checked_digest(digest), size, open, mount_from=self._mount_from, piece=self._piece)
        if not self.has_blob(digest, size):
            raise CannotLook("reported that it stored a blob, and has none", where=f"{self.name}@{digest}")
        return True

    def read_blob(self, digest: str, size: int) -> Iterator[bytes]:
        """The blob in chunks, verified; see `Registry.read_blob`. A broken connection is resumed."""
        hasher, held = hashlib.sha256(), b""
        for chunk in self._resumed(digest, size):
            hasher.update(chunk)
            if held:
                yield held
            held = chunk
        if f"sha256:{hasher.hexdigest()}" != digest:
            raise self.wrong(digest, f"hashes to {hasher.hexdigest()[:12]}")
        if held:
            yield held

    def _resumed(self, digest: str, size: int) -> Iterator[bytes]:
        """The `size` bytes of a blob, unverified, over as many connections as it takes."""
        at, ranges = 0, True
        tries = Tries(self.transport, size)
        while at < size:
            try:
                for chunk in self._from(digest, size, at, ranges=ranges):
                    at += len(chunk)
                    if at > size:
                        raise self.wrong(digest, f"has more than {size:,} bytes")
                    yield chunk
                if at < size:
                    raise Broken(f"sent {at:,} of {size:,} bytes", where=f"{self.name}@{digest[:19]}")
            except _NoRanges:
                ranges = False
            except Broken as error:
                if at < size:
                    tries.again(error, at)

    def _from(self, digest: str, size: int, at: int, *, ranges: bool) -> Iterator[bytes]:
        """What follows the first `at` bytes: asked for as a range, or else of the whole.

        The range is closed: registries that serve ranges serve these, and some no others.

        Raises:
            _NoRanges: the registry does not serve this range.
        """
        headers = {"Range": f"bytes={at}-{size - 1}"} if at and ranges else {}
        response = self.call("GET", f"blobs/{checked_digest(digest)}", "blob", headers=headers, size=size)
        with response.closing():
            if response.status == 404:
                raise CannotLook(
                    "the registry lacks a blob", where=f"{self.name}@{digest}", help="push again"
                )
            skip = at if response.status == 200 else 0
            if headers and response.status in (206, 416):
                start = _RANGE(response.headers.get("Content-Range", ""))
                if response.status == 416 or start is None:
                    raise _NoRanges
                if int(start[1]) != at:
                    raise Refused("gave another range than was asked for", where=self.name)
            elif response.status != 200:
                raise self.unexpected(response, "a blob")
            length = response.headers.get("Content-Length", "")
            if response.status == 200 and length.isascii() and length.isdigit() and int(length) != size:
                raise self.wrong(digest, f"has {int(length):,} bytes, not {size:,}")
            for chunk in response.stream():
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:] if skip else chunk
                skip = 0

    # --- manifests and tags -----------------------------------------------------------------------

    def put_manifest(self, data: bytes, media_type: str = MANIFEST_TYPE) -> str:
        """Store a manifest by its digest and, where it has a subject, see that it is listed for it."""
        if len(data) > limits.OCI_MANIFEST_BYTES:
            raise Refused(f"a manifest of {len(data):,} bytes is too large for registries", where=self.name)
        digest = digest_of(data)
        subject, kind, notes = subject_of(data, f"{self.name}@{digest}")
        listed = self.put_named(digest, data, media_type)
        if self._manifest(digest) != data:
            raise CannotLook(
                "reported that it stored a manifest, and has none", where=f"{self.name}@{digest}"
            )
        if subject is not None and listed != subject and self._listed(subject) is None:
            fallback.add(self, subject, Descriptor(media_type, digest, len(data), kind, notes))
        return digest

    def read_manifest(self, reference: str) -> bytes:
        """The manifest that a digest or a tag names, checked against the digest."""
        data = self._manifest(reference)
        if data is None:
            raise UsageError(
                f"has no manifest {printable(reference)[:128]}", where=self.name, help="check tag or digest"
            )
        return data

    def _manifest(self, reference: str) -> bytes | None:
        if not is_digest(reference) and not valid_tag(reference):
            raise UsageError(
                f"{printable(reference)[:128]} cannot be a tag", help="letters, digits, . _ and -"
            )
        found = self.tagged(reference)
        if found is None:
            return None
        if is_digest(reference) and digest_of(found[0]) != reference:
            raise self.wrong(reference, f"hashes to {digest_of(found[0])[7:19]}")
        return found[0]

    def tag(self, name: str, digest: str) -> str | None:
        """Make a tag name a manifest that is there: read, written, read again (TRUST.md rule 23)."""
        before = self.resolve(name)
        data = self.read_manifest(digest)
        if before != digest:
            found = read_json(data, self.name, limit=limits.OCI_MANIFEST_BYTES)
            kind = found.get("mediaType") if isinstance(found, dict) else None
            self.put_named(name, data, kind if kind in (MANIFEST_TYPE, INDEX_TYPE) else MANIFEST_TYPE)
            if self.resolve(name) != digest:
                raise Refused(f"the tag {name} was moved by somebody else", where=self.name, help="tag again")
        return before

    def resolve(self, tag: str) -> str | None:
        """The digest that a tag names now, hashed here, or None."""
        if not valid_tag(tag):
            raise UsageError(f"{printable(tag)[:128]} cannot be a tag", help="letters, digits, . _ and -")
        found = self.tagged(tag)
        return None if found is None else digest_of(found[0])

    # --- referrers --------------------------------------------------------------------------------

    def referrers(self, digest: str, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """The manifests whose subject is `digest`, each read and its own subject checked."""
        entries = self._listed(digest)
        if entries is None:
            entries = fallback.read(self, digest)[0].descriptors()
        if len(entries) > limits.REGISTRY_REFERRERS:
            raise CannotLook(
                f"{len(entries):,} referrers are listed, over the limit of {limits.REGISTRY_REFERRERS:,}",
                where=self.name,
            )

        def read(entry: Descriptor, claims: bool) -> bytes | None:  # noqa: FBT001 (as `among` calls it)
            del claims
            return self._manifest(entry.digest)  # None: it was removed, and its listing was left

        return referrers.among(entries, digest, artifact_type, read, self.name)

    def _listed(self, digest: str) -> tuple[Descriptor, ...] | None:
        """What the referrers API lists, unchecked; None where the registry has no such API.

        Registries without it answer in many ways, and few with 404: an error, a page to sign in, other JSON.
        So whatever is no index at first means that there is none. The tag that is read in its place can show
        no more than the API could.
        """
        found: list[Descriptor] = []
        path = f"referrers/{checked_digest(digest)}"
        seen: set[str] = set()
        while len(seen) < limits.REGISTRY_PAGES and len(found) <= limits.REGISTRY_REFERRERS:
            if path in seen:
                raise Refused("the list of referrers goes in a circle", where=shown(path))
            seen.add(path)
            page = self._page(path)
            if page is None and len(seen) == 1:
                return None
            if page is None:
                raise NotUnderstood(
                    "the list of referrers goes on with something else than an index", where=shown(path)
                )
            listed, onward = page
            found.extend(listed)
            if onward is None:
                return tuple(found)
            path = onward
            if not self.transport.same_origin(path):
                raise Refused("the list of referrers goes on at another host", where=shown(path))
        raise CannotLook(
            f"the list of referrers goes on after {len(found):,} in {len(seen):,} pages", where=self.name
        )

    def _page(self, path: str) -> tuple[tuple[Descriptor, ...], str | None] | None:
        """One page of the referrers API, and the URL of the next; None for what is no index.

        Raises:
            NotUnderstood: it is an index with an entry that is no descriptor.
            CannotLook: an error that may pass.
        """
        try:
            response = self.call("GET", path, "referrers", headers={"Accept": INDEX_TYPE})
            if response.status >= 500 and response.status != 501:
                raise self.unexpected(response, "a list of referrers")
            data = response.read(limits.OCI_MANIFEST_BYTES) if response.status == 200 else b""
        except Refused:  # sent where we do not go, encoded, or too long
            return None
        response.drop()
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not is_index(data, sure=kind == INDEX_TYPE):
            return None
        onward = _next(response.headers.get("Link", ""))
        index = Index.parse(data, shown(response.url))
        return index.descriptors(), None if onward is None else joined(response.url, onward)


def _next(link: str) -> str | None:
    """Where the header ``Link`` states that a list goes on (RFC 8288), or None."""
    return next((target for target, said in _LINK.findall(link) if _IS_NEXT(said)), None)
