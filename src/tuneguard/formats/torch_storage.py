"""torch's persistent ids: how a pickled tensor names the storage that holds its numbers.

Source: torch ``serialization.py``, ``persistent_id`` and ``persistent_load`` of ``_save``, ``_load``
and ``_legacy_load``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeGuard

from tuneguard.formats.facts import Fact
from tuneguard.formats.pickle.values import Global, Stored

if TYPE_CHECKING:
    from tuneguard.formats.pickle.facts import Call, Persistent

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
    """A tensor's storage is not what the stream that asks for it states."""

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


def tensor_fault(fact: Call) -> StorageMismatch | None:
    """What is wrong with the place of a rebuilt tensor in its storage.

    torch would enlarge a storage that is too small by memory that holds whatever it held before.
    """
    arguments = fact.arguments
    if type(fact.target) is not Global or type(arguments) is not tuple:
        return None
    if fact.target.path == "torch._tensor._rebuild_from_type_v2" and len(arguments) > 2:
        arguments = arguments[2]  # those of the function that it calls
    elif fact.target.module != "torch._utils":
        return None
    if type(arguments) is not tuple:
        return None
    if len(arguments) < 4 or type(arguments[0]) is not Stored or type(arguments[0].id) is not tuple:
        return None  # no storage of torch's form, which is for the rules to report
    _, offset, size, stride, *rest = arguments
    count = arguments[0].id[4] if len(arguments[0].id) > 4 else None
    if (
        not _naturals((count, offset))
        or not _naturals(size)
        or not _naturals(stride)
        or len(size) != len(stride)
    ):
        return StorageMismatch("a tensor's place in its storage is no row of natural numbers", fact.offset)
    wide = _WIDE.get(rest[2].name, 1) if len(rest) > 2 and type(rest[2]) is Global else 1
    reach = offset + 1 + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 not in size and reach * wide > count:
        return StorageMismatch("a tensor reaches beyond its storage", fact.offset)
    return None


_WIDE = {"uint16": 2, "uint32": 4, "uint64": 8}
"""Bytes of the types that torch keeps in an untyped storage, which counts bytes; the others take one."""


def _naturals(values: object) -> TypeGuard[tuple[int, ...]]:
    return type(values) is tuple and all(type(value) is int and value >= 0 for value in values)


def _is_view(view: object) -> bool:
    """None, or (key, offset, count)."""
    if view is None:
        return True
    return isinstance(view, tuple) and tuple(map(type, view)) == (str, int, int)
