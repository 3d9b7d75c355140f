"""torch's persistent ids: how a pickled tensor names the storage that holds its numbers.

Source: torch ``serialization.py``, ``persistent_id`` and ``persistent_load`` of ``_save``, ``_load``
and ``_legacy_load``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.formats.facts import Fact
from tuneguard.formats.pickle.values import Global

if TYPE_CHECKING:
    from tuneguard.formats.pickle.facts import Persistent

ITEM_SIZES: dict[tuple[str, str], int] = {
    ("torch", "DoubleStorage"): 8,
    ("torch", "FloatStorage"): 4,
    ("torch", "HalfStorage"): 2,
    ("torch", "BFloat16Storage"): 2,
    ("torch", "LongStorage"): 8,
    ("torch", "IntStorage"): 4,
    ("torch", "ShortStorage"): 2,
    ("torch", "CharStorage"): 1,
    ("torch", "ByteStorage"): 1,
    ("torch", "BoolStorage"): 1,
    ("torch", "ComplexDoubleStorage"): 16,
    ("torch", "ComplexFloatStorage"): 8,
    ("torch", "QUInt8Storage"): 1,
    ("torch", "QInt8Storage"): 1,
    ("torch", "QInt32Storage"): 4,
    ("torch", "QUInt4x2Storage"): 1,
    ("torch", "QUInt2x4Storage"): 1,
    ("torch", "UntypedStorage"): 1,
    ("torch.storage", "UntypedStorage"): 1,
}
"""Bytes of one element by storage class. An untyped storage counts bytes."""

_LOCATION = re.compile(r"[a-z][a-z0-9_]{0,31}(?::[0-9]{1,4})?", re.ASCII)
_ZIP_KEY = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_LEGACY_KEY = re.compile(r"[0-9]{1,20}", re.ASCII)


class Storage(Fact, frozen=True, eq=False):
    """A storage that a stream asks for: its key and its length in bytes."""

    key: str
    count: int
    item_size: int
    offset: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.count * self.item_size


class StorageMismatch(Fact, frozen=True, eq=False):
    """A tensor's storage is not what the stream that asks for it says."""

    what: str
    offset: int | None


def storage_of(fact: Persistent, *, legacy: bool) -> Storage | None:
    """The storage that a persistent id names, or None where the id has not torch's exact form.

    The form is ``('storage', class, key, location, count)``, in the legacy format with a view behind.
    """
    parts = fact.id
    if not isinstance(parts, tuple) or len(parts) != (6 if legacy else 5) or parts[0] != "storage":
        return None
    _, kind, key, location, count, *view = parts
    size = ITEM_SIZES.get((kind.module, kind.name)) if isinstance(kind, Global) else None
    if size is None or type(count) is not int or count < 0:
        return None
    if type(key) is not str or not (_LEGACY_KEY if legacy else _ZIP_KEY).fullmatch(key):
        return None
    if type(location) is not str or not _LOCATION.fullmatch(location):
        return None
    if view and not _is_view(view[0]):
        return None
    return Storage(key, count, size, fact.offset)


def _is_view(view: object) -> bool:
    """None, or (key, offset, count)."""
    if view is None:
        return True
    return isinstance(view, tuple) and tuple(map(type, view)) == (str, int, int)
