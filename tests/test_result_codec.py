"""One JSON object for a result or an error, with all 64 digits and every finding."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

import golden
from tuneguard import result_codec
from tuneguard.cli.app import app
from tuneguard.errors import (
    CannotLook,
    ConfigurationError,
    ForbiddenTree,
    NotUnderstood,
    Problem,
    Refused,
    TuneguardError,
)
from tuneguard.facts import OF, PromoteFacts, ScanFacts
from tuneguard.findings import Finding, Location, Severity, Verdict
from world import result_schema, results

GOLDEN = Path(__file__).parent / "output" / "golden"
SCHEMA = Path(__file__).parents[1] / "docs" / "schemas" / "result.schema.json"
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


# --- The published schema --------------------------------------------------------------------------


@pytest.mark.golden
def test_the_published_schema_is_made_from_the_classes():
    golden.check(SCHEMA, json.dumps(result_schema.made(), indent=2, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_output_is_what_the_schema_describes_and_nothing_else(path):
    assert result_schema.faults(json.loads(SCHEMA.read_text()), json.loads(path.read_text())) == []


@pytest.mark.parametrize("name", results.ALL)
def test_every_sample_is_what_the_schema_describes_and_nothing_else(name):
    said = json.loads(result_codec.to_json(results.ALL[name](), [["Scanned", "x"]]))

    assert result_schema.faults(json.loads(SCHEMA.read_text()), said) == []


def test_an_error_is_what_the_schema_describes_and_has_no_facts():
    described = json.loads(SCHEMA.read_text())
    error = json.loads(
        result_codec.error_to_json("scan", CannotLook("no", where="x", help="y"), notes=("z",))
    )

    assert result_schema.faults(described, error) == []
    assert result_schema.faults(described, error | {"facts": {"files": 1}})


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "tuneguard.dev/result/v2"},
        {"verdict": "fine"},
        {"command": "no-such-command"},
        {"command": "copy"},
        {"facts": {}},
        {"facts": {"files": "3", "bytes": 2048, "rules": "x"}},
        {"facts": {"files": 3, "bytes": 2048, "rules": "x", "more": 1}},
        {"notes": [1]},
        {"more": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_no_command_prints(change):
    said = json.loads(result_codec.to_json(results.unreadable()))

    assert result_schema.faults(json.loads(SCHEMA.read_text()), said | change)


def names(command: click.Command, path: tuple[str, ...] = ()) -> list[str]:
    """Every command's name as its results bear it."""
    if not isinstance(command, click.Group):
        return [" ".join(path)]
    context = click.Context(command)
    children = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return [found for name, child in children.items() if child for found in names(child, (*path, name))]


def test_every_command_has_its_facts_in_the_schema():
    known = {name.replace("ledger list", "ledger") for name in names(app)}

    assert known == set(OF)


# --- And back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", results.ALL)
def test_what_is_read_is_what_was_written(name):
    result = results.ALL[name]()

    again = result_codec.from_json(
        result_codec.to_json(result), type(result.facts), result.verdict.exit_code, "result.json"
    )

    assert again == result


def test_a_field_of_a_later_version_is_ignored():
    said = json.loads(result_codec.to_json(results.unreadable()))
    said["later"] = said["facts"]["later"] = 1

    assert result_codec.decode(said, ScanFacts, 3, "result.json") == results.unreadable()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("schema",), "tuneguard.dev/result/v2", "`schema`: invalid enum value"),
        (("verdict",), "fine", "`verdict`: invalid enum value"),
        (("facts", "files"), 3.0, "`facts.files`: expected `int`, got `float`"),
        (("facts", "files"), True, "`facts.files`: expected `int`, got `bool`"),
        (("facts", "rules"), ..., "`facts.rules` is missing"),
        (("skipped", 0, "path"), None, "`skipped[0].path`: expected `str`, got `null`"),
        (("notes",), "one", "`notes`: expected `array`, got `str`"),
        (("error",), {}, "`error.exit` is missing"),
        (("error",), {"exit": 0, "problems": []}, "`error.problems`"),
    ],
    ids=str,
)
def test_attack_a_result_that_is_of_another_shape_is_not_understood(path, value, said):
    written = json.loads(result_codec.to_json(results.unreadable()))
    place = written
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value

    with pytest.raises(NotUnderstood) as caught:
        result_codec.from_json(json.dumps(written).encode(), ScanFacts, 3, "result.json")

    assert said in str(caught.value)
    assert str(caught.value).endswith(" at result.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"schema": "a", "schema": "a"}', b"[" * 100_000])
def test_attack_what_is_no_result_at_all_is_not_understood(data):
    with pytest.raises(NotUnderstood):
        result_codec.from_json(data, ScanFacts, 0, "result.json")


@pytest.mark.parametrize("code", [1, 2, 3, 4, 130, None])
def test_attack_a_pass_that_the_exit_code_does_not_confirm_is_none(code):
    read = result_codec.from_json(
        result_codec.to_json(results.passed()), PromoteFacts, code, "the step promote"
    )

    assert read.verdict is Verdict.NOT_UNDERSTOOD


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused("no", where="x", help="y"), Refused),
        (ForbiddenTree("no", findings=[results.CHANGED]), Refused),
        (ConfigurationError([Problem("a", "x:1"), Problem("b")]), ConfigurationError),
        (CannotLook("no", help="y"), TuneguardError),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_error_is_raised_again_with_all_that_it_said(error, kind):
    said = result_codec.error_to_json("scan", error)

    with pytest.raises(kind) as caught:
        result_codec.from_json(said, ScanFacts, error.exit_code, "the step scan")

    assert caught.value.exit_code == error.exit_code
    assert caught.value.problems == error.problems
    assert getattr(caught.value, "findings", ()) == getattr(error, "findings", ())


def test_attack_an_error_with_the_exit_code_of_a_pass_is_still_an_error():
    said = result_codec.error_to_json("scan", Refused("no"))

    with pytest.raises(TuneguardError) as caught:
        result_codec.from_json(said, ScanFacts, 0, "the step scan")

    assert caught.value.exit_code == CannotLook.exit_code
