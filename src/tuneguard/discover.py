"""Loads the "one file = one thing" folders, loudly.

A folder such as ``scanner/rules`` holds one thing a module. A module without its thing, an id used
twice, a missing docstring or an import error stops the program: a control that silently vanished
is worse than a program that does not start.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from types import ModuleType


class DiscoveryError(Exception):
    """A folder of things holds a module that is not one. A bug of ours, never an input's fault."""


_Thing = TypeVar("_Thing")


def load(
    package: str, attribute: str, kind: type[_Thing], *, besides: frozenset[str] = frozenset()
) -> dict[str, _Thing]:
    """Each module of `package` must bind `attribute` to a `kind` (or a subclass of it) with an ``id``.

    Returns the things by id, in the order of the ids. Modules whose name begins with an underscore
    are helpers and are skipped, and so are those that `besides` names.

    Raises:
        DiscoveryError: a module lacks its thing or its docstring, two share an id, or there is none.
        ImportError: a module cannot be imported.
    """
    folder = importlib.import_module(package)
    things: dict[str, _Thing] = {}
    for found in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        if found.name.startswith("_") or found.name in besides:
            continue
        module = importlib.import_module(f"{package}.{found.name}")
        thing = _thing_of(module, attribute, kind)
        identifier = cast("str", getattr(thing, "id"))  # noqa: B009 (the type of Thing is open)
        if identifier in things:
            msg = f"{module.__name__}: the id {identifier} is taken by another module of {package}"
            raise DiscoveryError(msg)
        things[identifier] = thing
    if not things:
        msg = f"{package}: holds nothing that can be read"
        raise DiscoveryError(msg)
    return dict(sorted(things.items()))


def _thing_of(module: ModuleType, attribute: str, kind: type[_Thing]) -> _Thing:
    if not (module.__doc__ or "").strip():
        msg = f"{module.__name__}: has no docstring, and the docstring is its documentation"
        raise DiscoveryError(msg)
    thing = module.__dict__.get(attribute)
    if not isinstance(thing, kind):
        msg = f"{module.__name__}: does not bind {attribute} to a {kind.__name__}"
        raise DiscoveryError(msg)
    return thing
