"""The published schemas of predicates are made from the classes that read them: `make accept` writes them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import msgspec
import pytest

import golden
from tuneguard.attest.predicate import predicates_by_type
from world import schema
from world.bodies import BODIES

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
EVIDENCE = Path(__file__).with_name("golden")
OURS = sorted(set(BODIES) - {"signature"})  # the specification has its own
KINDS = {predicate.id: predicate for predicate in predicates_by_type().values()}


def inlined(node, definitions):
    """A part of a schema with its definitions in place, without what stands for an absent field.

    Which of several structs a value is, its ``buildType`` says, as each of them demands: OpenAPI's
    ``discriminator`` adds nothing to that.
    """
    if isinstance(node, list):
        return [inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    node = {name: each for name, each in node.items() if name not in ("title", "default", "discriminator")}
    if "$ref" in node:
        name = node.pop("$ref").rpartition("/")[2]
        return inlined({**definitions[name], **node}, definitions)
    if "anyOf" in node and {"type": "null"} in node["anyOf"]:  # null is read as absent, and never written
        (kept,) = (each for each in node.pop("anyOf") if each != {"type": "null"})
        return inlined({**kept, **node} if "$ref" not in kept else {**node, **kept}, definitions)
    return {name: inlined(each, definitions) for name, each in node.items()}


def made(predicate):
    """The schema of a kind as it is published."""
    raw = msgspec.json.schema(predicate.body)
    body = inlined({"$ref": raw["$ref"]}, raw["$defs"])
    says = " ".join(inspect.getdoc(predicate.body).split())
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://tuneguard.dev/schemas/{predicate.id}.schema.json",
        "title": predicate.body.__name__,
        "description": "The predicate of an in-toto Statement v1 with predicateType "
        f"{predicate.type}. {says} Unknown fields are ignored by readers.",
    }
    return head | {name: value for name, value in body.items() if name != "description"}


@pytest.mark.golden
@pytest.mark.parametrize("kind", OURS)
def test_the_published_schema_is_made_from_the_class(kind):
    text = json.dumps(made(KINDS[kind]), indent=2, ensure_ascii=False)

    golden.check(SCHEMAS / f"{kind}.schema.json", text + "\n")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(EVIDENCE.glob("*.json")) if path.stem.partition("-")[0] in OURS],
    ids=lambda path: path.stem,
)
def test_all_evidence_that_was_signed_is_what_the_schema_describes(path):
    described = json.loads((SCHEMAS / f"{path.stem.partition('-')[0]}.schema.json").read_text())
    predicate = json.loads(path.read_bytes())["predicate"]

    assert schema.faults(described, predicate) == []
    assert schema.undescribed(described, predicate) == []
