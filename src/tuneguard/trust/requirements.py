"""Do the claims that are left meet what the policy demands? Steps V17 to V19, on all pieces together.

A requirement is met by any evidence that is good for it, whatever else lies beside it: that is what
keeps an added file from refusing a tree, and a deleted file from passing one. The exception
are the results of a promotion attempt, which the ledger holds together (V19).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tuneguard.attest.predicates.oms import Signature
from tuneguard.attest.predicates.seal import Seal
from tuneguard.attest.predicates.verdict import Verdict
from tuneguard.records import to_json
from tuneguard.trust.belief import not_believed
from tuneguard.trust.request import ATTEMPT_BOUND, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tuneguard.trust.claims import Claim
    from tuneguard.trust.policy import Requirement
    from tuneguard.trust.request import Question
    from tuneguard.typed import JsonStruct


@dataclass(frozen=True, slots=True)
class About:
    """A fault and what it is about: the file of a piece of evidence, or None for the whole folder."""

    kind: str
    file: str | None
    fault: Fault


@dataclass(frozen=True)
class Demand:
    """One requirement held against the claims: `good` are in order, `counted` are also enough.

    `met` is never true without a claim. `faults` about claims that do not count matter only where
    the requirement is not met.
    """

    requirement: Requirement
    good: tuple[Claim[JsonStruct], ...]
    counted: tuple[Claim[JsonStruct], ...]
    faults: tuple[About, ...]

    @property
    def met(self) -> bool:
        """Whether enough custodians signed the same."""
        return bool(self.counted)


def check_requirement(
    question: Question, requirement: Requirement, claims: Sequence[Claim[JsonStruct]]
) -> Demand:
    """Each requirement of the purpose is met by enough custodians.

    A requirement names a kind of evidence and the roles that can give it; one of the roles is enough.
    Within a role, as many different custodians as its threshold demands must have signed the same: two
    keys of one custodian count once. Evidence that is older than the requirement's `maxAge`, or that
    has no date where one is demanded, does not count for it (V16).
    """
    faults: list[About] = []
    good = []
    for claim in claims:
        if claim.kind != requirement.kind or claim.role not in requirement.roles:
            continue
        fault = _too_old(question, requirement, claim) or check_separation(question, claim)
        if fault is None:
            good.append(claim)
        else:
            faults.append(About(claim.kind, claim.file, fault))
    counted, short = _agreed(question, good)
    if not counted:
        faults.extend(About(requirement.kind, None, fault) for fault in short)
    return Demand(requirement, tuple(good), counted, tuple(faults))


def unmet_fault(requirement: Requirement, claims: Iterable[Claim[JsonStruct]]) -> Fault:
    """The plain sentence for a requirement that nothing here meets."""
    others = sorted(
        {
            f"{claim.identity} as {claim.role}"
            for claim in claims
            if claim.kind == requirement.kind and claim.role not in requirement.roles
        }
    )
    by = " or ".join(requirement.roles)
    beside = f" (there is one by {', '.join(others)})" if others else ""
    return Fault(
        "V17",
        f"no {requirement.kind} by {by} counts for this tree{beside}",
        fix="bring the evidence folder along with the tree, whole, or make the evidence anew",
    )


def _too_old(question: Question, requirement: Requirement, claim: Claim[JsonStruct]) -> Fault | None:
    if requirement.max_age is None:
        return None
    if claim.time is None:
        return Fault("V16", f"has no date, and the policy allows an age of {requirement.max_age}")
    age = question.expectation.now - datetime.fromisoformat(claim.time)
    if age <= requirement.max_age:
        return None
    bound = str(requirement.max_age).removesuffix(", 0:00:00")
    return Fault(
        "V16",
        f"is too old: claimed {claim.time}, and the policy allows {bound}",
        fix="have it made anew",
    )


def _agreed(
    question: Question, claims: Sequence[Claim[JsonStruct]]
) -> tuple[tuple[Claim[JsonStruct], ...], list[Fault]]:
    """The claims that enough custodians of one role agree in; else how many are missing."""
    groups: dict[tuple[str, bytes], list[Claim[JsonStruct]]] = defaultdict(list)
    for claim in claims:
        groups[claim.role, _what_it_says(claim)].append(claim)
    counted: list[Claim[JsonStruct]] = []
    short: list[Fault] = []
    for (role, _), group in groups.items():
        wanted = max(1, question.policy.roles[role].threshold)
        who = sorted({claim.custodian for claim in group})
        if len(who) >= wanted:
            counted.extend(group)
        else:
            message = f"{group[0].kind} is by {len(who)} of {wanted} custodians that {role} needs"
            fix = f"have {wanted - len(who)} more sign the same"
            short.append(Fault("V17", f"{message}: {', '.join(who)}", fix=fix))
    return tuple(counted), short


def _what_it_says(claim: Claim[JsonStruct]) -> bytes:
    """What custodians must agree in: the tree anyway, and the rest that their kind covers.

    Everybody's own dates and remarks may differ where each looked for themselves (a seal, a verdict).
    A provenance, a scan or an evaluation records what happened once: there, every word.
    """
    match claim.body:
        case Signature():
            return b""
        case Seal():
            return to_json([claim.body.kind, claim.body.name, claim.body.version])
        case Verdict():
            return to_json([claim.body.model, claim.body.run])
        case _:
            return claim.statement.encode()


def check_separation(question: Question, claim: Claim[JsonStruct]) -> Fault | None:
    """No custodian gives evidence in two roles that the policy keeps apart.

    The rule compares custodians, whatever keys they use. A custodian with believed keys of both roles
    for this model counts in neither role: comparing only the evidence at hand would let a deleted file
    hide that one person both built and promoted. Every policy separates `builder` and `promoter`.
    """
    for pair in question.policy.separation_of_duties:
        if claim.role not in pair:
            continue
        other = pair[1] if claim.role == pair[0] else pair[0]
        if claim.custodian in _custodians_in(question, other):
            return Fault(
                "V18",
                f"is by {claim.identity} as {claim.role}, and {claim.custodian} keeps a key of {other} too",
                why=f"the policy keeps {pair[0]} and {pair[1]} apart, by custodian",
                fix="give one of the two roles to somebody else, and have the policy signed again",
            )
    return None


def _custodians_in(question: Question, role: str) -> frozenset[str]:
    """The custodians of the keys of `role` for this model that are believed, or count for earlier evidence.

    A key whose time ran out counts only where this question asks for the evidence of its role: a custodian
    who built last year and promotes now, with another key, does not count in both.
    """
    found = question.policy.roles.get(role)
    if found is None or not (question.integrity_only or question.expectation.model in found.models):
        return frozenset()
    identities = [
        question.policy.identities[name] for name in found.any_of if name in question.policy.identities
    ]
    now = question.expectation.now
    before = question.lasting and any(role in each.roles for each in question.requirements)
    return frozenset(each.custodian for each in identities if not_believed(each, now, before=before) is None)


@dataclass(frozen=True)
class Attempt:
    """What is left of the claims after the open attempt's own rules, and what refuses whatever is left."""

    claims: tuple[Claim[JsonStruct], ...]
    aside: tuple[About, ...]
    refusing: tuple[About, ...]


