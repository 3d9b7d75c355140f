"""The tree was scanned whole, and nothing dangerous was found.

The scan that names the open attempt is judged by its findings; what it states of itself counts only
against it. Findings of severity medium, high and critical always refuse; a finding of severity low
refuses where the policy lists it (`gates.scan.refuse`). A file that the scanner could not understand
refuses as well: "could not look" is not "nothing found". The scan must have seen as many files and
bytes as the tree holds. There is no way to force a pass.

`gates.scan.formats` lists the formats that a checkpoint may hold, by the names that
`tuneguard explain TG-FORMAT` prints; a file of another one refuses. The model's own `gates` and a
pipeline file may list fewer. The scan must have been made under this list or a narrower one: it
says under which, and one that says none, or more, does not count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from tuneguard.attest.predicates.scan import Scan
from tuneguard.errors import ConfigurationError, NotUnderstood, Problem
from tuneguard.fields import decode as decode_fields
from tuneguard.files import printable
from tuneguard.findings import REFUSING, Finding, Location, Severity
from tuneguard.gates.engine import Case, Gate, GateResult, fault, not_judged, ordered, refuses, signer
from tuneguard.nodes import shown
from tuneguard.scanner.kinds import FORMATS
from tuneguard.typed import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.nodes import Node

Part = TypeVar("Part", Finding, Location)


@dataclass(frozen=True, slots=True)
class Settings:
    """The severities that refuse, never fewer than medium, high and critical; and where this is set.

    ``formats`` are those that a checkpoint may hold; None is any.
    """

    refuse: frozenset[Severity] = REFUSING
    where: str | None = None
    formats: frozenset[str] | None = None
    formats_where: str | None = None


@dataclass(frozen=True, slots=True)
class _Listed:
    refuse: tuple[str, ...] | None = None
    formats: tuple[str, ...] | None = None


def decode(node: Node | None) -> Settings:
    """Read ``{refuse: [medium, high, critical], formats: [safetensors, json]}``.

    Raises:
        ConfigurationError: a severity or format that there is not; a severity left out that always refuses.
    """
    if node is None:
        return Settings()
    listed = decode_fields(node, _Listed)
    settings = Settings()
    if listed.refuse is not None:
        settings = _severities(listed.refuse, node.mapping["refuse"])
    if listed.formats is None:
        return settings
    at = node.mapping["formats"]
    problems = [
        Problem(
            f"no format is called `{shown(name)}`",
            at.where,
            f"known: {', '.join(FORMATS)}",
        )
        for name in listed.formats
        if name not in FORMATS
    ]
    if problems:
        raise ConfigurationError(problems)
    return replace(settings, formats=frozenset(listed.formats), formats_where=at.where)


def _severities(listed: tuple[str, ...], at: Node) -> Settings:
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
        ConfigurationError: the floor refuses low and the tighter block does not, or that lists more formats.
    """
    del owner
    problems = []
    if asked.where is None:
        asked = replace(asked, refuse=floor.refuse, where=floor.where)
    if looser := floor.refuse - asked.refuse:
        names = ", ".join(sorted(looser))
        what = f"not to refuse {names} is looser than the policy's scan.refuse ({floor.where})"
        problems.append(Problem(what, asked.where, "list it too, or ask the policy's owner"))
    if asked.formats is None:
        asked = replace(asked, formats=floor.formats, formats_where=floor.formats_where)
    elif floor.formats is not None and (more := asked.formats - floor.formats):
        names = ", ".join(sorted(more))
        what = f"{names} is more than the policy's scan.formats lists ({floor.formats_where})"
        problems.append(Problem(what, asked.formats_where, "leave it out, or ask the policy's owner"))
    if problems:
        raise ConfigurationError(problems)
    return asked


def judge(case: Case, settings: Settings) -> GateResult:
    """Judge the scan's own findings again."""
    severities = ", ".join(each for each in Severity if each in settings.refuse)
    needed = f"all {case.files:,} files understood, nothing {severities}"
    if settings.formats is not None:
        needed += f", only {', '.join(sorted(settings.formats)) or 'empty files'}"
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
    findings = []
    for fields in body.findings:
        try:
            findings.append(_printable(read(fields, Finding, "the scan's findings")))
        except NotUnderstood as error:
            yield fault(GATE, f"a finding is not understood: {error.what}", fix="scan the tree again")
    yield from findings
    low = sum(finding.severity == Severity.LOW for finding in findings)
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
    allowed = settings.formats
    if allowed is not None and (body.formats is None or not allowed.issuperset(body.formats)):
        under = "any format" if body.formats is None else ", ".join(map(printable, body.formats))
        listed = ", ".join(sorted(allowed)) or "none"
        yield fault(
            GATE,
            f"the scan let {under} pass, and the policy lists {listed}",
            fix="scan the tree again, under the policy's list",
        )
    if body.verdict != "passed" and not refuses(findings) and not body.skipped:
        yield fault(GATE, f"the scanner's own verdict is {printable(body.verdict)}, and it gives no reason")


def _printable(finding: Finding) -> Finding:
    """The finding with every text safe to print."""
    place = finding.location
    return _escaped(finding, location=None if place is None else _escaped(place))


def _escaped(value: Part, **changes: Any) -> Part:
    texts = {name: text for name in value.__slots__ if type(text := getattr(value, name)) is str}
    escaped: dict[str, Any] = {name: _text(text) for name, text in texts.items()}
    return replace(value, **escaped | changes)


def _text(value: str) -> str:
    """A text of the evidence, safe to print; our scanner has escaped names already."""
    return value if value.isprintable() else printable(value)


GATE = Gate("scan", "nothing dangerous in the tree", "scan", decode, tighten, judge)
