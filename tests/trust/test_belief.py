"""Keys that end: stolen ones with all that rests on them, replaced ones for what is new (V04, V21, V22)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard import limits
from tuneguard.attest.predicates import release as releases
from tuneguard.attest.statement import Sha256Set
from tuneguard.trust.verify import verify
from world.company import (
    CHECKPOINT,
    DATA,
    MANIFEST_DIGEST,
    MODEL,
    NOW,
    RELIED_ON,
    REPOSITORY,
    ago,
    dependency,
    evidence,
    expecting,
    piece,
    policy,
    provenance,
    relied,
    seal,
    sha256,
    signature,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.policy import Policy
    from tuneguard.trust.verify import Verification

TAG = "stable"
PURPOSES = ("load", "release", "renew")


def revoked(name: str, reason: str = "compromise", at: str = "2026-11-23T11:00:00Z") -> Policy:
    """The policy, in which somebody's key is revoked."""
    return policy(lambda p: p["identities"][name].update(revoked={"at": at, "reason": reason}))


def until(name: str, **how_long: float) -> Policy:
    """The policy, in which somebody's key was believed until so long ago."""
    return policy(lambda p: p["identities"][name].update(validUntil=ago(**how_long)))


def release(by: str = "pia", **facts: Any) -> Piece:
    """A pointer by which the tag names the manifest of CHECKPOINT."""
    body = releases.Release(
        model=MODEL,
        repository=REPOSITORY,
        tag=TAG,
        manifest=Sha256Set(MANIFEST_DIGEST.removeprefix("sha256:")),
        sequence=7,
        issued=facts.pop("issued", ago(days=1)),
        not_after=ago(days=-20),
        **facts,
    )
    return piece("release", releases.PREDICATE.statement(MODEL, CHECKPOINT.digest, body), by)


def ask(pieces: Sequence[Piece], under: Policy, purpose: str = "load", **facts: Any) -> Verification:
    """Ask for loading, or for what a tag names."""
    tag = TAG if purpose in ("release", "renew") else None
    wanted = expecting(**{"purpose": purpose, "attempt": None, "run": None, "tag": tag, **facts})
    return verify(CHECKPOINT, pieces, under, wanted)


def rules(seen: Verification) -> list[str]:
    """The steps that refused, in order."""
    return [finding.rule for finding in seen.findings]


def said(seen: Verification) -> str:
    """All that the refusals say."""
    return "\n".join(finding.message for finding in seen.findings)


# --- Stolen keys -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "kind"),
    [("ci", "provenance and signature"), ("sam", "scan"), ("eva", "evaluation"), ("alice", "seal")],
)
def test_attack_what_a_stolen_key_had_a_part_in_is_loaded_on_the_promoters_word(who: str, kind: str) -> None:
    promoted = [verdict(relied_on=RELIED_ON)]
    assert ask(promoted, policy()).passed

    seen = ask(promoted, revoked(who))

    assert rules(seen) == ["V22"]
    assert f"relies on {kind} by {who}" in said(seen)
    assert "revoked since 2026-11-23: compromise" in said(seen)


@pytest.mark.parametrize(
    "reason", ["compromise", "stolen", "key lost", "Retired", "retired ", "superceded", ""]
)
def test_every_reason_but_the_two_that_say_otherwise_means_that_the_key_is_stolen(reason: str) -> None:
    assert not ask([verdict(relied_on=RELIED_ON)], revoked("ci", reason)).passed
    assert not ask([verdict(relied_on=RELIED_ON)], revoked("pia", reason)).passed


@pytest.mark.parametrize("reason", ["retired", "superseded"])
def test_a_key_that_was_given_up_in_good_order_ends_nothing_that_it_signed_before(reason: str) -> None:
    promoted = [verdict(relied_on=RELIED_ON, time=ago(days=3))]

    assert ask(promoted, revoked("ci", reason)).passed
    assert ask(promoted, revoked("pia", reason)).passed
    assert rules(ask([verdict(time=ago(minutes=1))], revoked("pia", reason))) == ["V21"]


def test_attack_a_date_before_the_theft_saves_nothing() -> None:
    long_ago = [verdict(relied_on=RELIED_ON, time=ago(days=900))]

    assert not ask(long_ago, revoked("ci")).passed
    assert not ask(long_ago, revoked("ci", at="2027-01-01T00:00:00Z")).passed


def test_a_stolen_promoters_verdict_and_pointer_end_with_the_key() -> None:
    assert rules(ask([verdict(relied_on=RELIED_ON)], revoked("pia"))) == ["V04"]
    for purpose in ("release", "renew"):
        assert rules(ask([release()], revoked("pia"), purpose)) == ["V04"]


