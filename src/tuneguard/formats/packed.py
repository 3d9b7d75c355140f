"""Packed pickles and archives, as far as to know that a reader would unpack them, going by the first bytes.

Bytes of another format can begin so by chance (a safetensors header of 40,056 bytes begins like zlib). So
they are unpacked, as far as a reader would before it meets an error, and what comes out is looked at.

``joblib.load`` unpickles what it unpacks, ``tarfile.open`` (in its usual mode) looks for an archive in it.

Source: joblib ``numpy_pickle_utils.py`` (``_detect_compressor``) and ``numpy_pickle_compat.py`` (``ZF``);
CPython ``Lib/tarfile.py`` (``TarFile.open``).
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Protocol

from tuneguard.formats import pickle_file, tar

if TYPE_CHECKING:
    from collections.abc import Callable

_ENOUGH = 1 << 18
"""Bytes that are unpacked: as many as the pickle machine looks at together."""
_STEP = 1 << 12
"""Bytes that are unpacked at once, so that an error behind them does not hide them."""


class _Unpacker(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_FORMS: tuple[tuple[bytes, int, Callable[[], _Unpacker]], ...] = (
    (b"\x78", 0, zlib.decompressobj),
    (b"\x1f\x8b", 0, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    (b"BZ", 0, bz2.BZ2Decompressor),
    (b"\x5d\x00", 0, lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE)),
    (b"\xfd7zXZ", 0, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
    (b"ZF", 21, zlib.decompressobj),  # the length in hex stands in front, on old systems one byte longer
    (b"ZF", 22, zlib.decompressobj),
)
"""How bytes begin, how many stand in front of what is packed, and what unpacks them."""


def looks_like(head: bytes) -> bool:
    """Whether a reader would unpack a pickle or a tar archive from what begins with `head`."""
    return any(
        head.startswith(mark) and _is_loaded(_unpacked(head[skip:], make())) for mark, skip, make in _FORMS
    )


def _is_loaded(data: bytes) -> bool:
    """Whether unpacked bytes are something to a loader. They may go on for as long again as was unpacked."""
    return pickle_file.begins_pickle(data) or pickle_file.probe(data, 2 * len(data)) or tar.looks_like(data)


def _unpacked(data: bytes, unpacker: _Unpacker) -> bytes:
    """What comes out before the bytes end or are no longer what the form states."""
    pieces: list[bytes] = []
    left = _ENOUGH
    try:
        while left > 0 and (piece := unpacker.decompress(data, min(_STEP, left))):
            pieces.append(piece)
            left -= len(piece)
            # zlib gives back what it was not asked to unpack; the others keep it.
            data = getattr(unpacker, "unconsumed_tail", b"")
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):
        pass
    return b"".join(pieces)
