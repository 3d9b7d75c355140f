"""Forms that values must have: the allow list's conditions on arguments, as small predicates.

A form is a function from a value of the pickle machine to whether it fits. Forms are built from
other forms and never look deeper than they are written, whatever a hostile value holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tuneguard.formats.pickle.values import Dict, Global, List, Long, Made, Stored

Form = Callable[[object], bool]


def exactly(kind: type) -> Form:
    """A value of this type and of no subclass of it: True is no integer."""
    return lambda value: type(value) is kind


def one_of(*forms: Form) -> Form:
    """A value that has any of the forms."""
    return lambda value: any(form(value) for form in forms)


def row(*forms: Form, then: tuple[Form, ...] = ()) -> Form:
    """A tuple whose items have these forms in order; those in `then` may be missing from the end."""
    every = (*forms, *then)
    least = len(forms)

    def fits(value: object) -> bool:
        if type(value) is not tuple or not least <= len(value) <= len(every):
            return False
        # Shorter by those of `then` that are missing.
        return all(form(item) for form, item in zip(every, value, strict=False))

    return fits


def tuple_of(kind: type) -> Form:
    """A tuple, perhaps empty, of nothing but values of one type."""

    def fits(value: object) -> bool:
        return type(value) is tuple and all(type(item) is kind for item in value)

    return fits


def text(pattern: str) -> Form:
    """A string that matches `pattern` as a whole."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: type(value) is str and compiled.fullmatch(value) is not None


def number(*values: int) -> Form:
    """One of these integers."""
    return lambda found: type(found) is int and found in values


def made_by(*paths: str) -> Form:
    """What a call to one of these names returned."""
    wanted = frozenset(paths)
    return lambda value: type(value) is Made and value.source is not None and value.source.path in wanted


def named(*paths: str) -> Form:
    """One of these names itself."""
    wanted = frozenset(paths)
    return lambda value: type(value) is Global and value.path in wanted


def nothing(value: object) -> bool:
    """None."""
    return value is None


def state(value: object) -> bool:
    """An object's attributes: a dictionary with plain names for keys, none of them an inner one."""
    if type(value) is not Dict or value.length != len(value.keys or ()):
        return False
    return all(type(key) is str and key.isidentifier() and not _inner(key) for key in value.keys or ())


def _inner(key: str) -> bool:
    return key.startswith("__") or key.endswith("__")


def keys(*names: str) -> Form:
    """A dictionary with no keys but these."""
    wanted = frozenset(names)

    def fits(value: object) -> bool:
        if type(value) is not Dict or value.length != len(value.keys or ()):
            return False
        return all(type(key) is str and key in wanted for key in value.keys or ())

    return fits


INT = exactly(int)
BOOL = exactly(bool)
FLOAT = exactly(float)
TEXT = one_of(exactly(str), lambda value: type(value) is Long and value.kind == "text")
BYTES = one_of(exactly(bytes), lambda value: type(value) is Long and value.kind == "bytes")
INTS = tuple_of(int)
DICT = exactly(Dict)
LIST = exactly(List)
STORAGE = exactly(Stored)
EMPTY = row()