def test_attack_a_stolen_identity_renamed_in_the_policy() -> None:
    def rename(p: dict[str, Any]) -> None:
        p["identities"]["old-ci"] = p["identities"].pop("ci") | {
            "revoked": {"at": ago(days=1), "reason": "compromise"}
        }
        p["roles"]["builder"]["anyOf"] = ["eve"]
        p["models"][MODEL]["builder"] = ["eve"]

    seen = ask([verdict(relied_on=RELIED_ON)], policy(rename))

    assert rules(seen) == ["V22"]
    assert "by old-ci (platform-team)" in said(seen)


def test_attack_the_name_of_a_stolen_key_given_to_a_new_one() -> None:
    """The name is believed again; the key that it had is not known any more."""
    from world.company import key

    renewed = policy(lambda p: p["identities"]["ci"].update(key=key("new ci").public_key.base64))

    seen = ask([verdict(relied_on=RELIED_ON)], renewed)

    assert rules(seen) == ["V22"]
    assert "the policy does not name" in said(seen)
    assert "by ci, whose key" in said(seen)


def test_a_name_that_a_stolen_key_has_now_harms_no_other_key() -> None:
    """What counted was the key ci; that a stolen key is called so too, somewhere else, says nothing."""
    named = [verdict(relied_on=(relied("eve", "builder", "provenance", key_of="ci"), *RELIED_ON[3:]))]

    assert ask(named, revoked("eve")).passed
    assert not ask(named, revoked("ci")).passed


def test_attack_a_stolen_identity_taken_out_of_the_policy_instead_of_marked() -> None:
    def forget(p: dict[str, Any]) -> None:
        del p["identities"]["ci"]
        p["roles"]["builder"]["anyOf"] = ["eve"]
        p["models"][MODEL]["builder"] = ["eve"]

    seen = ask([verdict(relied_on=RELIED_ON)], policy(forget))

    assert rules(seen) == ["V22"]
    assert seen.findings[0].fix is not None
    assert "with `until` if it was replaced" in seen.findings[0].fix


def test_a_verdict_that_names_nobody_counts_until_the_policy_knows_a_stolen_key() -> None:
    assert ask([verdict()], policy()).passed
    assert ask([verdict()], until("ci", days=1)).passed
    assert ask([verdict()], revoked("ci", "superseded")).passed

    seen = ask([verdict()], revoked("bob"))

    assert rules(seen) == ["V22"]
    assert "does not name the identities that it relies on" in said(seen)


def test_a_second_verdict_that_relies_on_nobody_stolen_is_enough() -> None:
    without = tuple(each for each in RELIED_ON if each.identity != "ci")
    again = (*without, relied("eve", "builder", "provenance"), relied("eve", "builder", "signature"))

    assert ask([verdict(relied_on=RELIED_ON), verdict(relied_on=again)], revoked("ci")).passed


def test_attack_a_very_long_list_of_those_relied_on() -> None:
    many = tuple(relied(f"nobody {n}", "scanner", "scan", key_of="ci") for n in range(limits.RELIED_ON + 1))

    assert ask([verdict(relied_on=many[:-1])], policy()).passed
    assert rules(ask([verdict(relied_on=many)], policy())) == ["V05"]


def test_attack_names_in_the_list_that_act_on_a_terminal() -> None:
    odd = relied("\x1b[31mci", "builder", "\x1b[0m", key_of="mallory")

    assert "\x1b" not in said(ask([verdict(relied_on=(odd,))], policy()))


def test_attack_a_run_that_resumed_what_a_stolen_builder_had_made() -> None:
    """The child is by an honest builder; its weights go back to what the stolen key vouched for."""
    facts: dict[str, Any] = {"by": "eve", "parent": dependency("parent", "041", sha256("parent"))}
    child = provenance(**facts, relied_on=(relied("ci", "builder", "provenance"),))
    rest = [signature(by="eve"), *(each for each in evidence() if each.kind in ("scan", "evaluation"))]
    assert verify(CHECKPOINT, [child, *rest], policy(), expecting()).passed

    seen = verify(CHECKPOINT, [child, *rest], revoked("ci"), expecting())
    silent = verify(CHECKPOINT, [provenance(**facts), *rest], revoked("ci"), expecting())

    assert rules(seen) == ["V22"]
    assert "relies on provenance by ci" in said(seen)
    assert rules(silent) == ["V22"]


def test_a_run_that_resumed_nothing_needs_to_name_nobody() -> None:
    assert verify(CHECKPOINT, evidence(), revoked("bob"), expecting()).passed


# --- Keys whose time ran out -----------------------------------------------------------------------


def test_what_a_key_signed_before_its_time_ended_goes_on_counting_for_loading_and_says_so() -> None:
    seen = ask([verdict(time=ago(days=30))], until("pia", days=10))

    assert seen.passed
    assert (
        "the verdict by pia counts by its own date, 2026-10-24T12:00:00Z claimed: "
        "the key was believed until 2026-11-13"
    ) in seen.notes


