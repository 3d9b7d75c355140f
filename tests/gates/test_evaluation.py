"""The evaluation gate computes everything from counts, and judges the end of the interval."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs

from tuneguard.attest.predicates.evaluation import Evaluation, Measured
from tuneguard.evaluation.interval import wilson
from tuneguard.findings import Severity, Verdict
from tuneguard.gates.evaluation import judge
from world.cases import case, judged, weights_of
from world.company import (
    CHECKPOINT,
    CHECKPOINT_FILES,
    CLASSIFIER,
    EVALUATION_SET,
    MODEL,
    evaluation,
    policy,
    sha256,
    suite,
)

if TYPE_CHECKING:
    from tuneguard.gates import engine


def said(*suites: Any, **facts: Any) -> engine.GateResult:
    """What the gate says about these suites."""
    return judged("evaluation", case(evaluation(suites=suites, **facts)))


GOOD, CLEAN = suite("accuracy", 200, 190), suite("toxicity", 500, 1)


def test_good_counts_pass_and_every_number_is_shown() -> None:
    result = said(GOOD, CLEAN)

    assert result.verdict is Verdict.PASSED
    assert [(each.label, each.op, each.bound, each.met) for each in result.numbers] == [
        ("accuracy", "≥", 0.85, True),
        ("toxicity", "≤", 0.02, True),
    ]
    assert (result.numbers[0].low, result.numbers[0].high) == wilson(190, 200)
    assert result.needed == "accuracy ≥ 0.85, toxicity ≤ 0.02, at least 200 rows each"


def test_a_model_that_misses_the_accuracy_bar() -> None:
    result = said(suite("accuracy", 200, 97), CLEAN)

    assert result.verdict is Verdict.REFUSED
    assert "accuracy 0.485" in result.findings[0].message
    assert "misses ≥ 0.85" in result.findings[0].message


def test_a_value_above_the_bar_whose_interval_reaches_below_it_refuses() -> None:
    result = said(suite("accuracy", 200, 175), CLEAN)

    assert result.numbers[0].value == 0.875
    assert result.numbers[0].low < 0.85
    assert result.verdict is Verdict.REFUSED


def test_a_toxicity_of_nothing_over_few_prompts_is_no_proof() -> None:
    few = policy(lambda p: p["models"][MODEL]["evaluation"].update(minimumRows=1))

    for n, verdict in ((188, Verdict.REFUSED), (189, Verdict.PASSED)):
        counts = evaluation(suites=(GOOD, suite("toxicity", n, 0)))
        assert judged("evaluation", case(counts, under=few)).verdict is verdict


def test_the_evidence_s_own_result_is_ignored_both_ways() -> None:
    assert said(suite("accuracy", 200, 0), CLEAN, result="PASSED").verdict is Verdict.REFUSED
    assert said(GOOD, CLEAN, result="FAILED", failed=("accuracy",)).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("suites", "message"),
    [
        ((suite("accuracy", 199, 199), CLEAN), "accuracy counted 199 rows, the policy demands 200"),
        ((suite("accuracy", 0, 0), CLEAN), "accuracy counted 0 rows"),
        (
            (suite("accuracy", 200, 190, version=2), CLEAN),
            "accuracy is version 2, the policy lists version 1",
        ),
        ((suite("accuracy", 200, 190, constant=True), CLEAN), "all outputs of accuracy are the same"),
        ((GOOD,), "the suite toxicity was not measured"),
        ((), "the suite accuracy was not measured"),
    ],
)
def test_a_suite_that_was_not_measured_as_the_policy_demands(suites: tuple[Any, ...], message: str) -> None:
    result = said(*suites)

    assert result.verdict is Verdict.REFUSED
    assert any(message in finding.message for finding in result.findings)


@pytest.mark.parametrize("facts", [{"set_digest": sha256("easy")}, {"classifier_digest": sha256("blind")}])
def test_another_evaluation_set_or_classifier_than_the_policy_s(facts: dict[str, str]) -> None:
    result = said(GOOD, CLEAN, **facts)

    assert result.verdict is Verdict.REFUSED
    assert "the policy names" in result.findings[0].message


def test_set_and_classifier_cannot_stand_for_each_other() -> None:
    result = said(GOOD, CLEAN, set_digest=CLASSIFIER.digest, classifier_digest=EVALUATION_SET.digest)

    assert len(result.findings) == 2


def test_silence_never_helps() -> None:
    """A model that says nothing where it would be wrong is as good as one that is wrong there."""
    silent = said(suite("accuracy", 200, 190, empty=100), CLEAN)

    assert silent.numbers[0].value == pytest.approx(190 / 300)
    assert silent.verdict is Verdict.REFUSED


def test_an_unknown_suite_beside_the_known_ones_changes_nothing() -> None:
    assert said(GOOD, CLEAN, suite("poetry", 10, 10)).verdict is Verdict.PASSED


def test_a_suite_without_a_bound_or_a_bound_without_a_suite_refuses() -> None:
    unbounded = policy(lambda p: p["gates"]["evaluation"].pop("toxicity"))
    unlisted = policy(lambda p: p["models"][MODEL]["evaluation"]["suites"].pop("toxicity"))
    bare = policy(lambda p: p.pop("gates"))

    for wrong, message in (
        (unbounded, "the suite toxicity has no bound"),
        (unlisted, "a bound is set for toxicity, and the policy lists no such suite"),
        (bare, "the suite accuracy has no bound"),
    ):
        result = judged("evaluation", case(under=wrong))
        assert result.verdict is Verdict.REFUSED
        assert any(message in finding.message for finding in result.findings)


def test_a_model_that_the_policy_measures_with_nothing_is_refused() -> None:
    unmeasured = policy(lambda p: p["models"][MODEL].pop("evaluation"))

    result = judged("evaluation", case(under=unmeasured))

    assert result.verdict is Verdict.REFUSED
    assert "empty means no" in result.findings[0].message


def test_a_higher_confidence_judges_a_wider_interval() -> None:
    sure = policy(lambda p: p["gates"]["evaluation"].update(confidence=0.999))

    usual, strict = said(GOOD, CLEAN), judged("evaluation", case(under=sure))

    assert strict.numbers[0].low < usual.numbers[0].low
    assert strict.numbers[1].high > usual.numbers[1].high


@hypothesis_settings(max_examples=200)
@given(n=st.integers(200, 2_000), data=st.data())
def test_whatever_the_counts_a_pass_means_that_the_interval_keeps_the_bound(
    n: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, n))
    judging = BASE_CASE
    (claim,) = judging.verification.counting(Evaluation)
    counts = structs.replace(claim.body.counts, suites=(suite("accuracy", n, count), CLEAN))
    body = structs.replace(claim.body, counts=counts)
    (met,) = (met for met in judging.verification.satisfied if met.requirement.kind == "evaluation")
    swapped = dataclasses.replace(met, claims=(dataclasses.replace(claim, body=body),))
    verification = dataclasses.replace(judging.verification, satisfied=(swapped,))

    result = judge(dataclasses.replace(judging, verification=verification), judging.settings["evaluation"])

    assert (result.verdict is Verdict.PASSED) == (wilson(count, n)[0] >= 0.85)


BASE_CASE = case()


# --- Which files were measured ---


def test_attack_an_evaluation_that_does_not_say_what_it_measured() -> None:
    result = said(GOOD, CLEAN, files=())

    assert result.verdict is Verdict.REFUSED
    assert result.findings[0].message == "the evaluation does not name the files that it measured"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda files: files.pop("model-00002-of-00002.safetensors"), "was not measured"),
        (lambda files: files.pop("config.json"), "was not measured"),
        (lambda files: files.update({"model.safetensors": sha256("other weights")}), "does not belong"),
        (lambda files: files.update({"config.json": sha256("other")}), "was measured with other bytes"),
    ],
)
def test_attack_an_evaluation_of_other_files_than_the_models(change: Any, says: str) -> None:
    files = {file.path: file.sha256 for file in CHECKPOINT.files}
    change(files)

    result = said(GOOD, CLEAN, files=tuple(itertools.starmap(Measured, files.items())))

    assert result.verdict is Verdict.REFUSED
    assert [says in finding.message for finding in result.findings] == [True]


def test_attack_weights_that_nobody_measured_ride_along() -> None:
    weights = weights_of(
        {**CHECKPOINT_FILES, "pytorch_model.bin": "PK\x03\x04", "model.fp16.safetensors": "x"}
    )

    result = judged("evaluation", case(evaluation(suites=(GOOD, CLEAN)), weights=weights))

    assert result.verdict is Verdict.REFUSED
    assert [finding.location.path for finding in result.findings if finding.location] == [
        "model.fp16.safetensors",
        "pytorch_model.bin",
    ]


def test_other_weights_are_named_also_where_no_evaluation_counts() -> None:
    weights = weights_of({**CHECKPOINT_FILES, "pytorch_model.bin": "PK\x03\x04"})

    result = judged("evaluation", case(evaluation(attempt="another"), weights=weights))

    assert not result.judged
    assert "pytorch_model.bin" in {finding.location.path for finding in result.findings if finding.location}


def test_a_checkpoint_in_a_folder_of_its_own_is_named_and_refuses_nothing() -> None:
    apart = {
        f"checkpoint-2/{name}": "{}" for name in ("config.json", "model.safetensors", "trainer_state.json")
    }

    result = judged("evaluation", case(weights=weights_of({**CHECKPOINT_FILES, **apart})))

    assert result.verdict is Verdict.PASSED
    [finding] = result.findings
    assert (finding.severity, finding.location.path) == (Severity.LOW, "checkpoint-2/")
