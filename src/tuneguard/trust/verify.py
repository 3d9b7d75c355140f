"""Verifies the evidence of a tree: evidence, a policy and an expectation in, every fault out.

Pure: no clock, no file, no network. The caller hashes the tree, reads the evidence folder, loads
the signed policy (`trust.policy.load_signed`) and states what it expects. Then, in this order:

    V01         can the question be answered at all?
    V02 … V05   each piece: a bundle, by a key of the policy, believed now, in a role that may sign this
    V06 … V16   each piece: about exactly this tree, and the rules of its kind
    V17 … V19   all together: is every requirement of the purpose met, by whom, and is nothing missing?
    V20         each piece, with V06 … V16: is this what the tag names now?
    V23         each piece, with them: is the tree the part of a run that the verdict names?
    V21, V22    each piece, with them: is it older than its key's end, and does it rely on no stolen key?

Every step's docstring is what ``tuneguard explain V07`` prints and ``docs/verification.md`` holds.

Two properties, which tests check. Adding evidence never refuses what would pass, and so deleting a
file never passes what would be refused; the results of an open attempt obey this through the ledger
(V19). And every piece that does not count, for whatever reason, is listed.

The caller's part: the gates (`tuneguard.gates`), which judge the numbers in the claims, and the same bytes
afterwards.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tuneguard.files import printable
from tuneguard.findings import Finding, Location, Severity, Skipped
from tuneguard.trust import belief, checks, parts
from tuneguard.trust.claims import Claim, Expectation, Satisfied, Verification
from tuneguard.trust.opening import Opened, find_signer, open_bundle, open_statement
from tuneguard.trust.request import Fault, Question, Stop, check_question
from tuneguard.trust.requirements import (
    About,
    Demand,
    check_recorded,
    check_requirement,
    check_separation,
    unmet_fault,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.policy import Policy
    from tuneguard.typed import JsonStruct

__all__ = ["STEPS", "Claim", "Expectation", "Satisfied", "Step", "Verification", "verify"]


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered step: its id, a short name, and the function that takes it."""

    id: str
    title: str
    run: Callable[..., Any]

    @property
    def text(self) -> str:
        """What it checks and why, for people: the function's docstring."""
        return inspect.getdoc(self.run) or ""


CHECKS = (
    Step("V06", "subject", checks.check_subject),
    Step("V07", "changed", checks.check_changed),
    Step("V08", "missing", checks.check_missing),
    Step("V09", "added", checks.check_added),
    Step("V10", "names", checks.check_names),
    Step("V11", "class", checks.check_class),
    Step("V12", "builder", checks.check_builder),
    Step("V13", "seal", checks.check_seal),
    Step("V14", "attempt", checks.check_attempt),
    Step("V15", "verdict", checks.check_verdict),
    Step("V16", "time", checks.check_time),
    Step("V20", "release", checks.check_release),
    Step("V21", "until", belief.check_until),
    Step("V22", "relied", belief.check_relied),
    Step("V23", "part", checks.check_part),
)
"""The steps on each opened piece."""

STEPS = (
    Step("V01", "question", check_question),
    Step("V02", "bundle", open_bundle),
    Step("V03", "signer", find_signer),
    Step("V04", "identity", belief.check_identity),
    Step("V05", "statement", open_statement),
    *CHECKS[:-4],
    Step("V17", "requirement", check_requirement),
    Step("V18", "separation", check_separation),
    Step("V19", "recorded", check_recorded),
    *CHECKS[-4:],
)
"""Every step by its number: the order in which they are taken, but that V20 to V23 follow V16."""


