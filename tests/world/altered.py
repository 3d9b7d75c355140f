"""A statement with one value of its predicate changed, and every place where there is one."""

from __future__ import annotations

import copy
import dataclasses


def altered(statement, path, value):
    """The statement with the value at `path` of its predicate replaced, or removed if `value` is `...`."""
    predicate = copy.deepcopy(dict(statement.predicate))
    holder = predicate
    for name in path[:-1]:
        holder = holder[name]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return dataclasses.replace(statement, predicate=predicate)


def places(value, path=()):
    """The path of every value in a predicate."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in inside:
        yield (*path, name)
        yield from places(inner, (*path, name))
