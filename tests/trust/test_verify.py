"""Attacks on verification, each a small story: what an insider leaves beside a tree, and what it gets him."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import golden
from tuneguard.artifact.manifest import Manifest
from tuneguard.attest.evidence import Piece
from tuneguard.attest.predicates import oms
from tuneguard.attest.predicates import verdict as verdicts
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.scan import Scan
from tuneguard.attest.predicates.seal import Seal
from tuneguard.attest.statement import Resource, Statement
from tuneguard.findings import Verdict
from tuneguard.signing.bundle import make_bundle
from tuneguard.trust.policy import POLICY_PAYLOAD_TYPE
from tuneguard.trust.verify import STEPS, verify
from world import company
from world.company import (
    ATTEMPT,
    BASE,
    CHECKPOINT,
    CHECKPOINT_FILES,
    CLASSIFIER,
    DATA,
    EVALUATION_SET,
    MODEL,
    NOW,
    ago,
    evaluation,
    evidence,
    expecting,
    piece,
    policy,
    provenance,
    renamed,
    scan,
    seal,
    sha256,
    signature,
    tree,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.trust.policy import Policy
    from tuneguard.trust.verify import Verification


DOCS = Path(__file__).parents[2] / "docs"


def promoting(
    pieces: Sequence[Piece], *, tree: Manifest = CHECKPOINT, under: Policy | None = None, **facts: Any
) -> Verification:
    """Verify for promotion."""
    return verify(tree, pieces, under or policy(), expecting(**facts))


def loading(pieces: Sequence[Piece], *, under: Policy | None = None, **facts: Any) -> Verification:
    """Verify for loading."""
    return verify(CHECKPOINT, pieces, under or policy(), expecting(purpose="load", attempt=None, **facts))


def training(
    pieces: Sequence[Piece], *, tree: Manifest = DATA, under: Policy | None = None, **facts: Any
) -> Verification:
    """Verify for training."""
    given = {"purpose": "train", "run": None, "attempt": None, **facts}
    return verify(tree, pieces, under or policy(), expecting(**given))


def rules(seen: Verification) -> list[str]:
    """The steps that refused, in order."""
    return [finding.rule for finding in seen.findings]


def said(seen: Verification) -> str:
    """All that the refusals say."""
    return "\n".join(finding.message for finding in seen.findings)


def without(kind: str) -> list[Piece]:
    """All that a promotion needs but one kind."""
    return [each for each in evidence() if each.kind != kind]


# --- What passes -----------------------------------------------------------------------------------


def test_a_true_checkpoint_with_all_its_evidence_passes() -> None:
    seen = promoting(evidence())

    assert seen.findings == ()
    assert seen.verdict is Verdict.PASSED
    assert sorted(claim.kind for claim in seen.claims) == ["evaluation", "provenance", "scan", "signature"]
    assert {claim.kind: claim.custodian for claim in seen.claims}["provenance"] == "platform-team"
    assert seen.counting(Provenance)[0].body.run == "042"
    assert seen.counting(Provenance)[0].time == ago(hours=2)


def test_a_promoter_may_judge_where_there_is_no_scanner_or_evaluator() -> None:
    seen = promoting([signature(), provenance(), scan(by="pia"), evaluation(by="pia")])

    assert seen.passed
    assert {claim.role for claim in seen.claims} == {"builder", "promoter"}


def test_sealed_data_passes_for_training_and_says_that_its_version_is_unpinned() -> None:
    seen = training([seal()])

    assert seen.passed
    assert seen.counting(Seal)[0].subject == DATA.digest
    assert seen.notes == ("the data's version is unpinned",)


@pytest.mark.parametrize(
    ("sealed", "files", "kind"),
    [
        ("base", BASE, "base"),
        ("classifier", CLASSIFIER, "base"),
        ("evaluation", EVALUATION_SET, "evaluation"),
    ],
)
def test_bases_classifiers_and_evaluation_sets_pass_by_seal_and_list(
    sealed: str, files: Manifest, kind: str
) -> None:
    assert training([seal(files, kind=kind, name="it")], tree=files, sealed=sealed).passed


def test_a_promoted_checkpoint_passes_for_loading() -> None:
    seen = loading([verdict()])

    assert seen.passed
    assert seen.counting(verdicts.Verdict)[0].role == "promoter"


# --- Changed trees ---------------------------------------------------------------------------------


def test_a_swapped_weight_file_is_named_with_both_digests() -> None:
    swapped = tree(CHECKPOINT_FILES | {"model-00002-of-00002.safetensors": "evil"})

    seen = promoting([signature(), provenance()], tree=swapped, deferred=frozenset({"scan", "evaluation"}))

    assert rules(seen) == ["V07"]
    (finding,) = seen.findings
    assert finding.location is not None
    assert finding.location.path == "model-00002-of-00002.safetensors"
    assert finding.why is not None
    assert sha256("weights, second half") in finding.why
    assert sha256("evil") in finding.why


def test_a_planted_file_and_a_deleted_one_are_each_named() -> None:
    found = CHECKPOINT_FILES | {"training_args.bin.bak": "planted"}
    del found["config.json"]

    seen = promoting(
        [signature(), provenance()], tree=tree(found), deferred=frozenset({"scan", "evaluation"})
    )

    assert [(each.rule, each.location and each.location.path) for each in seen.findings] == [
        ("V08", "config.json"),
        ("V09", "training_args.bin.bak"),
    ]
    assert seen.unmet == {"signature", "provenance"}


def test_every_fault_is_returned_and_not_the_first() -> None:
    other = tree({"a": "another tree"})
    pieces = [
        signature(),
        provenance(other, run="041", model="other", kind="intermediate", finished=ago(days=-1)),
        evaluation(by="sam"),
    ]

    seen = promoting(pieces, tree=tree(CHECKPOINT_FILES | {"a": "", "b": ""}))

    assert sorted(rules(seen)) == ["V05", "V06", "V09", "V09", "V10", "V10", "V11", "V16", "V17"]


def test_a_file_renamed_to_code_is_found_though_the_oms_root_is_the_same() -> None:
    renamed_tree = tree(
        {("config.py" if path == "config.json" else path): text for path, text in CHECKPOINT_FILES.items()}
    )
    assert oms.from_manifest(renamed_tree).root == oms.from_manifest(CHECKPOINT).root

    seen = promoting(
        [signature(), provenance()], tree=renamed_tree, deferred=frozenset({"scan", "evaluation"})
    )

    assert rules(seen) == ["V08", "V09"]


def test_code_hidden_under_names_that_a_signature_ignores_is_found() -> None:
    body = oms.Signature.of(oms.from_manifest(CHECKPOINT).files, ignore_paths=(".git", "hidden"))
    ignoring = piece("signature", oms.statement(MODEL, body), "ci")

    seen = promoting(
        [ignoring, *without("signature")], tree=tree(CHECKPOINT_FILES | {"hidden/evil.py": "import os"})
    )

    assert "V09" in rules(seen)
    assert not seen.passed


def test_an_empty_tree_is_refused_whatever_is_signed() -> None:
    nothing = Manifest(())

    seen = promoting([provenance(nothing), scan(nothing), evaluation(nothing)], tree=nothing)

    assert rules(seen)[0] == "V01"
    assert "holds no file" in said(seen)
    by_digest = verify(nothing.digest, [provenance(nothing)], policy(), expecting(purpose="resume"))
    assert "holds no file" in said(by_digest)


def test_only_the_digest_is_known_and_lists_of_files_are_compared_by_it() -> None:
    deferred = frozenset({"scan", "evaluation"})
    pieces = [signature(), provenance()]

    assert verify(CHECKPOINT.digest, pieces, policy(), expecting(deferred=deferred)).passed
    other = verify(sha256("another tree"), pieces, policy(), expecting(deferred=deferred))
    assert rules(other) == ["V06", "V06"]


# --- Who signed (rules 5, 6, 26, 28) ---------------------------------------------------------------


def test_a_stranger_signs_everything_and_nothing_counts() -> None:
    strange = [
        signature(by="mallory"),
        provenance(by="mallory"),
        scan(by="mallory"),
        evaluation(by="mallory"),
    ]

    seen = promoting(strange)

    assert rules(seen) == ["V03"] * 4
    assert seen.claims == ()


def test_the_key_id_and_hint_in_a_bundle_choose_no_key() -> None:
    honest, strange = company.key("ci").public_key, company.key("mallory").public_key
    forged = provenance(by="mallory")
    claiming = Piece(forged.name, forged.data.replace(strange.hint.encode(), honest.hint.encode()))
    disguised = provenance()
    hidden = Piece(disguised.name, disguised.data.replace(honest.hint.encode(), strange.hint.encode()))
    assert claiming.data != forged.data
    assert hidden.data != disguised.data

    assert rules(promoting([*without("provenance"), claiming])) == ["V03"]
    assert promoting([*without("provenance"), hidden]).passed


def test_a_bundle_changed_after_signing_counts_for_nothing() -> None:
    good = provenance()
    bad = Piece(good.name, good.data.replace(b'"payload":"e', b'"payload":"f'))
    assert bad.data != good.data

    assert rules(promoting([*without("provenance"), bad])) in (["V02"], ["V03"])


def test_a_builder_whose_key_was_revoked_is_ended_with_all_that_he_ever_signed() -> None:
    gone = policy(
        lambda p: p["identities"]["ci"].update(revoked={"at": "2026-11-23T11:59:00Z", "reason": "key lost"})
    )

    seen = promoting(evidence(), under=gone)

    assert rules(seen) == ["V04", "V04"]
    assert "revoked since 2026-11-23: key lost" in said(seen)


def test_a_revocation_ignores_the_date_that_the_evidence_claims() -> None:
    later = policy(
        lambda p: p["identities"]["ci"].update(revoked={"at": "2026-12-24T00:00:00Z", "reason": "stolen"})
    )

    assert rules(promoting(evidence(), under=later)) == ["V04", "V04"]


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ({"validUntil": "2026-11-23T12:00:00Z"}, "was believed until"),
        ({"validFrom": "2026-11-23T12:00:01Z"}, "is believed only from"),
    ],
)
def test_an_expired_identity_or_one_whose_time_has_not_come_is_not_believed(
    window: dict[str, str], reason: str
) -> None:
    seen = promoting(evidence(), under=policy(lambda p: p["identities"]["ci"].update(window)))

    assert rules(seen) == ["V04", "V04"]
    assert reason in said(seen)


def test_an_expired_signer_cannot_be_saved_by_an_old_date() -> None:
    ended = policy(lambda p: p["identities"]["ci"].update(validUntil="2026-11-01T00:00:00Z"))

    seen = promoting(
        [*without("provenance"), provenance(started=ago(days=60), finished=ago(days=59))], under=ended
    )

    assert set(rules(seen)) == {"V04"}


def test_an_honest_key_of_another_role_counts_for_nothing() -> None:
    seen = promoting([*without("provenance"), provenance(by="sam")])

    assert rules(seen) == ["V05"]
    assert "no role lets sam (security-team) sign provenance about support-llama" in said(seen)


def test_a_builder_of_another_model_counts_for_nothing() -> None:
    def other(p: dict[str, Any]) -> None:
        p["models"]["other"] = {"repository": "registry.internal/models/other"}
        p["roles"]["builder"]["models"] = ["other"]

    seen = promoting(evidence(), under=policy(other))

    assert rules(seen) == ["V05", "V05"]


def test_a_builder_whom_the_policy_does_not_list_for_the_model_counts_for_nothing() -> None:
    seen = promoting(evidence(), under=policy(lambda p: p["models"][MODEL].update(builder=["eve"])))

    assert rules(seen) == ["V12"]


def test_an_empty_list_of_builders_means_no() -> None:
    assert rules(promoting(evidence(), under=policy(lambda p: p["models"][MODEL].update(builder=[])))) == [
        "V12"
    ]


def test_a_promoter_cannot_say_what_only_a_builder_may() -> None:
    assert rules(promoting([*without("signature"), signature(by="pia")])) == ["V05"]


def test_a_role_that_the_requirement_does_not_name_does_not_meet_it() -> None:
    both = policy(lambda p: p["roles"]["promoter"]["evidence"].append("signature"))

    seen = promoting([*without("signature"), signature(by="pia")], under=both)

    assert rules(seen) == ["V17"]
    assert "no signature by builder counts for this tree (there is one by pia as promoter)" in said(seen)


def test_the_root_s_signature_over_a_policy_is_no_evidence() -> None:
    bundle = make_bundle(company.key("ci"), POLICY_PAYLOAD_TYPE, b"anything")

    seen = promoting([*without("provenance"), Piece("provenance-0123.sigstore.json", bundle)])

    assert rules(seen) == ["V02"]


def test_the_ledger_s_key_says_nothing_about_a_tree() -> None:
    from tuneguard.attest.evidence import file_name
    from tuneguard.attest.predicates import provenance as provenances
    from tuneguard.attest.statement import PAYLOAD_TYPE
    from tuneguard.signing.key import KeyType
    from world.keys import signer

    log = signer(KeyType.ED25519)
    statement = provenances.PREDICATE.statement(MODEL, CHECKPOINT.digest, company.provenance_body())
    data = make_bundle(log, PAYLOAD_TYPE, statement.encode())
    logged = policy(lambda p: p.update(log={"key": log.public_key.base64}))

    seen = promoting([*without("provenance"), Piece(file_name("provenance", data), data)], under=logged)

    assert rules(seen) == ["V03"]


def test_one_custodian_s_two_keys_count_once() -> None:
    two = policy(lambda p: p["roles"]["builder"].update(threshold=2))
    once = [*evidence(), signature(by="ci-spare"), provenance(by="ci-spare")]

    seen = promoting(once, under=two)

    assert rules(seen) == ["V17", "V17"]
    assert "signature is by 1 of 2 custodians that builder needs: platform-team" in said(seen)
    assert promoting([*once, signature(by="eve"), provenance(by="eve")], under=two).passed


def test_two_custodians_who_say_different_things_are_not_two() -> None:
    two = policy(lambda p: p["roles"]["builder"].update(threshold=2))
    pieces = [*evidence(), signature(by="eve"), provenance(by="eve", command=("python", "other.py"))]

    seen = promoting(pieces, under=two)

    assert seen.unmet == {"provenance"}


def test_two_promoters_who_judged_on_their_own_are_two() -> None:
    def two(p: dict[str, Any]) -> None:
        p["roles"]["promoter"].update(threshold=2, anyOf=["pia", "eva"])

    under = policy(two)
    pia, eva = verdict(under=under), verdict(by="eva", under=under, time=ago(hours=1), attempt="a-other")

    assert loading([pia, eva], under=under).passed
    assert rules(loading([pia], under=under)) == ["V17"]
    assert rules(loading([pia, verdict(by="eva", run="041")], under=under, run=None)) == ["V17", "V17"]


def test_one_custodian_builds_and_promotes() -> None:
    both = policy(lambda p: p["identities"]["pia"].update(custodian="platform-team"))

    seen = promoting([signature(), provenance(), scan(by="pia"), evaluation(by="pia")], under=both)

    assert set(rules(seen)) == {"V18"}
    assert "by pia as promoter, and platform-team keeps a key of builder too" in said(seen)
    assert loading([verdict(under=both)], under=both).verdict is Verdict.REFUSED


def test_another_builder_is_believed_beside_one_who_promotes_too() -> None:
    both = policy(lambda p: p["identities"]["pia"].update(custodian="platform-team"))

    seen = promoting([signature(by="eve"), provenance(by="eve"), scan(), evaluation()], under=both)

    assert seen.passed


def test_a_custodian_s_revoked_second_key_keeps_nobody_apart() -> None:
    def moved(p: dict[str, Any]) -> None:
        p["identities"]["pia"]["custodian"] = "research-team"
        p["identities"]["eve"]["revoked"] = {"at": "2026-01-01T00:00:00Z", "reason": "changed desks"}

    assert promoting(
        [signature(), provenance(), scan(by="pia"), evaluation(by="pia")], under=policy(moved)
    ).passed


# --- What it is about (rules 8, 13, 14, 15) --------------------------------------------------------


def test_an_old_checkpoint_replayed_as_a_new_run() -> None:
    seen = promoting([signature(), provenance(run="041"), scan(), evaluation()])

    assert rules(seen) == ["V10"]
    assert "is about run 041, expected is run 042" in said(seen)


def test_another_model_s_checkpoint_in_this_model_s_place() -> None:
    seen = promoting([signature(), provenance(model="other"), scan(), evaluation()])

    assert rules(seen) == ["V10"]
    assert "expected is model support-llama" in said(seen)


def test_all_evidence_of_another_tree() -> None:
    other = tree({"model.safetensors": "last year's weights"})

    seen = promoting(evidence(other))

    assert not seen.passed
    assert {"V07", "V08", "V09"} & set(rules(seen))
    assert seen.claims == ()


def test_a_checkpoint_of_a_stopped_run_is_not_promoted_but_can_be_resumed_from() -> None:
    pieces = [signature(), provenance(kind="intermediate"), scan(), evaluation()]

    assert rules(promoting(pieces)) == ["V11"]
    assert promoting(pieces, purpose="resume", attempt=None).passed


def test_an_intermediate_is_no_base_that_was_promoted_whatever_verdict_is_there() -> None:
    def as_base(kind: str) -> list[str]:
        pieces = [signature(), provenance(kind=kind), verdict()]
        return rules(promoting(pieces, purpose="base", attempt=None, manifest_digest=None))

    assert as_base("final") == []
    assert as_base("intermediate") == ["V11"]


def test_an_intermediate_that_was_edited_or_never_signed_cannot_be_resumed_from() -> None:
    edited = tree(CHECKPOINT_FILES | {"optimizer.pt": "edited"})
    resume = {"purpose": "resume", "attempt": None}

    assert not promoting([signature(), provenance(kind="intermediate")], tree=edited, **resume).passed
    assert not promoting([signature()], **resume).passed
    assert not promoting([], **resume).passed
    assert rules(promoting([signature(), provenance(run="007")], **resume)) == ["V10"]


def test_a_signature_alone_proves_integrity_and_promotes_nothing() -> None:
    seen = promoting(without("provenance"))

    assert rules(seen) == ["V17"]
    assert "no provenance by builder counts" in said(seen)


def test_a_policy_that_forgot_to_demand_provenance_promotes_nothing() -> None:
    def forgetful(p: dict[str, Any]) -> None:
        p["require"]["promote"] = [{"signature": "builder"}]

    seen = promoting(evidence(), under=policy(forgetful))

    assert rules(seen) == ["V01", "V01", "V01"]
    assert "the policy demands no provenance to promote" in said(seen)


@pytest.mark.parametrize("facts", [{"model": None}, {"purpose": "integrity"}])
def test_without_an_expectation_the_answer_is_integrity_only(facts: dict[str, Any]) -> None:
    seen = promoting(evidence(), **facts)

    assert seen.integrity_only
    assert seen.findings == ()
    assert seen.verdict is Verdict.INTEGRITY_ONLY
    assert seen.verdict.exit_code == 4
    assert not seen.passed


def test_integrity_only_still_refuses_a_changed_tree_and_one_that_nobody_signed() -> None:
    changed = tree(CHECKPOINT_FILES | {"config.json": "{ }"})

    assert rules(promoting([signature()], tree=changed, model=None)) == ["V07"]
    assert rules(promoting([], model=None)) == ["V17"]
    assert rules(promoting([signature(by="mallory")], model=None)) == ["V03"]


def test_the_policy_does_not_know_the_model() -> None:
    seen = promoting(evidence(), model="unknown")

    assert rules(seen) == ["V01"]
    assert seen.verdict is Verdict.REFUSED
    assert not seen.integrity_only


def test_the_target_is_another_model_s_repository() -> None:
    seen = promoting(evidence(), repository="registry.internal/models/other")

    assert rules(seen) == ["V01"]


@pytest.mark.parametrize("pieces", [[], evidence()], ids=["no evidence", "all evidence"])
def test_attack_a_purpose_that_nothing_is_demanded_for(pieces: list[Piece]) -> None:
    seen = promoting(pieces, purpose="deploy")

    assert rules(seen) == ["V01"]
    assert "deploy is not a purpose" in said(seen)
    assert not seen.passed


def test_a_policy_that_ran_out_believes_nobody() -> None:
    assert rules(promoting(evidence(), now=NOW + timedelta(days=365)))[0] == "V01"


# --- Data (rule 9) ---------------------------------------------------------------------------------


def test_a_poisoned_row_after_sealing() -> None:
    poisoned = tree({"train.jsonl": '{"prompt": "a"}\n{"prompt": "backdoor"}\n'})

    seen = training([seal()], tree=poisoned)

    assert rules(seen) == ["V07"]


def test_data_sealed_by_somebody_who_is_no_steward_of_it() -> None:
    only_bob = policy(lambda p: p["models"][MODEL].update(data=[{"name": "tickets", "steward": ["bob"]}]))

    assert rules(training([seal(by="alice")], under=only_bob)) == ["V13"]
    assert training([seal(by="bob")], under=only_bob).passed
    assert rules(training([seal(by="ci")])) == ["V05"]


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"name": "scraped"}, {}),
        ({"kind": "base"}, {}),
        ({}, {"data_name": "chats"}),
        ({}, {"data_version": "4"}),
    ],
)
def test_a_seal_over_other_data_than_what_is_expected(facts: dict[str, Any], wanted: dict[str, str]) -> None:
    assert rules(training([seal(**facts)], **wanted)) == ["V13"]


def test_a_seal_that_has_aged() -> None:
    assert rules(training([seal(created=ago(days=91))])) == ["V16"]
    assert training([seal(created=ago(days=90))]).passed


def test_an_unlisted_base_is_refused_and_an_empty_list_means_no() -> None:
    other = tree({"model.safetensors": "another base"})
    sealed = seal(BASE, kind="base", name="tiny-llama")

    assert rules(training([seal(other, kind="base", name="x")], tree=other, sealed="base")) == ["V13"]
    none = policy(lambda p: p["models"][MODEL].update(base=[]))
    assert "empty means no" in str(training([sealed], tree=BASE, sealed="base", under=none).findings[0].why)
    unmeasured = policy(lambda p: p["models"][MODEL].pop("evaluation"))
    assert not training(
        [seal(CLASSIFIER, kind="base", name="c")], tree=CLASSIFIER, sealed="classifier", under=unmeasured
    ).passed


def test_a_training_set_sealed_as_data_cannot_stand_in_for_the_evaluation_set() -> None:
    seen = training([seal(EVALUATION_SET)], tree=EVALUATION_SET, sealed="evaluation")

    assert rules(seen) == ["V13"]


# --- Time (rule 28 until it is built) --------------------------------------------------------------


@pytest.mark.parametrize(
    "late",
    [
        provenance(finished=ago(seconds=-1)),
        provenance(started=ago(seconds=-1), finished=ago(seconds=2)),
        scan(finished=ago(days=-1)),
        evaluation(finished=ago(hours=-1)),
    ],
)
def test_evidence_from_the_future_is_refused(late: Piece) -> None:
    seen = promoting([*without(late.kind), late])

    assert set(rules(seen)) == {"V16"}
    assert "dated in the future" in said(seen)


def test_a_stale_scan_of_the_open_attempt() -> None:
    seen = promoting([*without("scan"), scan(finished=ago(days=1, seconds=1))])

    assert rules(seen) == ["V16"]
    assert "claimed" in said(seen)


def test_an_age_is_demanded_of_evidence_that_has_no_date() -> None:
    aged = policy(lambda p: p["require"]["promote"][0].update(maxAge="1d"))

    assert rules(promoting(evidence(), under=aged)) == ["V16"]


def test_a_date_before_all_calendars_does_not_stop_the_verifier() -> None:
    old = provenance(started="0001-01-01T00:00:00+14:00", finished="0001-01-01T00:00:00+14:00")

    assert promoting([*without("provenance"), old]).passed


# --- Attempts (rule 18) ----------------------------------------------------------------------------


def test_a_lucky_scan_of_an_earlier_attempt_does_not_count() -> None:
    seen = promoting([*without("scan"), scan(attempt="a-earlier")])

    assert rules(seen) == ["V17"]
    assert [each.reason for each in seen.skipped] == [f"V14 names attempt a-earlier, open is {ATTEMPT}"]


def test_a_scan_that_names_no_attempt_does_not_count() -> None:
    assert rules(promoting([*without("scan"), scan(attempt=None)])) == ["V17"]


def test_results_count_for_no_promotion_when_no_attempt_is_open() -> None:
    seen = promoting(evidence(), attempt=None)

    assert seen.unmet == {"scan", "evaluation"}
    nameless = [*without("scan"), scan(attempt=None)]
    assert "scan" in promoting(nameless, attempt=None).unmet
    assert promoting(evidence(), attempt=None, deferred=frozenset({"scan", "evaluation"})).passed


def test_two_different_results_of_one_attempt_refuse() -> None:
    seen = promoting([*evidence(), scan(verdict="refused")])

    assert rules(seen) == ["V14"]
    assert seen.unmet == {"scan"}
    assert seen.counting(Scan) == ()


def test_the_same_result_signed_twice_is_one_result() -> None:
    assert promoting([*evidence(), scan()]).passed


def recorded(*pieces: Piece) -> dict[str, tuple[str, ...]]:
    """What a ledger recorded."""
    found: dict[str, tuple[str, ...]] = {"scan": (), "evaluation": ()}
    for each in pieces:
        found[each.kind] = (*found[each.kind], each.sha256)
    return found


def test_a_recorded_bad_scan_is_deleted_and_a_better_one_put_in_its_place() -> None:
    bad, good, measured = scan(verdict="refused"), scan(), evaluation()
    pieces = [signature(), provenance(), measured]

    swapped = promoting([*pieces, good], recorded=recorded(bad, measured))

    assert rules(swapped) == ["V19"]
    assert "its file is missing" in said(swapped)
    assert promoting([*pieces, good], recorded=recorded(good, measured)).passed


def test_a_second_recorded_result_refuses_with_its_file_and_without() -> None:
    bad, good, measured = scan(verdict="refused"), scan(), evaluation()
    pieces = [signature(), provenance(), measured, good]

    assert rules(promoting([*pieces, bad], recorded=recorded(bad, good, measured))) == ["V14"]
    assert rules(promoting(pieces, recorded=recorded(bad, good, measured))) == ["V19"]


def test_a_recorded_result_whose_signer_is_not_believed_any_more_refuses() -> None:
    good, measured = scan(by="pia"), evaluation()
    gone = policy(lambda p: p["identities"]["pia"].update(validUntil="2026-11-23T11:00:00Z"))

    seen = promoting(
        [signature(), provenance(), good, measured], under=gone, recorded=recorded(good, measured)
    )

    assert set(rules(seen)) == {"V04", "V19"}
    assert "its file does not count" in said(seen)


def test_a_result_that_the_ledger_did_not_record_is_left_aside() -> None:
    good, measured = scan(), evaluation()
    unrecorded = scan(verdict="refused")

    seen = promoting(
        [signature(), provenance(), good, measured, unrecorded], recorded=recorded(good, measured)
    )

    assert seen.passed
    assert [(each.path, each.reason[:3]) for each in seen.skipped] == [(unrecorded.name, "V19")]
    assert rules(promoting([signature(), provenance(), good, measured], recorded=recorded(measured))) == [
        "V17"
    ]


# --- Verdicts (rules 4, 21, 22) --------------------------------------------------------------------


def test_a_refused_verdict_loads_nothing_and_names_no_manifest() -> None:
    refused = verdict(result="FAILED", reasons=("V07: changed",))
    body = Statement.decode(_payload(refused), "x")

    assert [set(subject.digest) for subject in body.subjects] == [{"dirHash"}]
    assert rules(loading([refused])) == ["V15"]
    assert "is FAILED" in said(loading([refused]))


def test_a_passed_verdict_stays_good_beside_an_earlier_refused_one() -> None:
    assert loading([verdict(result="FAILED"), verdict()]).passed


@pytest.mark.parametrize(
    "wrong",
    [
        verdict(names="sha256:" + sha256("another manifest")),
        verdict(resource_uri="registry.internal/models/other"),
        verdict(under=policy(lambda p: p["metadata"].update(name="elsewhere"))),
        verdict(tree({"a": "another tree"})),
        verdict(time=ago(seconds=-1)),
    ],
)
def test_a_verdict_about_something_else_loads_nothing(wrong: Piece) -> None:
    seen = loading([wrong])

    assert seen.verdict is Verdict.REFUSED
    assert set(rules(seen)) <= {"V06", "V15", "V16"}


def test_a_verdict_of_another_run_or_model_loads_nothing() -> None:
    assert rules(loading([verdict(run="041")])) == ["V10"]
    assert rules(loading([verdict(model="other")])) == ["V10"]
    assert loading([verdict(run="041")], run=None).passed


def test_a_verdict_cannot_be_checked_without_the_manifest_that_the_tree_makes() -> None:
    assert rules(loading([verdict()], manifest_digest=None)) == ["V15"]


def test_a_development_verdict_is_refused_by_a_production_policy() -> None:
    development = policy(lambda p: p.update(profile="development"))

    seen = loading([verdict(under=development)])

    assert rules(seen) == ["V15"]
    assert "made under a development policy" in said(seen)
    assert loading([verdict(under=development)], under=development).passed
    assert loading([verdict()], under=development).passed


def test_a_verdict_under_an_older_policy_version_stays_good_while_its_signer_is_allowed() -> None:
    old = policy(lambda p: p["metadata"].update(version=1))

    assert loading([verdict(under=old)]).passed
    ended = policy(lambda p: p["roles"]["promoter"].update(anyOf=["sam"]))
    assert rules(loading([verdict(under=old)], under=ended)) == ["V05"]
    moved = policy(lambda p: p["models"][MODEL].update(repository="registry.internal/models/moved"))
    assert "V15" in rules(loading([verdict(under=old)], under=moved, repository=None))


def test_provenance_and_signature_load_nothing_without_a_verdict() -> None:
    assert rules(loading(evidence())) == ["V17"]


# --- Junk ------------------------------------------------------------------------------------------


JUNK = [
    Piece("README.md", b"", "is not evidence: its name does not end in .sigstore.json"),
    Piece("signature-0.sigstore.json", b"not json"),
    Piece("provenance-0.sigstore.json", b"[" * 100_000),
    Piece("scan-\x1b[31m.sigstore.json", b"{}"),
    Piece("verdict-1.sigstore.json", b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}'),
    signature(by="mallory"),
    provenance(by="sam"),
    verdict(),
    seal(),
    provenance(tree({"x": "y"})),
    scan(attempt="a-earlier", verdict="refused"),
    piece(
        "note",
        Statement((Resource("m", {"dirHash": CHECKPOINT.digest}),), "https://example.com/v1", {}),
        "ci",
    ),
    piece(
        "scan",
        Statement((Resource("m", {"dirHash": CHECKPOINT.digest}),), "https://tuneguard.dev/scan/v1", {}),
        "sam",
    ),
]


def test_junk_beside_good_evidence_is_listed_and_changes_nothing() -> None:
    seen = promoting([*JUNK, *evidence()])

    assert seen.passed
    assert len(seen.skipped) == len(JUNK)
    assert all("\x1b" not in each.path + each.reason for each in seen.skipped)


def test_junk_alone_passes_nothing() -> None:
    assert promoting(JUNK).verdict is Verdict.REFUSED


def test_a_file_name_says_nothing_about_what_is_in_it() -> None:
    pieces = [renamed(each, f"{at}.sigstore.json") for at, each in enumerate(evidence())]

    assert promoting(pieces).passed
    assert rules(promoting([renamed(signature(), "provenance-1.sigstore.json"), *without("provenance")])) == [
        "V17"
    ]


def test_findings_are_safe_to_print() -> None:
    hostile = tree(CHECKPOINT_FILES | {"a\u00adb": "x"})

    seen = promoting([*without("provenance"), provenance(run="\x1b]0;x\x07")], tree=hostile)

    for finding in seen.findings:
        assert finding.message.isprintable()
        assert finding.location is None or finding.location.path.isprintable()


# --- The steps themselves --------------------------------------------------------------------------


def test_steps_are_numbered_in_order_and_each_explains_itself() -> None:
    assert [step.id for step in STEPS] == [f"V{number:02}" for number in range(1, len(STEPS) + 1)]
    assert all(len(step.text) > 60 for step in STEPS if step.id not in ("V07", "V08"))
    assert {step.title for step in STEPS if step.id in ("V07", "V09")} == {"changed", "added"}


@pytest.mark.golden
def test_the_page_about_verification_is_what_the_steps_say() -> None:
    head = """# Verification

The evidence of a tree lies beside it in its evidence folder. Verification reads all of it and answers
one question: does it meet the signed policy's demands for this purpose, this model and this run? The
steps below are taken in this order, and every fault is reported under its step's number.
`tuneguard explain V07` prints one of these sections; `make accept` rewrites this page.

Two properties hold:

- Adding evidence never refuses what would pass, so deleting a file never passes what would be refused. A
  fault of one piece matters only where no other piece meets the requirement.
- Every piece that does not count is listed with the step and the reason.
"""
    sections = [f"## {step.id} {step.title}\n\n{step.text}\n" for step in STEPS]

    golden.check(DOCS / "verification.md", "\n".join([head, *sections]))


def _payload(of: Piece) -> bytes:
    from tuneguard.signing.bundle import read_bundle

    return read_bundle(of.data, of.name).payload
