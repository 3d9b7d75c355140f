"""The report as a page: what it tells, that it can do nothing, and that names from outside stay text."""

from __future__ import annotations

import base64
import copy
import dataclasses
import fnmatch
import hashlib
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from msgspec import to_builtins

import golden
from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.facts import (
    ControlFacts,
    EvaluateFacts,
    Facts,
    Happened,
    InitFacts,
    LedgerVerifyFacts,
    MigrateFacts,
    PromoteFacts,
    TraceFacts,
    TrainFacts,
)
from tuneguard.findings import Finding, Location, Result, Severity, Skipped, Subject, Verdict
from tuneguard.output import html
from tuneguard.sandbox.state import ControlState
from tuneguard.typed import read
from world import pages, results

GOLDEN = Path(__file__).parent / "golden"
PROJECT = Path(__file__).parents[2]
TEMPLATES = PROJECT / "src/tuneguard/output/templates"
MARKUP = '</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\' onload="alert(3)" {{ 7*7 }}'
ODD = "\u202e\u2066\u200f\x1b[31m\x00\ud800"
HOSTILE = MARKUP + ODD


def page(result: Result[Facts]) -> pages.Element:
    return pages.harmless(html.render(result))


# --- What it tells ---------------------------------------------------------------------------------


@pytest.mark.golden
@pytest.mark.parametrize("name", results.ALL)
def test_each_kind_of_report(name):
    whole = html.render(results.ALL[name]()).decode()
    without_style = re.sub("<style>.*</style>", "<style>…</style>", whole, flags=re.DOTALL)

    golden.check(GOLDEN / f"{name}.html", re.sub("'sha256-[^']*'", "'sha256-…'", without_style))


def test_the_band_of_a_pass_says_what_passed_and_under_which_policy():
    [band] = page(results.passed()).of_class("band")

    for said in (
        "✓ Passed support-llama, run 042",
        "Every gate passed, and the model was pushed to oci:registry:ft-042.",
        f"Tree {results.TREE} 14 files, 412.3 MiB",
        f"Manifest sha256:{results.hex_of('manifest')}",
        "Policy company, version 3, for production",
        "Decided 2026-11-23 09:58:43 UTC (claimed) by pia (release-team)",
        f"Ledger head 18:{results.hex_of('root')}",
    ):
        assert said in band.words


def test_a_development_policy_says_so_in_the_band():
    [band] = page(results.swapped()).of_class("band")

    assert "Development policy: not for production." in band.words


def test_the_band_of_a_refusal_begins_with_the_reasons():
    [band] = page(results.swapped()).of_class("band")

    assert "✗ Refused" in band.words
    assert "Stopped at verify: 2 reasons. Nothing was pushed." in band.words
    assert [item.words for item in band.all("li")] == [
        "V07 model-00002-of-00004.safetensors: changed: signed 77ab02c41d9e, found 0c55e1f2a86b",
        "V09 training_args.bin.bak: added: it is there and not signed",
    ]


def test_a_refused_box_says_why():
    boxes = page(results.payload()).of_class("box")

    [attempt] = [box for box in boxes if box.words.startswith("attempt")]
    assert "bad" in attempt.attributes["class"].split()
    assert "✗ refused, judged by pia (release-team)" in attempt.words
    assert 'TG-PKL-CALL would call posix.system("…") when the file is loaded' in attempt.words


def test_steps_and_gates_that_were_not_reached_are_shown_as_such():
    told = page(results.payload())

    [steps] = told.of_class("steps")
    assert "evaluate – not reached" in steps.words
    assert "decide ✗ signed the refusal push – not reached" in steps.words
    [gate] = [row for row in told.all("tr") if row.words.startswith("evaluation")]
    assert gate.words.endswith("– not reached")


def test_digests_are_whole_and_copied_whole():
    digests = {code.words for code in page(results.passed()).of_class("digest")}

    assert {results.TREE, f"sha256:{results.hex_of('manifest')}", results.hex_of("tickets")} <= digests
    assert ".digest { user-select: all;" in (TEMPLATES / "report.css").read_text()


