"""The scan gate judges findings, and believes no verdict."""

from __future__ import annotations

from typing import Any

import pytest

from tuneguard.errors import ConfigurationError
from tuneguard.findings import Severity, Verdict
from tuneguard.gates import engine
from tuneguard.gates.scan import Settings, decode, tighten
from tuneguard.records import read_yaml
from world.cases import case, judged
from world.company import policy, scan


def found(severity: str, **facts: Any) -> dict[str, Any]:
    """A finding as scan evidence holds it."""
    return {"rule": "TG-PKL-CALL", "severity": severity, "message": "would call posix.system", **facts}


@pytest.mark.parametrize("severity", ["medium", "high", "critical"])
def test_a_scanner_that_says_passed_over_its_own_findings_is_not_believed(severity: str) -> None:
    said = judged("scan", case(scan(verdict="passed", findings=(found(severity),))))

    assert said.verdict is Verdict.REFUSED
    assert [(each.rule, each.severity) for each in said.findings] == [("TG-PKL-CALL", severity)]


def test_a_finding_keeps_its_place_and_is_safe_to_print() -> None:
    place = {"path": "optimizer.pt", "member": "archive/\x1bdata.pkl", "offset": 1482, "opcode": "REDUCE"}

    (finding,) = judged("scan", case(scan(findings=(found("high", location=place, why="x"),)))).findings

    assert finding.location is not None
    assert (finding.location.path, finding.location.offset) == ("optimizer.pt", 1482)
    assert finding.location.member == "archive/\\x1bdata.pkl"
    assert finding.why == "x"


@pytest.mark.parametrize(
    "odd",
    [{"message": 5}, {"message": None}, {"location": {"offset": 1}}, {"location": []}, {"why": ["x"]}],
    ids=str,
)
def test_attack_a_finding_of_another_shape_refuses_whatever_its_severity(odd: dict[str, Any]) -> None:
    said = judged("scan", case(scan(findings=(found("low", **odd),))))

    assert said.verdict is Verdict.REFUSED
    assert "a finding is not understood" in said.findings[0].message
    assert said.findings[0].message.isprintable()


def test_attack_no_text_of_a_finding_acts_on_a_terminal() -> None:
    odd = "\x1b[31m\u202e"
    place = {"path": odd, "member": odd, "opcode": odd}
    texts = {"rule": odd, "message": odd, "why": odd, "fix": odd, "reference": odd}

    (finding,) = judged("scan", case(scan(findings=(found("high", location=place) | texts,)))).findings

    shown = [finding.rule, finding.message, finding.why, finding.fix, finding.reference]
    assert finding.location is not None
    shown += [finding.location.path, finding.location.member, finding.location.opcode]
    assert all(text is not None and text.isprintable() for text in shown)


def test_low_is_shown_and_refuses_only_where_the_policy_lists_it() -> None:
    low = scan(findings=(found("low"),))
    strict = policy(lambda p: p["gates"]["scan"].update(refuse=["low", "medium", "high", "critical"]))

    shown = judged("scan", case(low))
    refused = judged("scan", case(low, under=strict))

    assert shown.verdict is Verdict.PASSED
    assert [each.severity for each in shown.findings] == [Severity.LOW]
    assert refused.verdict is Verdict.REFUSED


def test_a_file_that_the_scanner_could_not_understand_refuses() -> None:
    said = judged("scan", case(scan(skipped=({"path": "weights.bin", "reason": "truncated"},))))

    assert said.verdict is Verdict.REFUSED
    assert "could not be understood: truncated" in said.findings[0].message
    assert said.findings[0].location is not None
    assert said.findings[0].location.path == "weights.bin"


@pytest.mark.parametrize("facts", [{"files": 3}, {"bytes": 1}, {"files": 0, "bytes": 0}])
def test_a_scan_of_half_the_tree_refuses(facts: dict[str, int]) -> None:
    said = judged("scan", case(scan(**facts)))

    assert said.verdict is Verdict.REFUSED
    assert "the tree holds 5" in said.findings[0].message


def test_a_scanner_that_refuses_without_a_reason_refuses() -> None:
    assert judged("scan", case(scan(verdict="refused"))).verdict is Verdict.REFUSED
    assert judged("scan", case(scan(verdict="not-understood"))).verdict is Verdict.REFUSED


def test_what_was_found_is_told_in_numbers() -> None:
    said = judged("scan", case(scan(findings=(found("low"), found("high"), found("high")))))

    assert said.found == "5 files, 0 not understood, findings: 2 high, 1 low"
    assert said.needed == "all 5 files understood, nothing medium, high, critical"
    assert said.by == ("sam (security-team)",)


