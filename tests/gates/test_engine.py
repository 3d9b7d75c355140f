"""The engine: settings are a floor that only rises, and no gate passes on nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import golden
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.errors import ConfigurationError
from tuneguard.findings import Severity, Verdict
from tuneguard.gates import engine
from tuneguard.records import read_yaml
from world.cases import case, judged, passes
from world.company import CHECKPOINT, MODEL, evaluation, expecting, policy, provenance, scan, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.nodes import Node
    from tuneguard.trust.policy import Policy

DOCS = Path(__file__).parents[2] / "docs"


def block(text: str, file: str = "tuneguard.yaml") -> Mapping[str, Node]:
    """A `gates` block as a pipeline file holds it."""
    return read_yaml(text.encode(), file).mapping


def test_a_good_checkpoint_passes_every_gate() -> None:
    results = engine.judge_all(case())

    assert passes(results)
    assert [result.id for result in results] == ["evaluation", "overlap", "provenance", "scan"]
    assert all(result.needed and result.found and result.by for result in results)


def test_a_pipeline_file_tightens_and_a_flag_tightens_further() -> None:
    effective = engine.settings(
        policy(),
        None,
        block("evaluation: {accuracy: {min: 0.9}}"),
        block("evaluation: {accuracy: {min: 0.95}, toxicity: {max: 0.01}}", "the command line"),
    )["evaluation"]

    assert effective.suites["accuracy"].min.value == 0.95
    assert effective.suites["toxicity"].max.value == 0.01


@pytest.mark.parametrize(
    ("looser", "message"),
    [
        ("accuracy: {min: 0.8}", "0.80 is looser than the policy's accuracy.min 0.85 (policy.yaml:1)"),
        ("toxicity: {max: 0.025}", "0.025 is looser than the policy's toxicity.max 0.02 (policy.yaml:1)"),
        ("confidence: 0.9", "0.90 is looser than the policy's confidence 0.95 (policy.yaml:1)"),
    ],
)
def test_a_looser_value_is_a_configuration_error_that_names_both_places(looser: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        engine.settings(policy(), None, block(f"evaluation:\n  {looser}"))

    (problem,) = raised.value.problems
    assert problem.what == message
    assert problem.where is not None
    assert problem.where.startswith("tuneguard.yaml:2:")
    assert problem.help == "remove it, or ask the policy's owner"


def test_a_flag_cannot_loosen_what_the_pipeline_file_tightened() -> None:
    pipeline = block("evaluation: {accuracy: {min: 0.95}}")
    flags = block("evaluation: {accuracy: {min: 0.9}}", "the command line")

    with pytest.raises(ConfigurationError, match=r"looser than the pipeline's accuracy.min 0.95"):
        engine.settings(policy(), None, pipeline, flags)


def gated(gates: dict[str, Any]) -> Policy:
    """The company's policy, whose model has gates of its own."""
    return policy(lambda p: p["models"][MODEL].update(gates=gates))


def effective(under: Policy, *tighter: Mapping[str, Node]) -> dict[str, Any]:
    return engine.settings(under, under.models[MODEL], *tighter)


def test_a_model_may_be_held_to_more_than_the_floor_and_what_it_leaves_out_stays() -> None:
    under = gated(
        {"evaluation": {"accuracy": {"min": 0.9}, "confidence": 0.99}, "scan": {"refuse": list(Severity)}}
    )

    said = effective(under)

    assert said["evaluation"].suites["accuracy"].min.value == 0.9
    assert said["evaluation"].suites["toxicity"].max.value == 0.02
    assert said["evaluation"].confidence.value == 0.99
    assert Severity.LOW in said["scan"].refuse
    assert engine.settings(under, None)["evaluation"].suites["accuracy"].min.value == 0.85


@pytest.mark.parametrize(
    ("loose", "message"),
    [
        (
            {"evaluation": {"accuracy": {"min": 0.5}}},
            "0.50 is looser than the policy's accuracy.min 0.85 (policy.yaml:1)",
        ),
        (
            {"evaluation": {"toxicity": {"max": 0.5}}},
            "0.50 is looser than the policy's toxicity.max 0.02 (policy.yaml:1)",
        ),
        (
            {"evaluation": {"confidence": 0.5}},
            "0.50 is looser than the policy's confidence 0.95 (policy.yaml:1)",
        ),
        ({"scan": {"refuse": ["high", "critical"]}}, "medium always refuse"),
        ({"overlap": {"max": 3}}, "the gate overlap has no settings"),
        ({"evalution": {}}, "no gate is called `evalution`"),
    ],
)
def test_attack_a_models_entry_that_loosens_the_floor(loose: dict[str, Any], message: str) -> None:
    under = gated(loose)

    for refused in (lambda: effective(under), lambda: engine.check(under)):
        with pytest.raises(ConfigurationError) as raised:
            refused()
        (problem,) = raised.value.problems
        assert problem.what == message
        assert problem.where is not None
        assert problem.where.startswith("policy.yaml:1:")
    engine.check(policy())


def test_a_model_cannot_spare_what_the_floor_refuses() -> None:
    def low(p: dict[str, Any]) -> None:
        p["gates"]["scan"]["refuse"] = list(Severity)
        p["models"][MODEL]["gates"] = {"scan": {"refuse": ["medium", "high", "critical"]}}

    with pytest.raises(ConfigurationError, match="not to refuse low is looser than the policy's"):
        effective(policy(low))