def check_recorded(
    question: Question, claims: Sequence[Claim[JsonStruct]], present: frozenset[str]
) -> Attempt:
    """Of an attempt, all that the ledger recorded counts, and nothing else.

    The ledger records a scan or an evaluation before its file appears. A recorded file that is missing
    or does not count refuses: otherwise deleting a bad result would be a way to pass. A file that is
    not in the ledger is ignored. Two different results of one kind refuse.
    """
    expected = question.expectation
    if expected.purpose != "promote" or question.integrity_only:
        return Attempt(tuple(claims), (), ())
    kinds = ATTEMPT_BOUND & (question.kinds or frozenset())
    recorded = expected.recorded if expected.attempt is not None else None
    left: list[Claim[JsonStruct]] = []
    aside: list[About] = []
    for claim in claims:
        if recorded is not None and claim.kind in kinds and claim.sha256 not in recorded.get(claim.kind, ()):
            fault = Fault("V19", "is not what the ledger recorded for this attempt", aside=True)
            aside.append(About(claim.kind, claim.file, fault))
        else:
            left.append(claim)
    refusing = [about for kind in sorted(kinds) for about in _contradictions(kind, left)]
    if recorded is not None:
        refusing += [
            about for kind in sorted(kinds) for about in _lost(kind, recorded.get(kind, ()), left, present)
        ]
    return Attempt(tuple(left), tuple(aside), tuple(refusing))


def _contradictions(kind: str, claims: Sequence[Claim[JsonStruct]]) -> Iterator[About]:
    files = {claim.statement.encode(): claim.file for claim in claims if claim.kind == kind}
    if len(files) > 1:
        names = ", ".join(sorted(files.values()))
        message = f"{len(files)} different {kind} results name the open attempt: {names}"
        yield About(kind, None, Fault("V14", message, fix="promote again: a new attempt is judged once"))


def _lost(
    kind: str, recorded: Sequence[str], claims: Sequence[Claim[JsonStruct]], present: frozenset[str]
) -> Iterator[About]:
    counting = {claim.sha256 for claim in claims if claim.kind == kind}
    for sha256 in recorded:
        if sha256 in counting:
            continue
        what = "does not count" if sha256 in present else "is missing"
        yield About(
            kind,
            None,
            Fault(
                "V19",
                f"the ledger recorded a {kind} of this attempt, and its file {what}",
                why=f"recorded SHA-256 {sha256}",
                fix="promote again: a new attempt is judged anew",
            ),
        )
