"""Bytes read once, front to back, so that what was hashed is what was understood.

Every format reads through a `Reader`. Its maker may watch the bytes that pass (to
hash them, to sum a CRC), and every byte passes exactly once. A format that needs to look ahead,
as zip does for its directory, compares what it saw with what passes later.

    >>> reader = Reader.of_bytes(b"header|body")
    >>> reader.peek(6), reader.read(7), reader.remaining
    (b'header', b'header|', 4)
    >>> part = reader.part(2)
    >>> part.read(2), part.remaining, reader.offset
    (b'bo', 0, 9)
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tuneguard.errors import ChangedWhileRead, NotUnderstood
from tuneguard.files import cannot_look

CHUNK = 1 << 20
"""Bytes fetched at once."""
TAIL = 1 << 17
"""Bytes at the end that are kept where they are asked for: more than any reader of zip searches."""

Fetch = Callable[[int], bytes]
"""At most so many of the next bytes; fewer than asked means no more than that, none means the end."""
Look = Callable[[int, int], bytes]
"""The bytes at an offset, out of order."""


class Truncated(NotUnderstood):
    """The bytes end before the end that the format states."""

    def __init__(self, wanted: int, left: int) -> None:
        super().__init__(f"ends early: {wanted:,} more bytes are announced, {left:,} are there")


class Reader:
    """The bytes of one file, or of one member of an archive.

    ``size`` is known beforehand and ``offset`` is what has been consumed. `look` gives bytes out of
    order where that is possible; such bytes are hints until they have passed. ``tail`` is, after
    `keep_tail`, the last `TAIL` bytes that were fetched: at the end, the last ones of all.
    """

    __slots__ = ("_at", "_buffer", "_fetch", "_keep", "_look", "_watch", "offset", "size", "tail")

    def __init__(
        self,
        fetch: Fetch,
        size: int,
        *,
        look: Look | None = None,
        watch: Callable[[bytes], object] | None = None,
    ) -> None:
        self.size = size
        self.offset = 0
        self._fetch = fetch
        self._look = look
        self._watch = watch
        self._buffer = b""
        self._at = 0
        self._keep = False
        self.tail = b""

    @classmethod
    def of_bytes(cls, data: bytes) -> Reader:
        """A reader over bytes in memory."""
        position = 0

        def fetch(amount: int) -> bytes:
            nonlocal position
            chunk = data[position : position + amount]
            position += len(chunk)
            return chunk

        return cls(fetch, len(data), look=lambda offset, amount: data[offset : offset + amount])

    @classmethod
    def of_descriptor(
        cls, descriptor: int, size: int, *, name: str, watch: Callable[[bytes], object] | None = None
    ) -> Reader:
        """A reader over an open regular file of `size` bytes. `watch` sees every byte once, in order."""

        def fetch(amount: int) -> bytes:
            try:
                return os.read(descriptor, amount)
            except OSError as error:
                raise cannot_look(error, name) from error

        def look(offset: int, amount: int) -> bytes:
            try:
                return os.pread(descriptor, amount, offset)
            except OSError as error:
                raise cannot_look(error, name) from error

        return cls(fetch, size, look=look, watch=watch)

    @property
    def remaining(self) -> int:
        """Bytes not yet consumed."""
        return self.size - self.offset

    @property
    def can_look(self) -> bool:
        """Whether `look` works here: not in a part of a stream."""
        return self._look is not None

    def look(self, offset: int, amount: int) -> bytes:
        """Bytes out of order, unwatched: compare them with what passes before believing them."""
        if self._look is None:
            raise NotUnderstood("this format cannot be read inside another one")
        return self._look(offset, amount)

    def keep_tail(self) -> None:
        """Keep the last bytes from here on."""
        self._keep = True
        self.tail = self._buffer[self._at :][-TAIL:]

    def peek(self, amount: int) -> bytes:
        """The next `amount` bytes, or as many as there are, which stay unconsumed."""
        if len(self._buffer) - self._at < amount:
            self._gather(min(amount, self.remaining))
        return self._buffer[self._at : self._at + amount]

    def read(self, amount: int) -> bytes:
        """Exactly the next `amount` bytes.

        Raises:
            Truncated: so many are not there.
            ChangedWhileRead: the file became shorter under the reader.
        """
        start = self._at
        stop = start + amount
        if stop > len(self._buffer):
            if amount > self.size - self.offset:
                raise Truncated(amount, self.remaining)
            self._gather(amount)
            start, stop = self._at, self._at + amount
        self._at = stop
        self.offset += amount
        return self._buffer[start:stop]

    def take(self, amount: int) -> bytes:
        """At most `amount` bytes, as many as come in one go; none only at the end."""
        if self._at == len(self._buffer):
            self._gather(min(1, self.remaining))
        return self.read(min(amount, len(self._buffer) - self._at))

    def skip(self, amount: int) -> None:
        """Let `amount` bytes pass; they are watched like any others.

        Raises:
            Truncated: so many are not there.
        """
        if amount > self.remaining:
            raise Truncated(amount, self.remaining)
        while amount:
            amount -= len(self.take(min(amount, CHUNK)))

    def drain(self) -> int:
        """Let all that is left pass, and return how many bytes that was."""
        left = self.remaining
        self.skip(left)
        return left

    def unread(self, data: bytes) -> None:
        """Give back the bytes that were consumed last. They have been watched already."""
        self._buffer = data + self._buffer[self._at :]
        self._at = 0
        self.offset -= len(data)

    def part(self, size: int, *, watch: Callable[[bytes], object] | None = None) -> Reader:
        """The next `size` bytes as a reader of their own. Drain it before going on with this one.

        Raises:
            Truncated: so many are not there.
        """
        if size > self.remaining:
            raise Truncated(size, self.remaining)
        left = size

        def fetch(amount: int) -> bytes:
            nonlocal left
            chunk = self.take(min(amount, left))
            left -= len(chunk)
            return chunk

        return Reader(fetch, size, watch=watch)

    def section(self, size: int) -> Reader:
        """As `part`, and its bytes can be looked at as far as those here can.

        Raises:
            Truncated: so many are not there.
        """
        start, look = self.offset, self._look
        if look is None:
            return self.part(size)
        return Reader(
            self.part(size).take,
            size,
            look=lambda offset, amount: look(start + offset, max(0, min(amount, size - offset))),
        )

    def _gather(self, amount: int) -> None:
        """Make at least `amount` bytes stand in the buffer."""
        pieces = [self._buffer[self._at :]]
        have = len(pieces[0])
        while have < amount:
            # Never past `size`: bytes that were appended meanwhile are the engine's to notice.
            chunk = self._fetch(min(max(CHUNK, amount - have), self.remaining - have))
            if not chunk:
                raise ChangedWhileRead("became shorter while it was read")
            if self._watch is not None:
                self._watch(chunk)
            if self._keep:
                self.tail = chunk[-TAIL:] if len(chunk) >= TAIL else (self.tail + chunk)[-TAIL:]
            pieces.append(chunk)
            have += len(chunk)
        self._buffer = b"".join(pieces)
        self._at = 0