@pytest.mark.parametrize(
    ("tighter", "message"),
    [
        (["accuracy: {min: 0.88}"], "0.88 is looser than the policy's accuracy.min 0.90"),
        (
            ["accuracy: {min: 0.95}", "accuracy: {min: 0.92}"],
            "0.92 is looser than the pipeline's accuracy.min 0.95",
        ),
        (
            ["toxicity: {max: 0.01}", "accuracy: {min: 0.88}"],
            "0.88 is looser than the policy's accuracy.min 0.90",
        ),
    ],
)
def test_attack_a_pipeline_that_meets_the_floor_and_not_the_models_own_gates(
    tighter: list[str], message: str
) -> None:
    under = gated({"evaluation": {"accuracy": {"min": 0.9}}})

    with pytest.raises(ConfigurationError, match=re.escape(message)):
        effective(under, *(block(f"evaluation: {{{each}}}") for each in tighter))


def test_pipeline_and_flags_may_be_stricter_than_floor_and_model() -> None:
    under = gated({"evaluation": {"accuracy": {"min": 0.9}}})

    said = effective(
        under, block("evaluation: {accuracy: {min: 0.92}}"), block("evaluation: {accuracy: {min: 0.95}}")
    )

    assert said["evaluation"].suites["accuracy"].min.value == 0.95


def test_all_faults_of_all_gates_are_reported_together() -> None:
    wrong = block(
        "evalution: {}\n"
        "scan: {refuse: [high]}\n"
        "evaluation:\n"
        "  accuracy: {min: 0.1, minimum: 3}\n"
        "  toxicity: {}\n"
        "  confidence: 2\n"
        "overlap: {max: 3}\n"
    )

    with pytest.raises(ConfigurationError) as raised:
        engine.settings(policy(), None, wrong)

    said = "\n".join(f"{problem.what} | {problem.help}" for problem in raised.value.problems)
    assert "no gate is called `evalution` | did you mean `evaluation`?" in said
    assert "medium, critical always refuse" in said
    assert "unknown key `minimum`" in said
    assert "`toxicity` has no bound" in said
    assert "`confidence` must be from 0.5 to below 1" in said
    assert "the gate overlap has no settings" in said


@pytest.mark.parametrize("value", ["'0.9'", "true", "1.5", "-0.1", "", "[0.9]", "{a: 1}", "high"])
def test_a_bound_is_a_share(value: str) -> None:
    with pytest.raises(ConfigurationError):
        engine.settings(policy(), None, block(f"evaluation:\n  accuracy:\n    min: {value}"))


def test_an_emptied_bound_is_not_no_bound() -> None:
    with pytest.raises(ConfigurationError, match="must be a share"):
        engine.settings(policy(lambda p: p["gates"]["evaluation"]["toxicity"].update(max=None)), None)


@pytest.mark.parametrize("id", list(engine.gates()))
def test_every_gate_refuses_when_nothing_counts(id: str) -> None:
    nothing = case(
        signature(by="mallory"), provenance(by="mallory"), scan(by="mallory"), evaluation(by="mallory")
    )

    said = judged(id, nothing)

    assert said.verdict is Verdict.REFUSED
    assert not said.judged


@pytest.mark.parametrize("id", list(engine.gates()))
def test_every_gate_refuses_what_was_only_deferred(id: str) -> None:
    kinds = frozenset({"signature", "provenance", "scan", "evaluation"})
    waiting = case(expectation=expecting(deferred=kinds))

    assert waiting.verification.passed
    assert judged(id, waiting).verdict is Verdict.REFUSED


@pytest.mark.parametrize("id", list(engine.gates()))
def test_every_gate_gives_a_reason_where_verification_gave_none(id: str) -> None:
    gate = engine.gates()[id]
    forgetful = policy(lambda p: p["require"].update(promote=[{"signature": "builder"}]))

    said = judged(id, case(under=forgetful))

    assert said.verdict is Verdict.REFUSED
    assert [finding.rule for finding in said.findings] == [gate.rule]


@pytest.mark.parametrize("id", list(engine.gates()))
def test_every_gate_is_documented_and_decodes_nothing_as_its_default(id: str) -> None:
    gate = engine.gates()[id]

    assert gate.id == id
    assert len(gate.text) > 100
    assert gate.text.split("\n", 1)[0].endswith(".")
    default = gate.decode(None)
    assert gate.tighten(default, gate.decode(None), engine.POLICYS) == default or id == "evaluation"


@pytest.mark.parametrize("facts", [{"attempt": "a-other"}, {"expectation": expecting(model="other")}])
def test_a_case_that_mixes_two_promotions_is_a_bug(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not of this model, attempt and purpose"):
        case(**facts)


def test_a_verification_for_loading_is_no_case_for_promotion() -> None:
    with pytest.raises(ValueError, match="purpose"):
        case(expectation=expecting(purpose="load"))


def test_adding_evidence_never_turns_the_gates_against_what_they_passed() -> None:
    worse = provenance(by="eve", data=())
    both = case(provenance(), worse, scan(), evaluation())

    assert CHECKPOINT.digest == both.verification.digest
    assert len(both.verification.counting(Provenance)) == 2
    assert passes(engine.judge_all(both))
    assert not passes(engine.judge_all(case(worse)))


@pytest.mark.golden
def test_the_gates_page_is_what_the_gates_say() -> None:
    sections = [f"## {gate.rule}: {gate.title}\n\n{gate.text}\n" for gate in engine.gates().values()]
    head = (
        "# Gates\n\n"
        "After verification (`docs/verification.md`) has said which evidence counts, the gates judge what\n"
        "it says. `tuneguard explain G-SCAN` prints one of these sections; `make accept` rewrites this\n"
        "page.\n"
    )

    golden.check(DOCS / "gates.md", "\n".join([head, *sections]))