@pytest.mark.parametrize("purpose", ["release", "renew"])
def test_a_pointer_by_a_key_whose_time_ran_out_is_followed_and_can_be_renewed(purpose: str) -> None:
    assert ask([release(issued=ago(days=5))], until("pia", days=3), purpose).passed
    assert rules(ask([release(issued=ago(days=2))], until("pia", days=3), purpose)) == ["V21"]


@pytest.mark.parametrize(
    "dated", ["2026-11-13T12:00:00Z", "2026-11-13T13:00:00+01:00", "2026-11-20T00:00:00Z"]
)
def test_attack_a_key_whose_time_ran_out_signs_on(dated: str) -> None:
    seen = ask([verdict(time=dated)], until("pia", days=10))

    assert rules(seen) == ["V21"]
    assert "pia was believed until 2026-11-13 12:00 UTC" in said(seen)


def test_attack_a_date_a_moment_after_the_end() -> None:
    ended = policy(lambda p: p["identities"]["pia"].update(validUntil="2026-11-13T12:00:00.5Z"))

    assert ask([verdict(time="2026-11-13T12:00:00.4Z")], ended).passed
    assert rules(ask([verdict(time="2026-11-13T12:00:00.7Z")], ended)) == ["V21"]


def test_attack_a_year_that_no_calendar_begins_with() -> None:
    assert ask([verdict(time="0001-01-01T00:00:00+10:00")], until("pia", days=10)).passed
    assert ask([verdict(time="0001-01-01T00:00:00+10:00")], policy()).passed


def test_a_signature_has_no_date_so_that_it_ends_with_its_key() -> None:
    def demanding(p: dict[str, Any]) -> None:
        p["require"]["load"] = [{"verdict": "promoter"}, {"signature": "builder"}, {"provenance": "builder"}]

    pieces = [verdict(), signature(), provenance()]
    assert ask(pieces, policy(demanding)).passed

    seen = ask(pieces, policy(demanding, lambda p: p["identities"]["ci"].update(validUntil=ago(hours=1))))

    assert rules(seen) == ["V21"]
    assert "has no date" in said(seen)


def test_attack_a_custodian_of_both_roles_whose_one_key_ran_out() -> None:
    """Where loading asks for the builder's word too, one whose key ran out is heard."""

    def both(p: dict[str, Any]) -> None:
        p["identities"]["ci"].update(custodian="release-team", validUntil=ago(hours=1))
        p["identities"]["ci-spare"].update(custodian="release-team", validUntil=ago(hours=1))

    def demanding(p: dict[str, Any]) -> None:
        p["require"]["load"] = [{"verdict": "promoter"}, {"provenance": "builder"}]

    assert ask([verdict()], policy(both)).passed
    assert set(rules(ask([verdict(), provenance()], policy(both, demanding)))) == {"V18"}


@pytest.mark.parametrize("who", ["ci", "sam", "eva"])
def test_nothing_is_promoted_on_evidence_by_a_key_whose_time_ran_out(who: str) -> None:
    seen = verify(CHECKPOINT, evidence(), until(who, seconds=1), expecting())

    assert set(rules(seen)) == {"V04"}


def test_no_run_begins_with_data_sealed_by_a_key_whose_time_ran_out() -> None:
    wanted = expecting(purpose="train", run=None, attempt=None)

    assert rules(verify(DATA, [seal()], until("alice", days=1), wanted)) == ["V04"]


def test_a_run_is_not_resumed_on_the_word_of_a_key_whose_time_ran_out() -> None:
    wanted = expecting(purpose="resume", run=None, attempt=None)

    assert set(rules(verify(CHECKPOINT, evidence(), until("ci", hours=1), wanted))) == {"V04"}


def test_a_verdict_goes_on_counting_when_those_on_whom_it_relied_ran_out() -> None:
    for who in ("ci", "alice", "sam", "eva"):
        assert ask([verdict(relied_on=RELIED_ON)], until(who, days=400)).passed


# --- The policy's own time -------------------------------------------------------------------------


def ended(**more: str) -> Policy:
    """The policy, which ran out a day ago."""
    return policy(lambda p: p["metadata"].update(expires=ago(days=1), **more))


@pytest.mark.parametrize("purpose", ["load", "release"])
def test_an_expired_policy_loads_in_its_grace_and_no_longer(purpose: str) -> None:
    pieces = [verdict(), release()]

    assert rules(ask(pieces, ended(), purpose)) == ["V01"]
    assert ask(pieces, ended(gracePeriod="2d"), purpose).passed
    assert rules(ask(pieces, ended(gracePeriod="1d"), purpose)) == ["V01"]
    assert rules(ask(pieces, ended(gracePeriod="2d"), purpose, now=NOW + timedelta(days=1))) == ["V01"]


@pytest.mark.parametrize("purpose", ["promote", "train", "resume", "renew", "integrity"])
def test_the_grace_of_a_policy_is_for_loading_alone(purpose: str) -> None:
    assert "V01" in rules(ask([*evidence(), release()], ended(gracePeriod="365d"), purpose))