def test_each_number_is_told_in_words_beside_its_picture():
    told = page(results.below())

    accuracy, toxicity = told.all("svg")
    assert accuracy.attributes["aria-label"] == (
        "accuracy 0.8, interval [0.739, 0.85], needed ≥ 0.85: missed"
    )
    assert toxicity.attributes["aria-label"].endswith("needed ≤ 0.02: met")
    assert "accuracy 0.8 [0.739, 0.85] ≥ 0.85 160 of 200" in told.words


def test_controls_say_how_each_was_tried():
    rows = [row.words for row in page(results.passed()).all("tr")]

    assert "processes ! weakened RLIMIT_NPROC alone, which counts every process of the user" in rows
    assert f"network ✓ proven {results.HOW['network']}" in rows


def test_findings_are_told_whole_and_low_ones_apart():
    words = page(results.payload()).words

    assert "high TG-PKL-CALL optimizer.pt ▸ archive/data.pkl ▸ byte 1,482 ▸ REDUCE" in words
    assert "help export with safetensors" in words
    assert "ref CWE-502, docs/rules.md#tg-pkl-call" in words
    assert "Of severity low, which do not refuse by themselves low TG-HIDDEN" in words


def test_evidence_is_told_with_its_signer_and_what_counts_for_nothing_with_the_reason():
    words = page(results.passed()).words

    assert f"scan sam (security-team) scanner 2026-11-23 09:50:02 UTC {results.SCAN.file}" in words
    assert "scan-0123456789abcdef.sigstore.json V14 names another attempt" in words


def test_what_was_not_looked_at_is_told():
    words = page(results.unreadable()).words

    assert "! Not understood model 2 not looked at." in words
    assert "weights.gguf a format that the scanner has not learned" in words


def test_an_intact_tree_of_which_nothing_was_expected_does_not_look_like_a_pass():
    told = page(results.integrity())

    [band] = told.of_class("band")
    assert "! Integrity only" in band.words
    assert "That does not pass." in band.words
    assert "✓" not in band.words


def test_the_page_says_that_it_is_no_proof():
    assert "This page is not signed and proves nothing by itself" in page(results.passed()).words


def test_facts_that_have_no_place_of_their_own_are_shown_as_they_are():
    entry = {"time": "t", "event": "done", "command": "push", "run": None, "attempt": None, "result": None}
    history = tuple(
        Happened(**entry, sequence=sequence, detail=detail)
        for sequence, detail in ((1, {"tag": "x"}), (2, {}))
    )
    checked = LedgerVerifyFacts(size=2, root="ab", anchored=False, beside=None, summary="sound")
    migrated = MigrateFacts(version=2, signed=True, document="one\n  two", difference="")
    made = InitFacts(roles=("builder",), controls={"network": ControlState.PROVEN})
    traced = TraceFacts(tree="ab", lineage=None, history=history)

    ledger, policy, init, trace = (
        page(Result("x", Verdict.PASSED, facts=facts)) for facts in (checked, migrated, made, traced)
    )

    assert "anchored no" in ledger.words
    assert "beside" not in ledger.words
    assert [pre.text for pre in policy.all("pre")] == ["one\n  two"]
    assert 'walls {"network":"proven"}' in init.words
    assert [row.words for row in trace.all("tr")] == [
        "sequence time event command run attempt result detail",
        '1 t done push {"tag":"x"}',
        "2 t done push {}",
    ]


def test_the_controls_of_a_run_and_the_gate_of_an_evaluation_have_their_place_too():
    tried = {"network": ControlFacts(state=ControlState.ABSENT, how="not tried")}
    trained = TrainFacts(run="1", tree="ab", kind="final", seconds=1.0, controls=tried)
    measured = read({"gate": results.GATES["evaluation"]}, EvaluateFacts, "the facts")

    assert "network ✗ absent not tried" in page(Result("run", Verdict.PASSED, facts=trained)).words
    assert len(page(Result("evaluate", Verdict.PASSED, facts=measured)).all("svg")) == 2


