"""Evidence as it was signed before predicates became Structs: the same bytes are read and written.

``golden/<name>.json`` are statements; ``golden/readings.txt`` says of every odd value in every place of
them whether it was read (``.``) or refused (``x``). `make accept` rewrites neither: evidence on disk stays.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneguard.attest.predicate import body_of
from tuneguard.attest.statement import Statement
from tuneguard.errors import NotUnderstood
from world.altered import altered, places
from world.bodies import STATEMENTS

GOLDEN = Path(__file__).with_name("golden")
LATEST = {"provenance": "provenance-v2"}
"""Kinds whose fields were renamed: the file of what is written now. The others are from before."""
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SHA, TIME = "0" * 64, "2026-11-23T10:42:00.5+01:00"
ODD_VALUES = [
    ..., None, 7, 0, -1, 1.0, 1.5, True, False, "", "x", "7", "true", "\x1b[31m", [], {}, [{}], [None], ["x"],
    [1], ["", ""], {"x": 1}, {"x": "y"}, {"sha256": SHA}, {"dirHash": SHA}, {"sha256": SHA, "x": SHA}, SHA,
    SHA + "\n", "A" * 64, "0" * 63, TIME, TIME + "\n", "2026-11-23T10:42:00", "2026-13-01T00:00:00Z",
    "2026-11-23", 1 << 63, (1 << 63) - 1, "passed", "high", "PASSED", "final", "proven", "production", "base",
    "intermediate",
]  # fmt: skip
DERIVED = {"passedTests", "warnedTests", "invocationId", "uri", "slsaVersion", "verifiedLevels"}
READINGS = dict(line.rsplit(" ", 1) for line in (GOLDEN / "readings.txt").read_text().splitlines())


def golden(name: str) -> Statement:
    return Statement.decode((GOLDEN / f"{name}.json").read_bytes(), "evidence.json")


def reading(statement: Statement, path) -> str:
    """One letter for each odd value in this place: read or refused."""
    return "".join(map(reads, (altered(statement, path, value) for value in ODD_VALUES)))


def reads(statement: Statement) -> str:
    try:
        body_of(statement, "evidence.json")
    except NotUnderstood as error:
        return "x" if str(error).endswith(" at evidence.json") else "no file is named"
    return "."


@pytest.mark.parametrize("kind", sorted(STATEMENTS))
def test_what_is_written_now_is_byte_for_byte_what_was_written_then(kind):
    assert STATEMENTS[kind].encode() == (GOLDEN / f"{LATEST.get(kind, kind)}.json").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_every_odd_value_in_every_place_is_read_or_refused_as_it_was(name):
    """What no reader looked at, since we derive it, is now refused too where it is not as the schema says."""
    statement = golden(name)
    for path in places(statement.predicate):
        then, now = READINGS[f"{name} {json.dumps(path)}"], reading(statement, path)
        if name in LATEST.values() or DERIVED.isdisjoint(path):
            assert now == then, path
        else:
            assert set(then) == {"."}, path
            assert now[ODD_VALUES.index(7)] == "x", path
