"""SARIF 2.1.0 as code scanning and editors read it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

import golden
from tuneguard.facts import NoFacts
from tuneguard.findings import Finding, Location, Result, Severity, Skipped, Subject, Verdict
from tuneguard.output import sarif
from world import results

GOLDEN = Path(__file__).parent / "golden"


def rendered(result: Result) -> dict:
    log = json.loads(sarif.render(result))
    assert log["version"] == "2.1.0"
    [run] = log["runs"]
    return run


def found(*findings: Finding, subject: str = "model") -> dict:
    return rendered(Result("scan", Verdict.REFUSED, (Subject(subject),), findings, facts=NoFacts()))


@pytest.mark.golden
def test_a_whole_log_of_a_rule_that_only_this_test_has():
    finding = Finding(
        "TG-ONLY-HERE",
        Severity.MEDIUM,
        "odd",
        Location("a b.pt", "data.pkl", 1482),
        why="it is odd",
        fix="mend it",
    )
    result = Result(
        "scan",
        Verdict.REFUSED,
        (Subject("model"),),
        (finding,),
        (Skipped("x.gguf", "unknown"),),
        facts=NoFacts(),
    )

    golden.check(GOLDEN / "log.sarif", sarif.render(result).decode())


@pytest.mark.parametrize("name", results.ALL)
def test_every_result_has_a_rule_a_level_a_message_and_a_place(name):
    run = rendered(results.ALL[name]())
    rules = run["tool"]["driver"]["rules"]

    for result in run["results"]:
        rule = rules[result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
        assert result["level"] in ("note", "warning", "error")
        assert result["message"]["text"]
        assert result["locations"]
    assert len({rule["id"] for rule in rules}) == len(rules)


def test_a_rule_is_described_as_explain_tells_it():
    [rule] = found(results.CALL)["tool"]["driver"]["rules"]

    assert rule["shortDescription"]["text"].startswith("A pickle calls a name")
    assert "allow list" in rule["fullDescription"]["text"]
    assert rule["help"]["text"] == results.CALL.fix
    assert float(rule["properties"]["security-severity"]) >= 7


def test_a_rule_that_nobody_knows_is_described_by_its_finding():
    [rule] = found(Finding("X-1", Severity.LOW, "odd"))["tool"]["driver"]["rules"]

    assert rule["shortDescription"]["text"] == rule["fullDescription"]["text"] == "odd"


def test_a_rules_level_is_that_of_its_worst_finding():
    mild, bad = Finding("X-1", Severity.LOW, "a"), Finding("X-1", Severity.CRITICAL, "b")

    run = found(mild, bad)

    assert run["tool"]["driver"]["rules"][0]["defaultConfiguration"] == {"level": "error"}
    assert [result["level"] for result in run["results"]] == ["note", "error"]


def test_a_finding_without_a_place_stands_at_what_was_looked_at():
    [result] = found(results.MISSED, subject="runs/042")["results"]

    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "runs/042"


def test_what_was_skipped_is_told_and_the_run_was_not_successful():
    run = rendered(results.unreadable())

    [invocation] = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 3
    assert [told["message"]["text"] for told in invocation["toolExecutionNotifications"]] == [
        "not looked at: a format that the scanner has not learned",
        "not looked at: cut short",
    ]


def test_places_in_text_and_in_archives():
    where = Location("policy.yaml", line=3, column=7)
    inside = Location("o.pt", "data.pkl", 1482)

    first, second = (result["locations"][0] for result in found(
        Finding("X-1", Severity.HIGH, "a", where), Finding("X-1", Severity.HIGH, "b", inside)
    )["results"])  # fmt: skip

    assert first["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 7}
    assert "region" not in second["physicalLocation"]  # an offset in a member is none in the file
    assert second["logicalLocations"] == [{"fullyQualifiedName": "o.pt ▸ data.pkl ▸ byte 1,482"}]


def test_an_offset_in_a_plain_file_is_a_region():
    [result] = found(Finding("X-1", Severity.HIGH, "a", Location("o.pt", offset=28)))["results"]

    assert result["locations"][0]["physicalLocation"]["region"] == {"byteOffset": 28}


@pytest.mark.parametrize("name", ["a b%20.pt", "javascript:alert(1)", "été/ö.bin", "a?b#c", "//host/share"])
def test_attack_a_name_that_would_be_another_uri(name):
    [result] = found(Finding("X-1", Severity.HIGH, "a", Location(name)))["results"]

    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.isascii()
    assert unquote(uri.removeprefix("file://")) == name
    assert uri.startswith("file:///") if name.startswith("/") else ":" not in uri
