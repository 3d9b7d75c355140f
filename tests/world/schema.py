"""The part of JSON Schema (draft 2020-12) that our schemas use, and not a keyword more.

A keyword that is not here is an error, so that a schema cannot promise what is not checked.
"""

from __future__ import annotations

import re
from datetime import datetime

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_SAID_BY_OTHERS = {"$schema", "$id", "title", "description"}


def faults(schema, value, at="$"):
    """Everything in `value` that `schema` does not allow, each with its place."""
    found = []
    for keyword, wanted in schema.items():
        if keyword not in _SAID_BY_OTHERS:
            found += _CHECKS[keyword](wanted, value, at, schema)
    return found


def undescribed(schema, value, at="$"):
    """Every property in `value` that `schema` says nothing about."""
    if isinstance(value, list) and "items" in schema:
        return [name for item in value for name in undescribed(schema["items"], item, f"{at}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    found = []
    for name, inner in value.items():
        known = schema["properties"].get(name)
        found += [f"{at}.{name}"] if known is None else undescribed(known, inner, f"{at}.{name}")
    return found


def _is(type, value):
    if type == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, _TYPES[type])


def _type(wanted, value, at, schema):
    types = wanted if isinstance(wanted, list) else [wanted]
    return [] if any(_is(type, value) for type in types) else [f"{at} is not {wanted}"]


def _required(wanted, value, at, schema):
    return [f"{at} lacks {name}" for name in wanted if isinstance(value, dict) and name not in value]


def _properties(wanted, value, at, schema):
    described = [name for name in value if name in wanted] if isinstance(value, dict) else []
    return [fault for name in described for fault in faults(wanted[name], value[name], f"{at}.{name}")]


def _additional(wanted, value, at, schema):
    if not isinstance(value, dict):
        return []
    others = [name for name in value if name not in schema.get("properties", {})]
    if wanted is False:
        return [f"{at} may not hold {name}" for name in others]
    return [fault for name in others for fault in faults(wanted, value[name], f"{at}.{name}")]


def _items(wanted, value, at, schema):
    if not isinstance(value, list):
        return []
    return [fault for place, item in enumerate(value) for fault in faults(wanted, item, f"{at}[{place}]")]


def _date(wanted, value, at, schema):
    assert wanted == "date-time"
    try:
        return [] if datetime.fromisoformat(value).tzinfo else [f"{at} has no offset"]
    except (ValueError, TypeError):
        return [f"{at} is not a time"]


def _holds(type, check, what):
    """A check of values of one type; values of other types are the business of `type`."""
    return lambda wanted, value, at, schema: (
        [f"{at} {what} {wanted}"] if isinstance(value, type) and not check(wanted, value) else []
    )


_CHECKS = {
    "type": _type,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "format": _date,
    "enum": _holds(object, lambda wanted, value: value in wanted, "is none of"),
    "const": _holds(object, lambda wanted, value: value == wanted, "is not"),
    "pattern": _holds(str, re.search, "is not like"),
    "minimum": _holds(int, lambda wanted, value: value >= wanted, "is below"),
    "minLength": _holds(str, lambda wanted, value: len(value) >= wanted, "is shorter than"),
    "minProperties": _holds(dict, lambda wanted, value: len(value) >= wanted, "has less than"),
}
