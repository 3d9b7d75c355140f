"""The JSON Schema of results, made from their classes, and what it says against a value."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from tuneguard import result_codec
from tuneguard.facts import OF, Facts
from tuneguard.findings import Result
from world import schema

TEMPLATE = "#/$defs/{name}"


def made() -> dict[str, Any]:
    """The schema as it is published."""
    classes = list(dict.fromkeys(kind for kinds in OF.values() for kind in kinds))
    types: list[Any] = [Result[Facts], result_codec.Failure, *classes]
    [whole, failure, *facts], defs = msgspec.json.schema_components(types, ref_template=TEMPLATE)
    of_class = dict(zip(classes, facts, strict=True))
    result = defs.pop(whole["$ref"].rpartition("/")[2])
    del defs["Facts"]
    for each in defs.values():
        if "description" in each:
            each["description"] = " ".join(each["description"].split())
    properties = {
        "schema": {"const": result_codec.SCHEMA},
        **result["properties"],
        "facts": {"type": "object"},
        "lines": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "error": {"anyOf": [failure, {"type": "null"}]},
    }
    cases = [
        {
            "properties": {
                "command": {"const": command},
                "facts": {"anyOf": [of_class[kind] for kind in kinds]},
            }
        }
        for command, kinds in OF.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tuneguard.dev/schemas/result.schema.json",
        "title": "Result",
        "description": "What a command prints with --json. Fields are only ever added: readers ignore those "
        "that they do not know. Where `error` is not null, the command ended in that error and has no facts.",
        "type": "object",
        "properties": {name: _without_default(each) for name, each in sorted(properties.items())},
        "required": sorted(properties),
        "if": {"properties": {"error": {"type": "null"}}},
        "then": {"anyOf": cases},
        "else": {"properties": {"facts": {"maxProperties": 0}}},
        "$defs": dict(sorted(defs.items())),
    }


def faults(described: dict[str, Any], value: object) -> list[str]:
    """What is not as the schema says; a field that it does not name is a fault here."""
    closed = copy.deepcopy(described)
    for each in (closed, *closed["$defs"].values()):
        if "properties" in each:
            each["additionalProperties"] = False
    return schema.faults(closed, value)


def _without_default(described: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in described.items() if name != "default"}
