import copy

import pytest

from tuneguard.attest.predicates import evaluation
from tuneguard.errors import NotUnderstood
from tuneguard.typed import read, written
from world.bodies import EVALUATION, sha

PREDICATE = written(EVALUATION)


def suites(predicate):
    return predicate[evaluation.EXTENSION]["suites"]


def test_an_evaluation_that_was_held_against_no_bound_does_not_say_passed():
    assert PREDICATE["result"] == "WARNED"
    assert PREDICATE["passedTests"] == []
    assert PREDICATE["warnedTests"] == ["accuracy", "toxicity"]


def test_suites_that_missed_the_evaluators_bounds_are_listed_as_failed():
    body = evaluation.Evaluation.of(
        set_digest=sha("set"),
        classifier_digest=sha("classifier"),
        result="FAILED",
        failed=("toxicity",),
        suites=EVALUATION.counts.suites,
        finished=EVALUATION.counts.finished,
    )
    predicate = written(body)

    assert (predicate["passedTests"], predicate["failedTests"]) == (["accuracy"], ["toxicity"])
    assert read(predicate, evaluation.Evaluation, "e") == body


def test_a_suite_that_is_listed_twice_is_not_understood():
    """Else one reader would take the good counts and another the bad ones."""
    predicate = copy.deepcopy(PREDICATE)
    suites(predicate).append({**suites(predicate)[0], "count": 0})

    with pytest.raises(NotUnderstood, match="twice"):
        read(predicate, evaluation.Evaluation, "e")


@pytest.mark.parametrize("change", [{"count": 201}, {"n": 0}])
def test_more_counted_than_there_were_inputs_is_not_understood(change):
    predicate = copy.deepcopy(PREDICATE)
    suites(predicate)[0].update(change)

    with pytest.raises(NotUnderstood, match="more than"):
        read(predicate, evaluation.Evaluation, "e")


def test_two_evaluation_sets_are_not_understood():
    predicate = copy.deepcopy(PREDICATE)
    predicate["configuration"].append(predicate["configuration"][0])

    with pytest.raises(NotUnderstood, match="2 of evaluation-set"):
        read(predicate, evaluation.Evaluation, "e")


def test_a_test_result_of_another_tool_is_not_taken_for_ours():
    predicate = {key: value for key, value in PREDICATE.items() if key != evaluation.EXTENSION}

    with pytest.raises(NotUnderstood, match="evaluation"):
        read(predicate, evaluation.Evaluation, "e")
