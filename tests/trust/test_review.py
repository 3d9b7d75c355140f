"""What a policy's author is told: what would be refused, and what the policy says in plain words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tuneguard.trust.policy import parse_policy
from tuneguard.trust.review import WEAKNESSES, explain, warnings, weaknesses
from world.policies import BASE, text

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def found(*changes: tuple[str, str], now: datetime = NOW) -> dict[str, str]:
    policy = parse_policy(text(*changes).encode(), "policy.yaml")
    return {each.rule: f"{each.severity}: {each.message}" for each in weaknesses(policy, now=now)}


CODE = ("    code: any", f"    code: [{BASE}]")
COMMAND = ("    evaluation:\n", '    command: [python, "{code}/train.py"]\n    evaluation:\n')


def test_code_and_command_are_asked_for_together():
    assert found(CODE)["P-CODE"] == (
        "low: support-llama may be trained by any command, which need not run the code that is listed"
    )
    assert (
        found(COMMAND)["P-CODE"] == "low: support-llama may be trained by any code, whatever its command is"
    )
    assert found(CODE, COMMAND) == {}


def test_the_command_in_plain_words():
    def said(*changes: tuple[str, str]) -> str:
        return explain(parse_policy(text(*changes).encode(), "policy.yaml"))

    assert "  by the command python '{code}/train.py'\n" in said(COMMAND)
    assert "  by any command, which need not run that code\n" in said(CODE)


def test_a_sound_policy_has_no_weakness_but_that_it_lets_any_code_train():
    assert found() == {"P-CODE": "low: support-llama may be trained by any code"}


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (
            ("custodian: release-team", "custodian: platform-team"),
            "P-SEPARATION",
            "high: platform-team is both builder and promoter",
        ),
        ((f"base: [{BASE}]", "base: []"), "P-BASE", "high: support-llama has no base"),
        (("builder: [ci]", "builder: []"), "P-BUILDER", "high: support-llama has no builder"),
        (
            ("steward: [alice]", "steward: []"),
            "P-DATA",
            "high: nobody may seal support-llama's data set tickets",
        ),
        (
            ("data: [{name: tickets, steward: [alice]}]", "data: []"),
            "P-DATA",
            "high: support-llama has no data set",
        ),
        (("{provenance: builder}, ", ""), "P-PROVENANCE", "high: promote does not demand provenance"),
        (
            ("profile: production", "profile: development"),
            "P-DEVELOPMENT",
            "low: this is a development policy",
        ),
        (
            ("controls: all", "controls: {memory: weakened}"),
            "P-CONTROL",
            "medium: the isolation control memory may be weakened",
        ),
        (
            ("evidence: [seal]", "evidence: [scan]"),
            "P-UNMET",
            (
                "high: train of support-llama demands a seal that nobody can sign: "
                "data-steward may not sign seal"
            ),
        ),
        (
            (
                "anyOf: [pia], evidence: [scan, evaluation, verdict, release], models: [support-llama]",
                "anyOf: [pia], evidence: [scan, evaluation, verdict, release], models: []",
            ),
            "P-UNMET",
            (
                "high: load of support-llama demands a verdict that nobody can sign: "
                "promoter gives evidence about other models only"
            ),
        ),
        (
            ("builder: [ci]", "builder: [old]"),
            "P-UNMET",
            (
                "high: promote of support-llama demands a provenance that nobody can sign: "
                "builder needs 1 custodian, and 0 can sign"
            ),
        ),
    ],
)
def test_each_weakness_is_found_and_named(change, rule, said):
    assert found(change)[rule] == said


def test_a_production_policy_that_lets_a_control_be_weak_is_worse_than_a_development_one():
    weak = ("controls: all", "controls: {memory: weakened}")

    assert found(weak)["P-CONTROL"].startswith("medium")
    assert found(weak, ("profile: production", "profile: development"))["P-CONTROL"].startswith("low")


def test_expiry_is_told_a_month_ahead():
    assert "P-EXPIRED" not in found(now=datetime(2027, 5, 1, tzinfo=UTC))
    assert found(now=datetime(2027, 5, 3, tzinfo=UTC))["P-EXPIRED"] == "low: expires on 2027-06-01"
    assert found(now=datetime(2027, 6, 1, tzinfo=UTC))["P-EXPIRED"] == "high: expired on 2027-06-01"


def test_a_steward_whose_key_has_run_out_cannot_meet_the_demand_for_a_seal():
    assert (
        "data-steward needs 1 custodian, and 0 can sign"
        in found(now=datetime(2027, 2, 1, tzinfo=UTC))["P-UNMET"]
    )


def test_every_weakness_can_be_explained():
    policy = parse_policy(text(("profile: production", "profile: development")).encode(), "policy.yaml")

    assert all(each.why == WEAKNESSES[each.rule] and each.fix for each in weaknesses(policy))


def test_the_policy_in_plain_words():
    assert (
        explain(parse_policy(text().encode(), "policy.yaml"))
        == """\
support-llama, version 1, believed until 2027-06-01 00:00 UTC.
A production policy: no verdict made under a development policy counts.

