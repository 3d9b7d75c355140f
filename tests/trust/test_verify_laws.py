"""The laws of verification on random folders: adding never refuses, nothing is dropped in silence."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tuneguard.attest.evidence import Piece
from tuneguard.attest.statement import Resource, Statement
from tuneguard.trust.verify import verify
from world.company import (
    ATTEMPT,
    CHECKPOINT,
    NOW,
    ago,
    evaluation,
    expecting,
    piece,
    policy,
    provenance,
    scan,
    seal,
    signature,
    tree,
    verdict,
)

if TYPE_CHECKING:
    from tuneguard.trust.policy import Policy

OTHER = tree({"model.safetensors": "another tree"})
SCAN, EVALUATION = scan(), evaluation()

NEEDED: tuple[Piece, ...] = (signature(), provenance(), SCAN, EVALUATION, verdict())
BESIDE: tuple[Piece, ...] = (
    # what would do as well
    signature(by="eve"),
    provenance(),
    provenance(by="eve"),
    provenance(by="ci-spare"),
    # what an attacker, an accident or an earlier day left there
    signature(OTHER),
    signature(by="pia"),
    signature(by="mallory"),
    provenance(OTHER),
    provenance(run="041"),
    provenance(kind="intermediate"),
    provenance(by="mallory"),
    provenance(finished=ago(days=-1)),
    scan(by="pia"),
    scan(by="mallory"),
    scan(verdict="refused"),
    scan(attempt="a-earlier"),
    scan(finished=ago(days=3)),
    evaluation(by="pia", suites=()),
    evaluation(OTHER),
    verdict(result="FAILED"),
    verdict(OTHER),
    verdict(run="041"),
    seal(),
    piece(
        "other", Statement((Resource("m", {"dirHash": CHECKPOINT.digest}),), "https://example.com", {}), "ci"
    ),
    Piece("scan-0.sigstore.json", b"{}"),
    Piece("rows.txt", b"", "is not evidence"),
)
FOLDER = NEEDED + BESIDE


@functools.cache
def policies() -> tuple[Policy, ...]:
    """The company's policy, one that wants two builders, one in which builder and promoter are one."""

    def two(p: dict[str, Any]) -> None:
        p["roles"]["builder"]["threshold"] = 2

    def same(p: dict[str, Any]) -> None:
        p["identities"]["pia"]["custodian"] = "platform-team"

    def revoked(p: dict[str, Any]) -> None:
        p["identities"]["ci"]["revoked"] = {"at": "2026-11-01T00:00:00Z", "reason": "lost"}

    return policy(), policy(two), policy(same), policy(revoked), policy(two, same)


RECORDED = {"scan": (SCAN.sha256,), "evaluation": (EVALUATION.sha256,)}

expectations = st.sampled_from(
    [
        expecting(recorded=RECORDED),
        expecting(recorded=RECORDED, run=None),
        expecting(attempt=None, deferred=frozenset({"scan", "evaluation"})),
        expecting(purpose="resume", attempt=None),
        expecting(purpose="load", attempt=None),
        expecting(model=None),
    ]
)


@st.composite
def folders(draw: st.DrawFn) -> list[Piece]:
    """What is needed, perhaps with something missing, and whatever lies beside it, in any order."""
    missing = draw(st.sets(st.sampled_from(NEEDED), max_size=2))
    beside = draw(st.sets(st.sampled_from(BESIDE)))
    return draw(st.permutations([each for each in FOLDER if each in beside or each in set(NEEDED) - missing]))


def partly_deleted(folder: list[Piece], data: st.DataObject) -> list[Piece]:
    """The folder after somebody deleted some of it."""
    deleted = data.draw(st.sets(st.sampled_from(folder))) if folder else set()
    return [each for each in folder if each not in deleted]


def usable(seen: Any) -> bool:
    """Whether the answer is as good as this question's can be: passed, or intact where that is all."""
    return not seen.findings and not seen.unmet


@settings(max_examples=100)
@given(folder=folders(), expectation=expectations, which=st.integers(0, 4), data=st.data())
def test_deleting_evidence_never_passes_what_was_refused(
    folder: list[Piece], expectation: Any, which: int, data: st.DataObject
) -> None:
    rest = partly_deleted(folder, data)

    all_of_it = verify(CHECKPOINT, folder, policies()[which], expectation)
    some_of_it = verify(CHECKPOINT, rest, policies()[which], expectation)

    assert usable(all_of_it) or not usable(some_of_it)


@settings(max_examples=50)
@given(folder=folders(), data=st.data())
def test_without_a_ledger_only_a_second_result_of_the_attempt_can_refuse_what_passed(
    folder: list[Piece], data: st.DataObject
) -> None:
    rest = partly_deleted(folder, data)

    all_of_it = verify(CHECKPOINT, folder, policies()[0], expecting())
    some_of_it = verify(CHECKPOINT, rest, policies()[0], expecting())

    if some_of_it.passed and not all_of_it.passed:
        assert "V14" in {finding.rule for finding in all_of_it.findings}


@settings(max_examples=50)
@given(folder=folders(), expectation=expectations, which=st.integers(0, 4))
def test_every_file_is_a_claim_a_reason_or_listed(folder: list[Piece], expectation: Any, which: int) -> None:
    seen = verify(CHECKPOINT, folder, policies()[which], expectation)

    told = {claim.file for claim in seen.claims} | {each.path for each in seen.skipped}
    told |= {each.location.path for each in seen.findings if each.location is not None}
    silent = [each.name for each in folder if each.name not in told]
    # A list of files that differ is told by the files, and a short threshold by its custodians.
    assert not silent or {"V07", "V08", "V09", "V17"} & {each.rule for each in seen.findings}
    assert usable(seen) == (not seen.findings)


@settings(max_examples=15)
@given(folder=st.permutations(FOLDER), which=st.integers(0, 4))
def test_the_order_of_the_folder_changes_nothing(folder: list[Piece], which: int) -> None:
    one = verify(CHECKPOINT, folder, policies()[which], expecting(recorded=RECORDED))
    other = verify(CHECKPOINT, FOLDER, policies()[which], expecting(recorded=RECORDED))

    assert one.verdict == other.verdict
    assert set(one.findings) == set(other.findings)
    assert {(claim.sha256, claim.role) for claim in one.claims} == {
        (claim.sha256, claim.role) for claim in other.claims
    }


@settings(max_examples=100)
@given(data=st.binary(max_size=400), name=st.text(max_size=20))
def test_no_bytes_stop_the_verifier(data: bytes, name: str) -> None:
    seen = verify(CHECKPOINT, [Piece(name, data)], policies()[0], expecting())

    assert seen.claims == ()
    assert not seen.passed


HONEST = (signature(), provenance(), SCAN, EVALUATION)
"""Signed once: a signature of its own has a length of its own."""


@settings(max_examples=60)
@given(data=st.data())
def test_no_change_to_a_signed_file_makes_it_count_for_more(data: st.DataObject) -> None:
    honest = data.draw(st.sampled_from(HONEST))
    at = data.draw(st.integers(0, len(honest.data) - 1))
    byte = data.draw(st.integers(0, 255))
    changed = Piece(honest.name, honest.data[:at] + bytes([byte]) + honest.data[at + 1 :])

    before = verify(CHECKPOINT, [honest], policies()[0], expecting())
    after = verify(CHECKPOINT, [changed], policies()[0], expecting())

    assert before.expectation.now == NOW
    assert before.expectation.attempt == ATTEMPT
    for claim in after.claims:
        assert claim.statement == before.claims[0].statement