def verify(
    tree: Manifest | str,
    pieces: Sequence[Piece],
    policy: Policy,
    expectation: Expectation,
    faults: Sequence[Finding] = (),
) -> Verification:
    """The evidence about `tree`, and whether that is what the policy demands for the purpose.

    `tree` is a manifest, or the tree digest alone where the files are not at hand: then lists of
    files are compared by their digest only. `faults` is what the tree holds beside and no manifest can:
    each refuses, whatever the evidence states. Never raises for anything that evidence holds.
    """
    digest, manifest = (tree, None) if isinstance(tree, str) else (tree.digest, tree)
    question = Question(digest, manifest, policy, expectation)
    wrong = [_finding(About("", None, fault)) for fault in check_question(question)]
    if question.model is None and not question.integrity_only:
        return Verification(expectation, digest, (*faults, *wrong), (), (), ())
    question = replace(question, parts=parts.find(question, pieces))
    examined = [_examine(question, piece) for piece in pieces]
    claims = [claim for each in examined for claim in each.claims]
    noted = [about for each in examined for about in each.noted]
    judged = _Judged(question, claims, noted, frozenset(piece.sha256 for piece in pieces))
    return Verification(
        expectation=expectation,
        digest=digest,
        findings=tuple(dict.fromkeys([*faults, *wrong, *map(_finding, judged.refusing)])),
        skipped=tuple(_skipped(judged.aside)),
        claims=judged.claims,
        satisfied=judged.satisfied,
        unmet=judged.unmet,
        notes=tuple(dict.fromkeys((*_notes(question), *_by_their_own_date(question, judged.satisfied)))),
        parts=question.parts,
    )


# --- One piece -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Examined:
    """One piece after V02 to V16: the claims that it makes, or what is wrong with it."""

    claims: tuple[Claim[JsonStruct], ...] = ()
    noted: tuple[About, ...] = ()


def _examine(question: Question, piece: Piece) -> _Examined:
    kind = piece.kind  # what the name states: good enough to sort messages by, and for nothing else
    try:
        bundle = open_bundle(piece)  # V02
        identity = find_signer(bundle, question.policy)  # V03
        belief.check_identity(identity, question)  # V04
        opened = open_statement(bundle, identity, piece, question)  # V05
        kind = opened.kind
        if question.kinds is not None and kind not in question.kinds:
            unneeded = Fault("V05", f"is of the kind {kind}, which is not asked for here", aside=True)
            return _Examined(noted=(About(kind, piece.name, unneeded),))
        faults = [fault for step in CHECKS for fault in step.run(opened)]  # V06 … V16, V20 …
    except Stop as stop:
        faults = [stop.fault]
    else:
        if not faults:
            return _Examined(claims=_claims(opened))
    return _Examined(noted=tuple(About(kind, piece.name, fault) for fault in faults))


def _claims(opened: Opened) -> tuple[Claim[JsonStruct], ...]:
    """What the piece states, once for each role in which its signer may sign it."""
    return tuple(
        Claim(
            kind=opened.kind,
            role=role.name,
            identity=opened.identity.name,
            custodian=opened.identity.custodian,
            time=belief.claimed_time(opened.body),
            file=printable(opened.piece.name),
            sha256=opened.piece.sha256,
            statement=opened.statement,
            body=opened.body,
        )
        for role in opened.roles
    )


# --- All together ----------------------------------------------------------------------------------


