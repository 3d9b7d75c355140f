"""What a new project begins with: texts that our own readers accept and people can go on with."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import spec
from tuneguard.errors import UsageError
from tuneguard.fields import is_name
from tuneguard.trust import review, template
from tuneguard.trust.policy import DEFAULT_REQUIRE, parse_policy
from world.policies import public

EXPIRES = datetime(2027, 5, 1, tzinfo=UTC)
PROVEN = dict.fromkeys(
    ("network", "filesystem", "pid", "memory", "processes", "deadline", "devices"), "proven"
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}", fullmatch=True) | st.sampled_from(
    ["no", "on", "null", "042", "1.5", "0x1f", "2026-11-23", "1_000", "y", "x" * 128, "Yes"]
)


def written(
    name: str = "demo", controls: dict[str, str] = PROVEN, roles: tuple[str, ...] = tuple(template.EVIDENCE)
):
    keys = {role: public(f"dev {role}") for role in roles}
    return template.development_policy(name, keys, log=public("log"), controls=controls, expires=EXPIRES)


def test_a_new_policy_is_a_development_policy_with_one_custodian_for_each_role():
    policy = parse_policy(written(), "policy.yaml")

    assert policy.development
    assert {each.custodian for each in policy.identities.values()} == {
        f"dev-{role}" for role in template.EVIDENCE
    }
    assert policy.roles["builder"].evidence == {"signature", "provenance"}
    assert policy.require == DEFAULT_REQUIRE
    assert policy.expires == EXPIRES
    assert policy.log == public("log")


def test_a_new_policy_lists_no_base_and_no_evaluation_and_that_is_all_that_keeps_it_from_passing():
    policy = parse_policy(written(), "policy.yaml")

    assert (policy.models["demo"].bases, policy.models["demo"].evaluation) == ((), None)
    assert [each.rule for each in review.weaknesses(policy) if each.severity != "low"] == [
        "P-BASE",
        "P-EVALUATION",
    ]


def test_controls_are_those_that_the_machine_can_prove():
    assert parse_policy(written(), "f").controls == "all"
    weaker = parse_policy(written(controls=PROVEN | {"memory": "weakened", "processes": "absent"}), "f")
    assert [weaker.control(control) for control in ("network", "memory", "processes")] == [
        "proven",
        "weakened",
        "absent",
    ]


@given(NAMES)
def test_every_name_makes_a_policy_and_a_pipeline_of_that_name(name):
    policy = parse_policy(written(name), "policy.yaml")
    pipeline = spec.parse(template.pipeline(name), "tuneguard.yaml", Path("/p"))

    assert [policy.name, *policy.models, pipeline.name] == [name, name, name]
    assert pipeline.registry.push == "oci:registry"
    assert pipeline.tag("042") == "ft-042"
    assert is_name(policy.models[name].data[0].name)


@pytest.mark.parametrize("name", ["", "../x", "a b", "a\nmodels: {}", ".x", "x" * 129, "ü"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UsageError, match="is not a name"):
        written(name)
    with pytest.raises(UsageError, match="is not a name"):
        template.pipeline(name)


def test_a_project_without_an_approver_or_judges_of_its_own_has_a_policy_too():
    policy = parse_policy(written(roles=("data-steward", "builder", "promoter")), "policy.yaml")

    assert set(policy.roles) == {"data-steward", "builder", "promoter"}
    assert not [each for each in review.weaknesses(policy) if each.rule == "P-UNMET"]


def test_a_new_pipeline_trains_with_every_input_named():
    pipeline = spec.parse(template.pipeline("demo"), "tuneguard.yaml", Path("/p"))

    command = spec.fill(pipeline.train.command, {name: name.upper() for name in spec.PLACEHOLDERS})

    assert command == (
        "python",
        "CODE/train.py",
        "--config=CONFIG",
        "--data-dir=DATA",
        "--base=BASE",
        "--output-dir=CHECKPOINT",
        "--run-id=RUN",
    )