def test_no_policy_can_let_medium_pass() -> None:
    with pytest.raises(ConfigurationError, match="medium, critical always refuse"):
        engine.settings(policy(lambda p: p["gates"]["scan"].update(refuse=["high"])), None)
    with pytest.raises(ConfigurationError, match="is no severity"):
        engine.settings(policy(lambda p: p["gates"]["scan"].update(refuse=["hihg"])), None)


def test_without_a_block_medium_and_above_refuse() -> None:
    bare = policy(lambda p: p["gates"].pop("scan"))

    assert decode(None) == Settings()
    assert judged("scan", case(scan(findings=(found("medium"),)), under=bare)).verdict is Verdict.REFUSED


def test_a_pipeline_file_may_add_low_and_cannot_take_it_away() -> None:
    usual = decode(read_yaml(b"refuse: [medium, high, critical]", "policy.yaml"))
    strict = decode(read_yaml(b"refuse: [low, medium, high, critical]", "policy.yaml"))

    assert tighten(usual, strict, engine.POLICYS) == strict
    with pytest.raises(ConfigurationError, match=r"not to refuse low is looser .* \(policy.yaml:1:9\)"):
        tighten(strict, usual, engine.PIPELINES)


# --- the formats that a policy lists -------------------------------------------------------------------

FEW = ["safetensors", "json"]


def listing(formats: list[str]):
    """The policy with a list of formats."""
    return policy(lambda p: p["gates"]["scan"].update(formats=formats))


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        (None, "the scan let any format pass"),
        (("safetensors", "json", "torch"), "the scan let safetensors, json, torch pass"),
        (("torch",), "the scan let torch pass"),
        (("JSON",), "the scan let JSON pass"),
        (("\x1b[31m",), "the scan let \\x1b[31m pass"),
    ],
)
def test_attack_a_scan_that_was_made_under_a_wider_list_does_not_count(
    formats: tuple[str, ...] | None, said: str
) -> None:
    result = judged("scan", case(scan(formats=formats), under=listing(FEW)))

    assert result.verdict is Verdict.REFUSED
    assert [finding.rule for finding in result.findings] == ["G-SCAN"]
    assert said in result.findings[0].message
    assert "the policy lists json, safetensors" in result.findings[0].message


@pytest.mark.parametrize("formats", [("safetensors", "json"), ("json",), ()])
def test_a_scan_under_the_policys_list_or_a_narrower_one_counts(formats: tuple[str, ...]) -> None:
    result = judged("scan", case(scan(formats=formats), under=listing(FEW)))

    assert result.verdict is Verdict.PASSED
    assert result.needed.endswith("only json, safetensors")


def test_without_a_list_a_scan_counts_under_any() -> None:
    assert judged("scan", case(scan(formats=("torch",)))).verdict is Verdict.PASSED
    assert judged("scan", case(scan())).verdict is Verdict.PASSED


def test_an_empty_list_allows_nothing() -> None:
    assert judged("scan", case(scan(formats=("json",)), under=listing([]))).verdict is Verdict.REFUSED
    assert judged("scan", case(scan(formats=()), under=listing([]))).verdict is Verdict.PASSED


def test_a_name_that_is_no_format_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError) as caught:
        decode(read_yaml(b"formats: [safetensors, pikle, TORCH]", "policy.yaml"))

    assert [problem.what for problem in caught.value.problems] == [
        "no format is called `pikle`",
        "no format is called `TORCH`",
    ]
    assert "known: safetensors, torch, gguf" in (caught.value.problems[0].help or "")


def test_a_models_list_and_a_pipelines_can_only_be_shorter() -> None:
    usual = decode(read_yaml(b"refuse: [low, medium, high, critical]\nformats: [json, torch]", "policy.yaml"))
    fewer = decode(read_yaml(b"formats: [json]", "policy.yaml"))
    more = decode(read_yaml(b"formats: [json, gguf]", "policy.yaml"))

    assert tighten(usual, fewer, engine.POLICYS).formats == {"json"}
    assert tighten(usual, fewer, engine.POLICYS).refuse == usual.refuse
    assert tighten(usual, decode(read_yaml(b"refuse: [low, medium, high, critical]", "x")), "x").formats == {
        "json",
        "torch",
    }
    assert tighten(Settings(), more, engine.POLICYS).formats == {"json", "gguf"}
    with pytest.raises(ConfigurationError, match=r"gguf is more than the policy's scan.formats lists"):
        tighten(usual, more, engine.PIPELINES)
