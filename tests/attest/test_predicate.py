"""What every kind of evidence owes, checked for each module in ``predicates/``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec
import pytest

from tuneguard.attest.predicate import body_of, only_tree, predicates_by_type
from tuneguard.attest.predicates import seal
from tuneguard.attest.statement import Resource, Sha256Set, Statement, TreeSet, tree_resource
from tuneguard.errors import NotUnderstood
from world import schema
from world.altered import altered, places
from world.bodies import BODIES, STATEMENTS

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
KINDS = sorted(BODIES)
OUR_SCHEMAS = sorted(set(KINDS) - {"signature"})  # the specification has its own


def read(statement):
    return body_of(statement, "evidence.json")


def outcome(statement):
    """The body, or None and the sentence that says why there is none."""
    try:
        return read(statement)[1], ""
    except NotUnderstood as error:
        return None, str(error)


def test_there_is_an_example_of_every_kind():
    assert sorted(predicate.id for predicate in predicates_by_type().values()) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_back_the_same(kind):
    payload = STATEMENTS[kind].encode()

    assert read(Statement.decode(payload, "evidence.json")) == (kind, BODIES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_fields_that_nobody_knows_are_ignored(kind):
    extended = altered(STATEMENTS[kind], ("https://example.com/new",), {"x": [1]})

    assert read(extended) == (kind, BODIES[kind])


ODD_VALUES = [..., None, 7, -1, 1.5, True, "", "x", "\x1b[31m", [], {}, [{}], ["x"], 1 << 63]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ODD_VALUES)
def test_any_value_in_any_place_is_read_or_not_understood_and_never_crashes(kind, value):
    for path in places(STATEMENTS[kind].predicate):
        if value is ... and isinstance(path[-1], int):
            continue
        body, why = outcome(altered(STATEMENTS[kind], path, value))

        assert type(body) is type(BODIES[kind]) or why.endswith(" at evidence.json"), path
        assert "\x1b" not in why


@pytest.mark.parametrize("kind", OUR_SCHEMAS)
def test_what_we_write_is_what_the_schema_describes_and_nothing_else(kind):
    described = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    written = json.loads(STATEMENTS[kind].encode())["predicate"]

    assert schema.faults(described, written) == []
    assert schema.undescribed(described, written) == []
    assert STATEMENTS[kind].predicate_type in described["description"]


def test_a_seal_that_states_its_origin_is_as_its_schema_says_and_reads_back():
    origin = seal.Origin("raw", "2", TreeSet("a" * 64), Sha256Set("b" * 64))
    derived = seal.Derived((origin,), seal.Transform("clean", {"dirHash": "c" * 64}))
    signed = seal.Signed(Sha256Set("d" * 64), "key 1234")
    body = msgspec.structs.replace(BODIES["seal"], derived=derived, signed=signed)
    statement = seal.PREDICATE.statement("data", body.manifest.digest, body)
    described = json.loads((SCHEMAS / "seal.schema.json").read_text())
    written = json.loads(statement.encode())["predicate"]

    assert schema.faults(described, written) == []
    assert schema.undescribed(described, written) == []
    assert read(statement) == ("seal", body)
    for path in places({name: written[name] for name in ("derived", "signed")}):
        without = altered(statement, path, ...)
        if isinstance(path[-1], str) and path[-1] != "transform" and len(path) > 1:
            with pytest.raises(NotUnderstood):
                read(without)


@pytest.mark.parametrize("kind", OUR_SCHEMAS)
def test_the_schema_demands_each_field_that_the_reader_demands(kind):
    described = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    for path in places(STATEMENTS[kind].predicate):
        if isinstance(path[-1], int):
            continue
        statement = altered(STATEMENTS[kind], path, ...)
        body, _ = outcome(statement)
        if body is None and path[-1] != "parent":  # a parent goes with a dependency: no schema can say that
            assert schema.faults(described, statement.predicate), path


def test_every_schema_is_of_a_kind_that_exists():
    kinds = sorted([*OUR_SCHEMAS, "result"])  # tests/test_result_codec.py makes the one of results

    assert sorted(path.name for path in SCHEMAS.iterdir()) == [f"{kind}.schema.json" for kind in kinds]


def test_a_predicate_type_that_we_do_not_read_is_not_understood_and_printed_safely():
    strange = Statement((tree_resource("x", "0" * 64),), "https://example.com/\x1b[31m", {})

    with pytest.raises(NotUnderstood, match="not one that we read") as caught:
        read(strange)

    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("kind", ["seal", "provenance", "scan", "evaluation", "release"])
@pytest.mark.parametrize(
    "subjects",
    [
        (Resource("x", {"sha256": "0" * 64}),),
        (Resource("x", {"dirHash": "0" * 64, "sha256": "0" * 64}),),
        (Resource("x", {"dirHash": "0" * 63}),),
        (Resource("x", {"dirHash": "A" * 64}),),
        (tree_resource("x", "0" * 64), tree_resource("y", "1" * 64)),
    ],
    ids=["other digest", "two digests", "short", "upper case", "two trees"],
)
def test_evidence_speaks_of_exactly_one_tree_by_its_tree_digest(kind, subjects):
    """With two digests in one set, each reader could match the one that suits the attacker."""
    statement = dataclasses.replace(STATEMENTS[kind], subjects=subjects)

    with pytest.raises(NotUnderstood, match="subject"):
        read(statement)
    with pytest.raises(NotUnderstood, match="subject"):
        only_tree(statement, "evidence.json")