# --- That anybody can read it ----------------------------------------------------------------------


@pytest.mark.parametrize("name", results.ALL)
def test_headings_tables_and_landmarks_are_in_order(name):
    told = page(results.ALL[name]())

    levels = [int(heading.tag[1]) for heading in told.all("h1", "h2", "h3")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert told.all("html")[0].attributes["lang"] == "en"
    assert [len(told.all(tag)) for tag in ("title", "header", "main", "footer")] == [1, 1, 1, 1]
    for cell in told.all("th"):
        assert cell.attributes["scope"] in ("col", "row")
    for picture in told.all("svg"):
        assert picture.attributes["role"] == "img"
        assert picture.attributes["aria-label"]


@pytest.mark.parametrize("name", results.ALL)
def test_what_refers_to_a_place_of_the_page_finds_it_and_every_place_is_one(name):
    told = page(results.ALL[name]())

    ids = [each.attributes["id"] for each in told.all() if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for link in told.all("a"):
        assert link.attributes["href"].removeprefix("#") in ids
    for section in told.all("section"):
        assert section.attributes["aria-labelledby"] in ids


@pytest.mark.parametrize("name", results.ALL)
def test_no_state_is_told_by_colour_alone(name):
    for stand in page(results.ALL[name]()).of_class("stand"):
        sign, words = stand.words.split(" ", 1)
        assert sign in "✓✗!–"
        assert words.strip()


def colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("block", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_text_can_be_read_on_every_ground(block):
    css = (TEMPLATES / "report.css").read_text()
    palette = colours(re.findall(r":root \{(.*?)\}", css, re.DOTALL)[block])

    for ground in ("paper", "shade", "good-shade", "bad-shade", "doubt-shade"):
        for ink in ("ink", "soft"):
            assert contrast(palette[ink], palette[ground]) >= 4.5, (ink, ground)
    for state in ("good", "bad", "doubt"):
        for ground in ("paper", f"{state}-shade"):
            assert contrast(palette[state], palette[ground]) >= 4.5, (state, ground)


# --- That it can do nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("name", results.ALL)
def test_the_policy_of_the_page_forbids_everything_but_its_own_style(name):
    told = page(results.ALL[name]())

    [policy] = [
        meta.attributes["content"]
        for meta in told.all("meta")
        if meta.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    [style] = told.all("style")
    allowed = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    )


def test_the_policy_comes_before_everything_that_it_governs():
    head = page(results.passed()).all("head")[0]

    assert [child.tag for child in head.children[:2]] == ["meta", "meta"]
    assert head.children[1].attributes["http-equiv"] == "Content-Security-Policy"


def leaves(value, path=()):
    """Every text in nested facts, the names of mappings too, by its path."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*path, index))


def poisoned(facts, path):
    """The facts with one text followed by a hostile one."""
    copied = copy.deepcopy(facts)
    place = copied
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] += HOSTILE
    return results.told(**copied)


def is_printable(rendered: bytes) -> bool:
    return all(character.isprintable() or character == "\n" for character in rendered.decode())


@pytest.mark.parametrize("name", ["passed", "below", "swapped"])
def test_attack_markup_and_odd_characters_in_any_fact(name):
    result = results.ALL[name]()

    facts = to_builtins(result.facts)

    refused = set()
    for path in leaves(facts):
        try:
            attacked = poisoned(facts, path)
        except NotUnderstood:
            refused.add(path[-1])
            continue
        rendered = html.render(dataclasses.replace(result, facts=attacked))
        pages.harmless(rendered)
        assert is_printable(rendered), path
    assert refused <= {"verdict", "state"}  # one of a few words, or it is not read at all


def hostile_result(text: str = HOSTILE) -> Result[PromoteFacts]:
    finding = Finding(text, Severity.HIGH, text, Location(text, text, 1, text), text, text, text)
    piece = dataclasses.replace(results.SCAN, kind=text, role=text, identity=text, file=text, time=text)
    return dataclasses.replace(
        results.payload(),
        command=text,
        subjects=(Subject(text, text),),
        findings=(finding, dataclasses.replace(finding, severity=Severity.LOW)),
        skipped=(Skipped(text, text),),
        evidence=(piece,),
        outputs=(text,),
        notes=(text,),
        next=text,
    )


def test_attack_markup_and_odd_characters_in_everything_else():
    rendered = html.render(hostile_result())

    told = pages.harmless(rendered)
    assert is_printable(rendered)
    assert "<script>alert(1)</script>" in told.words  # as text, in full view
    assert "\\u202e\\u2066\\u200f\\x1b[31m\\x00\\ud800" in told.words.lower()
    assert "{{ 7*7 }}" in told.words


def test_attack_markup_in_the_names_of_what_a_fact_holds():
    happened = {
        "sequence": 1,
        "time": HOSTILE,
        "event": HOSTILE,
        "command": HOSTILE,
        "result": f"one\n{HOSTILE}",
    }
    history = (Happened(**happened, run=None, attempt=None, detail={HOSTILE: {HOSTILE: 1}}),)
    traced = TraceFacts(tree=HOSTILE, lineage=None, history=history)
    made = InitFacts(roles=(HOSTILE,), controls={HOSTILE: ControlState.PROVEN})

    for facts in (traced, made):
        rendered = html.render(Result("trace", Verdict.PASSED, facts=facts))

        assert b"alert(1)" in rendered
        pages.harmless(rendered)
        assert is_printable(rendered)


def test_attack_a_page_too_large_to_open():
    many = 5_000
    long = "x" * 100_000
    finding = Finding("TG-PKL-CALL", Severity.HIGH, long, Location(long), long, long, long)
    made = results.lineage()
    made["from"] = [{**made["from"][0], "name": f"data-{index}{long[:3000]}"} for index in range(many)]
    result = dataclasses.replace(
        results.refused(
            "decide",
            lineage=made,
            uncounted=[[f"{index}.json", long] for index in range(many)],
            walls=[{"name": f"control-{index}", "state": "absent", "how": long} for index in range(many)],
        ),
        findings=tuple(dataclasses.replace(finding, rule=f"X-{index}") for index in range(many)),
        skipped=tuple(Skipped(f"{index}", long) for index in range(many)),
        evidence=results.payload().evidence * many,
        outputs=(long,) * many,
        notes=(long,) * many,
    )

    rendered = html.render(result)

    told = pages.harmless(rendered)
    assert len(rendered) < 8 * limits.MIB
    assert "and 4,800 more findings, which the JSON result lists" in told.words
    assert "and 4,997 more" in told.of_class("band")[0].words
    assert "and 4,988 more, below" in told.of_class("lineage")[0].words
    assert "… and 98,000 characters more" in told.words


def test_attack_a_history_too_large_to_open():
    entry = {"time": "t", "event": "done", "run": None, "attempt": None, "result": None}
    long = "x" * 100_000
    happened = Happened(**entry, sequence=1, command=long, detail={"a": long})
    facts = TraceFacts(tree="ab", lineage=None, history=(happened,) * 5_000)

    rendered = html.render(Result("trace", Verdict.PASSED, facts=facts))

    assert len(rendered) < 8 * limits.MIB
    assert "and 4,800 more rows" in pages.harmless(rendered).words


def test_the_same_result_makes_the_same_page():
    assert html.render(results.passed()) == html.render(results.passed())


# --- How it is shipped -----------------------------------------------------------------------------


def test_every_part_of_the_page_is_shipped_with_the_package():
    patterns = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped = [pattern for pattern in patterns["tuneguard"] if pattern.startswith("output/")]

    for path in TEMPLATES.iterdir():
        name = path.relative_to(PROJECT / "src/tuneguard").as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in shipped), name


def test_jinja_is_imported_only_when_a_page_is_made():
    code = "import sys, tuneguard.output.html; sys.exit('jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
