"""Sending one blob: mounted, at once, or in pieces that a broken connection does not lose.

Every byte is hashed as it is sent, from the first one on, and the last ones are held back until the
hash is the verified digest (TRUST.md rule 16): bytes that changed never complete an upload.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlencode

from tuneguard.errors import CannotLook, Refused
from tuneguard.files import cannot_look
from tuneguard.oci.http import BLOCK, Broken, Tries, joined, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneguard.oci.http import Response
    from tuneguard.oci.repository import Repository

PIECE = 256 * 1024 * 1024
"""Bytes of one piece; what is not larger goes at once."""
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,16})")


def put(
    server: Repository,
    digest: str,
    size: int,
    open: Callable[[], BinaryIO],
    *,
    mount_from: str | None = None,
    piece: int = PIECE,
) -> None:
    """Upload a blob; tried again where the connection breaks, from where the server is.

    Raises:
        Refused: what `open` gave is not `size` bytes with that digest, or the upload is sent elsewhere.
        CannotLook: the registry does not take it.
    """
    session = _Session(server, digest, size, open, piece)
    tries = Tries(server.transport, size)
    while True:
        try:
            if session.step(mount_from):
                return
        except Broken as error:
            tries.again(error, session.reached)
            if session.resume():
                return


class _Session:
    """One upload: its URL, and how far it is."""

    def __init__(
        self, server: Repository, digest: str, size: int, open: Callable[[], BinaryIO], piece: int
    ) -> None:
        self._server, self._digest, self._size, self._open, self._piece = server, digest, size, open, piece
        self._url: str | None = None
        self._at = 0
        self.reached = 0
        """How far it ever was, in bytes that the server reported."""

    def step(self, mount_from: str | None) -> bool:
        """Begin if need be, then send all pieces; True once the blob is stored."""
        if self._url is None and self._begin(mount_from):
            return True
        with contextlib.closing(_Source(self._server.name, self._digest, self._size, self._open)) as source:
            source.skip(self._at)
            if self._size > self._piece or self._at:
                while self._at < self._size:
                    self._patch(source)
                source.finish()
            self._commit(source)
        return True

    def resume(self) -> bool:
        """Ask how far the server is; if it does not know, begin again. True if the blob is there already."""
        if self._url is None:
            return False
        # The answer to the commit may be what was lost.
        if self._server.has_blob(self._digest, self._size):
            return True
        response = self._server.call("GET", self._url, "upload", write=True)
        response.drop()
        reached = _reached(response) if response.status == 204 else None
        if reached is None or reached > self._size:
            self._url, self._at = None, 0
        else:
            self._went(reached)
            self._moved(response)
        return False

    def _went(self, at: int) -> None:
        self._at = at
        self.reached = max(self.reached, at)

    def _begin(self, mount_from: str | None) -> bool:
        path = "blobs/uploads/"
        if mount_from is not None:
            path += "?" + urlencode({"mount": self._digest, "from": mount_from})
        response = self._server.call(
            "POST", path, "upload", write=True, headers={"Content-Length": "0"}, body=b""
        )
        response.drop()
        if response.status == 201 and mount_from is not None:
            return True
        if response.status != 202:
            raise self._server.unexpected(response, "an upload")
        self._at = 0
        self._moved(response)
        if self._url is None:
            raise CannotLook("names no place to upload to", where=shown(response.url))
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        if least.isascii() and least.isdigit() and len(least) < 16:
            self._piece = max(self._piece, int(least))
        return False

    def _patch(self, source: _Source) -> None:
        length = min(self._piece, self._size - self._at)
        assert self._url is not None
        response = self._server.call(
            "PATCH",
            self._url,
            "upload",
            write=True,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(length),
                "Content-Range": f"{self._at}-{self._at + length - 1}",
            },
            body=source.take(length),
            size=length,
        )
        response.drop()
        if response.status == 416:
            raise Broken("is at another place of the upload than we are", where=self._server.name)
        if response.status == 404:
            self._url = None
            raise Broken("forgot the upload", where=self._server.name)
        if response.status not in (201, 202):
            raise self._server.unexpected(response, "a piece of an upload")
        self._went(self._at + length)
        self._moved(response)

    def _commit(self, source: _Source) -> None:
        assert self._url is not None
        if not self._size:
            source.finish()
        left = self._size - self._at if source.at == self._at < self._size else 0
        url = f"{self._url}{'&' if '?' in self._url else '?'}{urlencode({'digest': self._digest})}"
        response = self._server.call(
            "PUT",
            url,
            "upload",
            write=True,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(left)},
            body=source.take(left) if left else b"",
            size=left,
        )
        response.drop()
        if response.status == 404:
            raise Broken("forgot the upload", where=self._server.name)
        if response.status not in (201, 204):
            raise self._server.unexpected(response, f"the upload of {self._digest[:19]}")

    def _moved(self, response: Response) -> None:
        """Where the upload goes on: on the registry itself, or nowhere."""
        location = response.headers.get("Location")
        if location is None:
            return
        url = joined(response.url, location)
        if not self._server.transport.same_origin(url):
            raise Refused(
                f"wants the upload to go to another host, {shown(url)}",
                where=self._server.name,
                help="push to a registry that takes uploads itself; behind a proxy, set its external URL",
            )
        self._url = url


class _Source:
    """The blob's bytes, hashed on the way, the last of them only if the whole is right."""

    def __init__(self, name: str, digest: str, size: int, open: Callable[[], BinaryIO]) -> None:
        self._name, self._digest, self._size = name, digest, size
        self._hasher, self.at = hashlib.sha256(), 0
        try:
            self._file = open()
        except OSError as error:
            raise cannot_look(error, f"the source of {digest[:19]}") from error

    def close(self) -> None:
        self._file.close()

    def skip(self, count: int) -> None:
        """Hash what the server has already."""
        for _ in self.take(count):
            pass

    def take(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes."""
        left = count
        while left:
            try:
                chunk = self._file.read(min(BLOCK, left))
            except OSError as error:
                raise cannot_look(error, f"the source of {self._digest[:19]}") from error
            if not chunk:
                raise self._changed()
            self._hasher.update(chunk)
            self.at += len(chunk)
            left -= len(chunk)
            if self.at == self._size:
                self.finish()
            yield chunk

    def finish(self) -> None:
        """Check the whole.

        Raises:
            Refused: it is not what was verified.
        """
        if (
            self.at != self._size
            or f"sha256:{self._hasher.hexdigest()}" != self._digest
            or self._file.read(1)
        ):
            raise self._changed()

    def _changed(self) -> Refused:
        return Refused(
            f"what was to be pushed as {self._digest[:19]} has changed since it was hashed",
            where=self._name,
            help="find out who wrote to it; nothing was stored under that name",
        )


def _reached(response: Response) -> int | None:
    """How many bytes the server has, by ``Range: 0-LAST``."""
    text = response.headers.get("Range", "")
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    return 0 if found[1] == "0" else int(found[1]) + 1
