"""What every judge emits: findings, what was skipped, and one of four verdicts.

A judge never prints. It returns a `Result`, which ``output`` renders as text, JSON, SARIF or HTML.

    >>> from tuneguard.findings import Finding, Severity, Skipped, Verdict, judge
    >>> judge([], [])
    <Verdict.PASSED: 'passed'>
    >>> judge([Finding("TG-X", Severity.HIGH, "calls out")], [])
    <Verdict.REFUSED: 'refused'>
    >>> judge([], [Skipped("weights.bin", "unreadable")])
    <Verdict.NOT_UNDERSTOOD: 'not-understood'>
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

F_co = TypeVar("F_co", covariant=True)


class Severity(StrEnum):
    """How bad, lowest first. ``low`` is printed and refuses only where the policy lists it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


REFUSING: frozenset[Severity] = frozenset({Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL})
"""The severities that refuse when no policy states otherwise (TRUST.md rule 20)."""


class Verdict(StrEnum):
    """The only four answers. Only ``passed`` passes.

    ``integrity-only`` is the answer where a tree is as its signer signed it, and nothing else was asked or
    is known: no run, no role, no model. It is shown to people and scripts, and never signed.
    """

    PASSED = "passed"
    REFUSED = "refused"
    NOT_UNDERSTOOD = "not-understood"
    INTEGRITY_ONLY = "integrity-only"

    @property
    def exit_code(self) -> int:
        """0 passed, 1 refused, 3 could not look, 4 intact and nothing else known."""
        return _EXIT_CODES[self]


VERDICTS: Mapping[str, str] = {
    "passed": "Everything that was asked for was looked at, and nothing is wrong with it. Exit code 0.",
    "refused": "It was looked at, and something is wrong with it: each reason is a finding. Exit code 1.",
    "not-understood": "Something could not be looked at, so nothing is known of it: it does not pass. "
    "Exit code 3.",
    "integrity-only": "Every file is as its signer signed it, and that is all that is known: no run, no role "
    "and no model was asked about, or the signature names none. It does not pass, and no step of a promotion "
    "goes on from it. Exit code 4.",
}
"""What ``tuneguard explain`` prints about each verdict."""
_EXIT_CODES = {
    Verdict.PASSED: 0,
    Verdict.REFUSED: 1,
    Verdict.NOT_UNDERSTOOD: 3,
    Verdict.INTEGRITY_ONLY: 4,
}


@dataclass(frozen=True, slots=True)
class Location:
    """Where a finding is: a path, a member of an archive in it, and a place in that.

    ``offset`` counts bytes from 0; ``line`` and ``column`` count from 1.
    """

    path: str
    member: str | None = None
    offset: int | None = None
    opcode: str | None = None
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judge saw. ``message`` is what, ``why`` why that is bad, ``fix`` what to do.

    ``rule`` is an id that ``tuneguard explain`` knows: ``TG-…`` for a scan rule, ``V07`` for a
    step of verification, ``G-…`` for a gate, ``T-…`` for an entry of a tree.
    """

    rule: str
    severity: Severity
    message: str
    location: Location | None = None
    why: str | None = None
    fix: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """What a judge could not look at, and why. Silence never reads as safe."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What a result is about: a path as the person gave it and its tree digest in hex."""

    path: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class EvidenceRef:
    """A piece of evidence that a result relied on, by whom, and when.

    ``time`` is RFC 3339 in UTC; it is the signer's own claim until a time authority counts.
    """

    kind: str
    role: str
    identity: str
    time: str | None
    file: str


@dataclass(frozen=True, slots=True)
class Result(Generic[F_co]):
    """What a command found out.

    ``facts`` holds values that only this command has (a digest, counts, intervals), in a class of
    `tuneguard.facts`; ``outputs`` are the things it made; ``notes`` are remarks that every rendering must
    carry, such as "development policy: not for production"; ``next`` is the command to type next.
    """

    command: str
    verdict: Verdict
    subjects: tuple[Subject, ...] = ()
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    evidence: tuple[EvidenceRef, ...] = ()
    outputs: tuple[str, ...] = ()
    facts: F_co = field(kw_only=True)
    notes: tuple[str, ...] = ()
    next: str | None = None


def judge(
    findings: Iterable[Finding],
    skipped: Iterable[Skipped],
    refuse: frozenset[Severity] = REFUSING,
) -> Verdict:
    """The verdict over all that was seen: findings win over skipped, which win over nothing."""
    if any(finding.severity in refuse for finding in findings):
        return Verdict.REFUSED
    if any(True for _ in skipped):
        return Verdict.NOT_UNDERSTOOD
    return Verdict.PASSED


def finding_fields(finding: Finding) -> dict[str, Any]:
    """A finding as JSON fields, in results and in evidence alike; ``location`` holds what is known."""
    fields = asdict(finding)
    fields["severity"] = finding.severity.value
    if finding.location is not None:
        fields["location"] = {key: value for key, value in fields["location"].items() if value is not None}
    return fields