Who can give evidence:
  data-steward: alice (data-team) may sign seal about support-llama.
  builder: ci (platform-team), old (platform-team) may sign provenance and signature about support-llama.
  promoter: pia (release-team) may sign evaluation, release, scan and verdict about support-llama.
  No custodian gives evidence both as builder and as promoter.
  alice is believed from 2026-01-01 00:00 UTC until 2027-01-01 00:00 UTC.
  old is revoked, and nothing that it signed counts: stolen

support-llama, at registry.internal/models/support-llama:
  built by ci
  trained on tickets, as sealed by alice
  from the base babababababa
  by any code, with any configuration
  measured by accuracy (version 1) and toxicity (version 1) on the set 5e5e5e5e5e5e with the classifier \
c1c1c1c1c1c1, at least 200 rows each
  in a sandbox whose isolation controls are all proven

What is demanded:
  to train: seal by data-steward, not older than 90 days
  to promote: signature by builder
  to promote: provenance by builder
  to promote: scan by scanner or promoter, not older than 1 day
  to load: verdict by promoter
  to follow a tag: release by promoter, not older than 30 days
  and what the gates scan hold, as defined by gates in policy.yaml
"""
    )


def test_an_empty_list_is_said_aloud():
    words = explain(
        parse_policy(
            text(
                (f"base: [{BASE}]", "base: []"),
                ("builder: [ci]", "builder: []"),
                ("anyOf: [pia]", "anyOf: []"),
            ).encode(),
            "policy.yaml",
        )
    )

    assert "promoter: nobody (an empty list means no)." in words
    assert "built by nobody (an empty list means no)" in words
    assert "from no base: none is listed, so every run is refused" in words


def test_attack_a_reason_with_an_escape_sequence_does_not_reach_the_terminal():
    policy = parse_policy(text(("reason: stolen", 'reason: "\\e[2J\\u202e"')).encode(), "policy.yaml")

    assert r"counts: \x1b[2J\u202e" in explain(policy)


# --- What ends soon --------------------------------------------------------------------------------

EXPIRES = "expires: 2027-06-01T00:00:00Z"


def warned(*changes: tuple[str, str], at: str) -> tuple[str, ...]:
    policy = parse_policy(text(*changes).encode(), "policy.yaml")
    return warnings(policy, now=datetime.fromisoformat(at))


def test_a_policy_warns_from_the_day_that_it_says_and_else_in_its_last_thirty():
    early = (EXPIRES, EXPIRES + ", warnFrom: 2027-01-15T00:00:00Z")
    said = ("the policy support-llama expires on 2027-06-01 00:00 UTC: ask its owner for a new one",)

    assert warned(at="2027-05-01T00:00:00Z") == ()
    assert warned(at="2027-05-02T00:00:00Z") == said
    assert warned(early, at="2027-01-14T23:59:59Z") == ()
    assert warned(early, at="2027-01-15T00:00:00Z") == said


def test_a_policy_in_its_grace_says_so():
    grace = (EXPIRES, EXPIRES + ", gracePeriod: 14d")

    [said] = warned(grace, at="2027-06-02T00:00:00Z")

    assert said.startswith("the policy support-llama expired on 2027-06-01 00:00 UTC: only loading goes on")
    assert said.endswith("for 14 days from then")
    assert found(grace)["P-GRACE"] == "low: loading goes on for 14 days after the policy expires"
    assert "For loading alone it counts for 14 days more." in explain(parse_policy(text(grace).encode(), "f"))


def test_dates_at_the_ends_of_the_calendar_warn_and_end_nothing():
    first = (
        (EXPIRES, "expires: 0001-01-01T00:00:00Z, gracePeriod: 800000d"),
        ("validUntil: 2027-01-01", "validUntil: 9999-12-31"),
    )

    assert len(warned(*first, at="2026-11-23T00:00:00Z")) == 1
    assert (
        warned(*first[1:], ("validFrom: 2026-01-01", "validFrom: 0001-01-01"), at="2026-11-23T00:00:00Z")
        == ()
    )


def test_keys_that_speak_and_end_soon_are_named_and_those_that_ended_are_not():
    retired = ("reason: stolen", "reason: superseded")
    later = ("at: 2026-05-01", "at: 2026-12-30")

    assert warned(at="2026-12-01T00:00:00Z") == ()
    [said] = warned(retired, later, at="2026-12-20T00:00:00Z")
    assert said.startswith(
        "keys whose time ends soon: alice until 2027-01-01 00:00 UTC, old until 2026-12-30"
    )
    assert said.endswith("then they make no new evidence")
    assert warned(at="2027-01-01T00:00:00Z") == ()


def test_custodians_are_apart_by_the_keys_that_are_believed_now():
    """Who built last year and promotes now, with another key, is not told of for ever."""
    one = (
        ("custodian: release-team", "custodian: platform-team"),
        ("builder: {anyOf: [ci, old]", "builder: {anyOf: [old]"),
    )

    assert "P-SEPARATION" not in found(*one)
    assert "P-SEPARATION" in found(*one[:1])


def test_a_retired_key_in_plain_words():
    said = explain(parse_policy(text(("reason: stolen", "reason: superseded")).encode(), "f"))

    assert (
        "old is superseded: what it signed before 2026-05-01 00:00 UTC goes on counting for loading." in said
    )
