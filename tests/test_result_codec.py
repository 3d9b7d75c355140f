"""One JSON object for a result or an error, with all 64 digits and every finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import golden
from tuneguard import result_codec
from tuneguard.errors import CannotLook, ConfigurationError, ForbiddenTree, Problem, Refused
from tuneguard.findings import Finding, Location, Severity
from world import results

GOLDEN = Path(__file__).parent / "output" / "golden"
FIELDS = {
    *("schema", "command", "verdict", "subjects", "findings", "skipped", "evidence"),
    *("outputs", "facts", "notes", "next", "lines", "error"),
}


@pytest.mark.golden
@pytest.mark.parametrize("name", ["payload", "unreadable"])
def test_each_field_of_a_result(name):
    lines = [["Scanned", "14 files, 412.3 MiB"]]

    golden.check(GOLDEN / f"{name}.json", result_codec.to_json(results.ALL[name](), lines).decode())


@pytest.mark.parametrize("name", results.ALL)
def test_a_result_has_every_field_and_whole_digests(name):
    result = json.loads(result_codec.to_json(results.ALL[name]()))

    assert result.keys() == FIELDS
    assert result["schema"] == "tuneguard.dev/result/v1"
    assert result["error"] is None
    assert all(subject["digest"] in (None, results.TREE) for subject in result["subjects"])


def test_an_error_has_the_same_fields_and_says_why():
    error = ConfigurationError(
        [Problem("unknown key `a`", "t.yaml:1:1", "remove it"), Problem("missing `b`")]
    )

    result = json.loads(result_codec.error_to_json("run", error, [["Copied", "x"]]))

    assert result.keys() == FIELDS
    assert result["verdict"] == "not-understood"
    assert result["lines"] == [["Copied", "x"]]
    assert result["error"] == {
        "exit": 2,
        "problems": [
            {"what": "unknown key `a`", "where": "t.yaml:1:1", "help": "remove it"},
            {"what": "missing `b`", "where": None, "help": None},
        ],
    }


def test_a_refusal_brings_its_findings_along():
    finding = Finding("T-SYMLINK", Severity.HIGH, "a symbolic link", Location("a/b"))

    result = json.loads(result_codec.error_to_json("digest", ForbiddenTree("forbidden", findings=[finding])))

    assert result["verdict"] == "refused"
    assert [found["rule"] for found in result["findings"]] == ["T-SYMLINK"]
    assert result["findings"][0]["location"] == {"path": "a/b"}


@pytest.mark.parametrize(("error", "code"), [(Refused("no"), 1), (CannotLook("no"), 3)])
def test_the_error_holds_the_exit_code(error, code):
    assert json.loads(result_codec.error_to_json("scan", error))["error"]["exit"] == code


def test_it_ends_in_one_newline_and_is_sorted_so_that_two_can_be_compared():
    said = result_codec.to_json(results.passed())

    assert said.endswith(b"}\n")
    assert said == result_codec.to_json(results.passed())