class _Judged:
    """V17 to V19 over all claims, and the sorting of faults into those that refuse and those aside.

    A fault of a piece refuses only if a requirement of the piece's kind is not met, and then it is
    the reason why.
    """

    def __init__(
        self,
        question: Question,
        claims: Sequence[Claim[JsonStruct]],
        noted: Sequence[About],
        present: frozenset[str],
    ) -> None:
        attempt = check_recorded(question, claims, present)  # V19, V14
        demands = [
            check_requirement(question, each, attempt.claims) for each in question.requirements
        ]  # V17, V18
        lost = {about.kind for about in attempt.refusing}
        self.claims = attempt.claims if question.integrity_only else _listed_once(demands)
        self.satisfied = tuple(
            Satisfied(each.requirement, each.counted)
            for each in demands
            if each.met and each.requirement.kind not in lost
        )
        self.unmet = frozenset(lost | {each.requirement.kind for each in demands if not each.met})
        everything = [*noted, *attempt.aside, *(about for each in demands for about in each.faults)]
        reasons = [about for about in everything if self._matters(question, about)]
        reported = frozenset(about.fault.tree for about in reasons if about.fault.step in _FILE_BY_FILE)
        self.aside = [about for about in everything if not self._matters(question, about)]
        self.aside += [about for about in reasons if _already_reported(about.fault, reported)]
        self.refusing = [about for about in reasons if not _already_reported(about.fault, reported)]
        self.refusing += attempt.refusing
        explained = {about.kind for about in (*reasons, *attempt.refusing)}
        self.refusing += [
            About(each.requirement.kind, None, unmet_fault(each.requirement, attempt.claims))
            for each in demands
            if not each.met and each.requirement.kind not in explained
        ]
        if question.integrity_only and not self.claims and not self.refusing:
            self.refusing.append(About("", None, _NOBODY))

    def _matters(self, question: Question, about: About) -> bool:
        if about.fault.aside:
            return False
        return not self.claims if question.integrity_only else about.kind in self.unmet


_FILE_BY_FILE = frozenset({"V07", "V08", "V09"})
"""The steps that report file by file how a tree differs from the one that was signed."""


def _already_reported(fault: Fault, reported: frozenset[str | None]) -> bool:
    """Whether a fault is only that this is not the tree whose differences are reported file by file."""
    return fault.step == "V06" and fault.tree in reported


_NOBODY = Fault(
    "V17",
    "nothing here is signed by anybody whom the policy believes",
    fix="bring the evidence folder along with the tree",
)


def _listed_once(demands: Sequence[Demand]) -> tuple[Claim[JsonStruct], ...]:
    """Each piece that is good for a requirement, once: in the first role that the requirement names."""
    found: dict[tuple[str, str], Claim[JsonStruct]] = {}
    for demand in demands:
        for claim in sorted(demand.good, key=lambda claim: demand.requirement.roles.index(claim.role)):
            found.setdefault((claim.file, claim.sha256), claim)
    return tuple(found.values())


def _finding(about: About) -> Finding:
    fault = about.fault
    path = fault.path if fault.path is not None else about.file
    return Finding(
        rule=fault.step,
        severity=Severity.HIGH,
        message=fault.message,
        location=None if path is None else Location(printable(path)),
        why=fault.why,
        fix=fault.fix,
    )


def _skipped(aside: Iterable[About]) -> Iterator[Skipped]:
    """One line for each piece, however much is wrong with it."""
    by_file: dict[str, list[Fault]] = {}
    for about in aside:
        if about.file is not None:
            by_file.setdefault(about.file, []).append(about.fault)
    for file, faults in by_file.items():
        path = "" if faults[0].path is None else f"{printable(faults[0].path)} "
        more = "" if len(faults) == 1 else f" (and {len(faults) - 1:,} more)"
        yield Skipped(printable(file), f"{faults[0].step} {path}{faults[0].message}{more}")


def _notes(question: Question) -> Iterable[str]:
    expected = question.expectation
    if question.integrity_only:
        return
    if expected.purpose in ("promote", "load") and expected.run is None:
        yield "no run was named: any run of this model is accepted (name one: --run ID)"
    if expected.purpose == "train" and expected.sealed == "dataset" and expected.data_version is None:
        yield "the data's version is unpinned"
    if expected.deferred:
        yield f"not asked for yet: {', '.join(sorted(expected.deferred))}"


def _by_their_own_date(question: Question, satisfied: Iterable[Satisfied]) -> Iterator[str]:
    """What counts by a date that nobody but its signer vouches for, and nothing else beside it does."""
    identities, now = question.policy.identities, question.expectation.now
    for met in satisfied:
        if not all(belief.has_ended(identities[claim.identity], now) for claim in met.claims):
            continue
        for claim in met.claims:
            yield (
                f"the {claim.kind} by {claim.identity} counts by its own date, {claim.time} claimed: "
                f"the key was believed until {identities[claim.identity].ends:%Y-%m-%d}"
            )
