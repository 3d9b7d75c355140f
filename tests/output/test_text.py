"""What a person sees on a terminal: goldens of whole outputs, and what no terminal may be sent."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from msgspec import structs

import golden
from tuneguard.errors import ConfigurationError, ForbiddenTree, Problem, UsageError
from tuneguard.facts import NoFacts, PromoteFacts
from tuneguard.findings import Finding, Location, Result, Severity, Skipped, Subject, Verdict
from tuneguard.output import text
from world import results

GOLDEN = Path(__file__).parent / "golden"
UNICODE = text.Style(unicode=True)
COLOUR = text.Style(colour=True, unicode=True)
HOSTILE = "a\x1b[31mred\x07\u202egpj.exe\r\nsecond line\u2028third"


@pytest.mark.golden
@pytest.mark.parametrize("name", results.ALL)
def test_each_kind_of_result_as_a_terminal_shows_it(name):
    golden.check(GOLDEN / f"{name}.txt", text.render(results.ALL[name](), UNICODE))


@pytest.mark.golden
def test_a_refusal_where_there_is_neither_colour_nor_unicode():
    golden.check(GOLDEN / "payload.plain.txt", text.render(results.payload()))


def test_a_pass_is_short_the_verdict_before_the_next_step_and_where_the_report_is():
    rows = text.render(results.passed(), UNICODE).splitlines()

    assert rows[0] == "✓ passed"
    assert rows[1].startswith("  next: tuneguard pull oci:registry:ft-042 DIR")
    assert rows[1].endswith(f"report: .tuneguard/reports/{results.ATTEMPT}.html")
    assert len(rows) == 2


@pytest.mark.parametrize("name", results.ALL)
def test_the_verdict_is_last_but_one_and_the_next_step_last(name):
    rows = text.render(results.ALL[name](), UNICODE).splitlines()

    with_next = [row for row in rows if row.startswith("  next: ")]
    verdict = rows[-2] if with_next else rows[-1]
    assert with_next in ([], rows[-1:])
    assert re.match("[✓✗] (passed|refused|not understood|integrity only)", verdict)


def test_a_refusal_says_where_to_read_on():
    assert "docs: tuneguard explain V07\n" in text.render(results.swapped())


def test_a_refusal_without_a_next_step_makes_reading_on_the_next_step():
    result = dataclasses.replace(results.swapped(), next=None)

    assert text.render(result).endswith("  next: tuneguard explain V07\n")


def test_a_refused_promotion_says_that_nothing_was_pushed():
    assert "✗ refused: 2 reasons, nothing pushed\n" in text.render(results.swapped(), UNICODE)


@pytest.mark.parametrize("stopped", ["push", "record"])
def test_a_promotion_that_stopped_while_pushing_does_not_claim_that_nothing_was_pushed(stopped):
    result = results.swapped()

    said = text.render(dataclasses.replace(result, facts=structs.replace(result.facts, stopped=stopped)))

    assert "nothing pushed" not in said


def test_a_finding_of_severity_low_is_printed_and_is_no_reason():
    result = Result("scan", Verdict.PASSED, findings=(results.FAINT,), facts=NoFacts())

    assert text.render(result, UNICODE).splitlines()[0].startswith("low  TG-HIDDEN  .gitattributes")
    assert "explain" not in text.render(result)


def test_colour_only_carries_what_the_words_say():
    for make in results.ALL.values():
        coloured = text.render(make(), COLOUR)

        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == text.render(make(), UNICODE)
        assert coloured != text.render(make(), UNICODE)


def test_without_unicode_the_words_stand_alone():
    said = text.render(dataclasses.replace(results.swapped(), notes=()))

    assert said.isascii()
    assert "REFUSED: 2 reasons" in said


def hostile() -> Result[PromoteFacts]:
    """A result every text of which would act on a terminal, as if nobody had escaped it before."""
    finding = Finding(HOSTILE, Severity.HIGH, HOSTILE, Location(HOSTILE, HOSTILE), HOSTILE, HOSTILE, HOSTILE)
    return Result(
        "scan",
        Verdict.REFUSED,
        (Subject(HOSTILE),),
        (finding,),
        (Skipped(HOSTILE, HOSTILE),),
        facts=results.told(stopped=HOSTILE, report=HOSTILE),
        notes=(HOSTILE,),
        next=HOSTILE,
    )


def test_attack_a_name_that_acts_on_the_terminal_or_reorders_what_is_read():
    said = text.render(hostile(), UNICODE)

    assert all(row.isprintable() for row in said.split("\n"))
    assert "\\x1b[31m" in said
    assert "\\u202e" in said
    assert "\nsecond line" not in said


def test_attack_an_error_that_acts_on_the_terminal():
    finding = Finding("T-NAME", Severity.HIGH, HOSTILE, Location(HOSTILE))
    error = ForbiddenTree(HOSTILE, where=HOSTILE, help=HOSTILE, findings=[finding])

    assert all(row.isprintable() for row in text.render_error(error, UNICODE).split("\n"))


def test_a_line_of_a_step_is_escaped_too():
    assert text.line(text.PLAIN, "Copied", "a\x1b[2J", ("b\x9b",)) == (
        "     Copied  a\\x1b[2J\n             b\\x9b"
    )


def test_what_was_escaped_before_is_not_escaped_again():
    assert text.visible("a\\x1b[31m, C:\\\\x") == "a\\x1b[31m, C:\\\\x"


def test_an_error_has_a_place_and_a_help():
    error = UsageError("no pipeline file", where="tuneguard.yaml", help="make one: tuneguard init")

    assert text.render_error(error) == (
        "error: tuneguard.yaml: no pipeline file\nhelp: make one: tuneguard init\n"
    )


def test_every_problem_of_a_file_is_told_with_its_place():
    problems = [
        Problem("unknown key `expectedDuraton`", "tuneguard.yaml:14:5", "did you mean `expectedDuration`?"),
        Problem("0.80 is looser than the policy's accuracy.min 0.85", "tuneguard.yaml:22:12"),
    ]

    assert text.render_error(ConfigurationError(problems)) == (
        "error: tuneguard.yaml:14:5: unknown key `expectedDuraton`\n"
        "help: did you mean `expectedDuration`?\n"
        "error: tuneguard.yaml:22:12: 0.80 is looser than the policy's accuracy.min 0.85\n"
    )


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (Location("a.bin"), "a.bin"),
        (Location("p.yaml", line=14, column=5), "p.yaml:14:5"),
        (Location("p.yaml", line=14), "p.yaml:14"),
        (
            Location("o.pt", "archive/data.pkl", 1482, "REDUCE"),
            "o.pt ▸ archive/data.pkl ▸ byte 1,482 ▸ REDUCE",
        ),
    ],
)
def test_a_place_is_told_as_precisely_as_it_is_known(location, said):
    assert text.place(location) == said


def test_digests_in_findings_are_short_in_text() -> None:
    full = "7c85ac9faa886309d924470c9f44a3e3e2046885efc30dc782818743feedc2b1"
    finding = Finding("V07", Severity.HIGH, f"changed: signed {full[:12]}", why=f"signed {full}")

    said = text.render(Result("verify", Verdict.REFUSED, findings=(finding,), facts=NoFacts()))

    assert full not in said
    assert said.count(full[:12]) == 1
