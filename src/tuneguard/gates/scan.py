"""The tree was scanned whole, and nothing dangerous was found.

The scan that names the open attempt is judged by its findings; what it says of itself counts only
against it. Findings of severity medium, high and critical always refuse; a finding of severity low
refuses where the policy lists it (`gates.scan.refuse`). A file that the scanner could not understand
refuses as well: "could not look" is not "nothing found". The scan must have seen as many files and
bytes as the tree holds. There is no way to force a pass.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.attest.predicates.scan import Scan
from tuneguard.errors import ConfigurationError, Problem
from tuneguard.fields import decode as decode_fields
from tuneguard.files import printable
from tuneguard.findings import REFUSING, Finding, Location, Severity
from tuneguard.gates.engine import Case, Gate, GateResult, fault, not_judged, ordered, refuses, signer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneguard.nodes import Node


@dataclass(frozen=True, slots=True)
class Settings:
    """The severities that refuse, never fewer than medium, high and critical; and where it says so."""

    refuse: frozenset[Severity] = REFUSING
    where: str | None = None


@dataclass(frozen=True, slots=True)
class _Listed:
    refuse: tuple[str, ...]


def decode(node: Node | None) -> Settings:
    """Read ``{refuse: [medium, high, critical]}``.

    Raises:
        ConfigurationError: a severity that there is not, or one left out that always refuses.
    """
    if node is None:
        return Settings()
    listed = decode_fields(node, _Listed).refuse
    at = node.mapping["refuse"]
    unknown = [name for name in listed if name not in set(Severity)]
    if unknown:
        known = ", ".join(Severity)
        raise ConfigurationError(
            [Problem(f"{printable(unknown[0])} is no severity", at.where, f"known: {known}")]
        )
    missing = sorted(REFUSING - frozenset(map(Severity, listed)), key=list(Severity).index)
    if missing:
        help = "list them: the only choice is whether low refuses too"
        raise ConfigurationError([Problem(f"{', '.join(missing)} always refuse", at.where, help)])
    return Settings(frozenset(map(Severity, listed)), at.where)


def tighten(floor: Settings, asked: Settings, owner: str) -> Settings:
    """Both together: whatever refuses in either.

    Raises:
        ConfigurationError: the floor refuses low and the tighter block does not.
    """
    del owner
    looser = floor.refuse - asked.refuse
    if looser:
        names = ", ".join(sorted(looser))
        problem = Problem(
            f"not to refuse {names} is looser than the policy's scan.refuse ({floor.where})",
            asked.where,
            "list it too, or ask the policy's owner",
        )
        raise ConfigurationError([problem])
    return asked


def judge(case: Case, settings: Settings) -> GateResult:
    """Judge the scan's own findings again."""
    severities = ", ".join(each for each in Severity if each in settings.refuse)
    needed = f"all {case.files:,} files understood, nothing {severities}"
    claims = ordered(case.verification.counting(Scan))
    if not claims:
        return not_judged(case, GATE, needed)
    claim = claims[0]  # verification lets one result of an attempt through
    body = claim.body
    counts = Counter(str(finding["severity"]) for finding in body.findings)
    seen = ", ".join(f"{counts[each]} {each}" for each in reversed(Severity) if counts[each])
    found = f"{body.files:,} files, {len(body.skipped)} not understood, findings: {seen or 'none'}"
    return GateResult(GATE.id, tuple(_faults(case, settings, body)), needed, found, (signer(claim),))


def _faults(case: Case, settings: Settings, body: Scan) -> Iterator[Finding]:
    told = [_retold(finding) for finding in body.findings]
    yield from told
    low = sum(finding.severity == Severity.LOW for finding in told)
    if low and Severity.LOW in settings.refuse:
        yield fault(GATE, f"{low} findings of severity low, and the policy refuses low")
    for skipped in body.skipped:
        path, reason = printable(skipped.path), _text(skipped.reason)
        yield fault(GATE, f"could not be understood: {reason}", path=path, fix="remove or replace the file")
    if (body.files, body.bytes) != (case.files, case.bytes):
        seen = f"{body.files:,} files and {body.bytes:,} bytes"
        yield fault(
            GATE,
            f"the scan saw {seen}, the tree holds {case.files:,} and {case.bytes:,}",
            fix="scan the whole tree",
        )
    if body.verdict != "passed" and not refuses(told) and not body.skipped:
        yield fault(GATE, f"the scanner itself says {printable(body.verdict)}, and gives no reason")


def _retold(finding: Mapping[str, Any]) -> Finding:
    """A finding as the evidence holds it. Its severity is a known one, or it would not have been read."""
    location = finding.get("location")
    return Finding(
        rule=_text(finding["rule"]),
        severity=Severity(finding["severity"]),
        message=_text(finding.get("message", "")),
        location=_location(location) if isinstance(location, dict) else None,
        why=_optional(finding.get("why")),
        fix=_optional(finding.get("fix")),
        reference=_optional(finding.get("reference")),
    )


def _location(fields: Mapping[str, Any]) -> Location:
    return Location(
        path=_text(fields.get("path", "")),
        member=_optional(fields.get("member")),
        offset=_number(fields.get("offset")),
        opcode=_optional(fields.get("opcode")),
        line=_number(fields.get("line")),
        column=_number(fields.get("column")),
    )


def _text(value: object) -> str:
    """A text of the evidence, safe to print; our scanner has escaped names already."""
    text = str(value)
    return text if text.isprintable() else printable(text)


def _optional(value: object) -> str | None:
    return _text(value) if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


GATE = Gate("scan", "nothing dangerous in the tree", "scan", decode, tighten, judge)
