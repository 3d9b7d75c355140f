"""The boxes of a lineage and the steps of an attempt: how each stands, and why."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tuneguard.facts import TraceFacts
from tuneguard.findings import Finding, Severity, Verdict
from tuneguard.output import lineage
from tuneguard.output.report_values import State
from tuneguard.typed import read
from world import results

GOOD, BAD, DOUBT, NONE = State.GOOD, State.BAD, State.DOUBT, State.NONE


def boxes(result):
    return {box.label: box for stage in lineage.stages(result) for box in stage}


def states(result):
    return {label: box.state for label, box in boxes(result).items()}


def test_a_passed_promotion_from_the_data_to_the_registry():
    found = boxes(results.passed())

    assert list(found) == [
        "data", "base model", "code", "configuration", "run", "checkpoint", "attempt", "registry",
    ]  # fmt: skip
    assert found["data"].words == "sealed by alice (data-team)"
    assert found["base model"].words == "listed in the policy"
    assert found["run"].words == "vouched for by ci (platform-team)"
    assert found["checkpoint"].words == "signed by ci (platform-team)"
    assert found["attempt"].words == "passed, judged by pia (release-team)"
    assert found["registry"].words == "pushed and recorded"
    assert found["registry"].digest == results.facts()["manifest"]


def test_what_the_policy_takes_whatever_it_is_is_recorded_and_not_praised():
    found = boxes(results.passed())

    assert found["code"].state is found["configuration"].state is NONE


@pytest.mark.parametrize(("role", "label"), [("base", "base model"), ("code", "code"), ("data", "data")])
def test_an_input_that_the_policy_does_not_list_is_refused(role, label):
    made = results.lineage()
    next(item for item in made["from"] if item["role"] == role)["listed"] = False

    box = boxes(results.refused("decide", lineage=made))[label]

    assert (box.state, box.words) == (BAD, "not listed in the policy")


def test_data_without_a_seal_that_counts_is_refused():
    box = boxes(results.refused("decide", seals=[]))["data"]

    assert (box.state, box.words) == (BAD, "no seal that counts")


def test_a_swapped_file_is_told_at_the_checkpoint_and_nothing_was_pushed():
    found = boxes(results.swapped())

    assert [finding.rule for finding in found["checkpoint"].reasons] == ["V07", "V09"]
    assert found["checkpoint"].state is BAD
    assert (found["registry"].state, found["registry"].words) == (NONE, "nothing pushed")


def test_without_a_provenance_that_counts_nothing_is_known_of_the_inputs():
    found = boxes(results.swapped())

    assert found["made from"].words == found["run"].words == "no provenance that counts"
    assert found["run"].name == "run 042"


def test_a_reason_stands_in_the_box_that_it_speaks_of():
    rules = {"V10": "run", "G-PROVENANCE": "run", "T-SYMLINK": "checkpoint", "V08": "checkpoint",
             "TG-PKL-CALL": "attempt", "G-EVALUATION": "attempt", "G-OVERLAP": "attempt"}  # fmt: skip

    for rule, label in rules.items():
        found = boxes(results.refused("decide", Finding(rule, Severity.HIGH, "odd")))
        holding = [box.label for box in found.values() if box.reasons]
        assert holding == [label]
        assert found[label].state is BAD


def test_a_low_finding_is_no_reason_in_any_box():
    result = results.with_findings(results.passed(), results.FAINT)

    assert not any(box.reasons for box in boxes(result).values())
    assert BAD not in states(result).values()


def test_a_promoter_whom_the_policy_does_not_name_is_not_given_a_name():
    decided = results.facts()["decided"] | {"by": None}

    assert boxes(results.refused("decide", decided=decided))["attempt"].words.endswith("by an unknown key")


def test_a_resumed_run_names_its_parent():
    box = boxes(results.passed(lineage=results.lineage() | {"parent": "041"}))["resumed from"]

    assert box.name == "run 041"


def test_a_trace_shows_what_a_model_was_made_from_and_judges_nothing():
    made = results.lineage()
    for item in made["from"]:
        del item["listed"]
    facts = read({"tree": results.TREE, "lineage": made, "history": []}, TraceFacts, "the facts")
    result = dataclasses.replace(results.passed(), command="trace", facts=facts)

    assert list(states(result)) == ["data", "base model", "code", "configuration", "run", "checkpoint"]
    assert states(result)["data"] is NONE


def test_earlier_generations_stand_before_what_was_made_from_them_the_oldest_first():
    def generation(run: str, base: str) -> dict[str, Any]:
        made = results.lineage() | {"run": run}
        for item in made["from"]:
            item.pop("listed", None)
            if item["role"] == "base":
                item["digest"] = {"dirHash": base}
        return made

    sft, first, root = "1" * 64, "2" * 64, "3" * 64
    earlier = [
        {"tree": sft, "lineage": generation("sft", first)},
        {"tree": first, "lineage": generation("first", root)},
    ]
    said = {"tree": results.TREE, "lineage": generation("dpo", sft), "history": [], "earlier": earlier}
    facts = read(said, TraceFacts, "the facts")
    found = lineage.stages(dataclasses.replace(results.passed(), command="trace", facts=facts))

    assert [stage[0].label for stage in found] == [
        "data", "earlier run", "data", "earlier run", "data", "run", "checkpoint"
    ]  # fmt: skip
    assert [stage[0].name for stage in found if stage[0].label == "earlier run"] == [
        "support-llama, run first",
        "support-llama, run sft",
    ]
    assert found[3][0].digest == f"tree:{sft}"
    assert {box.digest for box in found[4]} >= {f"dirHash:{sft}"}


def test_a_result_without_a_lineage_has_no_picture():
    assert lineage.stages(results.integrity()) == ()
    assert lineage.steps(results.integrity()) == ()
    assert lineage.circumstances(results.integrity()) == ()


# --- The steps -------------------------------------------------------------------------------------


def test_every_step_of_a_passed_promotion_passed():
    assert {step.words for step in lineage.steps(results.passed())} == {"passed"}


@pytest.mark.parametrize("stopped", ["verify", "scan", "evaluate"])
def test_steps_after_a_refusal_were_not_reached_but_for_the_signed_refusal(stopped):
    steps = {step.name: step.words for step in lineage.steps(results.refused(stopped))}

    at = lineage.STEPS.index(stopped)
    assert [steps[name] for name in lineage.STEPS[:at]] == ["passed"] * at
    assert steps[stopped] == "refused"
    assert steps["decide"] == "signed the refusal"
    assert {steps[name] for name in lineage.STEPS[at + 1 :] if name != "decide"} == {"not reached"}


def test_a_step_that_could_not_look_did_not_refuse():
    result = dataclasses.replace(results.refused("evaluate"), verdict=Verdict.NOT_UNDERSTOOD)

    steps = {step.name: (step.state, step.words) for step in lineage.steps(result)}

    assert steps["evaluate"] == (DOUBT, "could not look")


def test_how_it_was_run_is_told():
    told = {row.label: row.value for row in lineage.circumstances(results.passed())}

    assert told["Isolation"] == "same-user; SLSA build level 1 at most"
    assert told["Base scan"].startswith("passed")
    assert "Unsafe" not in told


def test_a_run_with_a_dangerous_switch_bears_its_name():
    made = results.lineage() | {"unsafe": ["--unsafe-no-sandbox"]}

    told = {row.label: row.value for row in lineage.circumstances(results.passed(lineage=made))}

    assert told["Unsafe"] == "--unsafe-no-sandbox"
