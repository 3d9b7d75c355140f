"""What a published schema says about a value."""

from __future__ import annotations

import jsonschema


def faults(schema, value):
    """Everything in `value` that `schema` does not allow, each with its place."""
    found = jsonschema.Draft202012Validator(schema).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def undescribed(schema, value, at="$"):
    """Every property in `value` that `schema` says nothing about."""
    if "anyOf" in schema:
        [schema] = [each for each in schema["anyOf"] if not faults(each, value)]
    if isinstance(value, list) and "items" in schema:
        return [name for item in value for name in undescribed(schema["items"], item, f"{at}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    found = []
    for name, inner in value.items():
        known = schema["properties"].get(name)
        found += [f"{at}.{name}"] if known is None else undescribed(known, inner, f"{at}.{name}")
    return found
