"""Results as text for people: findings whole, the verdict last but one, the next step last.

The look is that of ``UX.md``: one aligned verb a line, colour only for what the words already say,
every name from outside escaped before it got here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.errors import TuneguardError
    from tuneguard.findings import Finding, Location, Result

VERB_WIDTH = 11


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal can show. ``plain`` is for files, pipes and ``NO_COLOR``."""

    colour: bool = False
    unicode: bool = False

    def paint(self, text: str, code: str) -> str:
        """`text` in an ANSI colour where colours are shown."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def good(self, text: str) -> str:
        return self.paint(text, "1;32")

    def bad(self, text: str) -> str:
        return self.paint(text, "1;31")

    def doubtful(self, text: str) -> str:
        return self.paint(text, "1;33")

    def faint(self, text: str) -> str:
        return self.paint(text, "2")


PLAIN = Style()


def line(style: Style, verb: str, text: str, details: Sequence[str] = ()) -> str:
    """One aligned line and the lines below it."""
    painted = style.bad if verb.isupper() else style.good
    first = painted(f"{verb:>{VERB_WIDTH}}") + f"  {text}"
    return "\n".join([first, *(" " * (VERB_WIDTH + 2) + detail for detail in details)])


def render(result: Result, style: Style = PLAIN) -> str:
    """A result as text, ending in a newline."""
    rows: list[str] = []
    for finding in result.findings:
        rows.extend(_finding(finding, style))
    for skipped in result.skipped:
        rows.append(f"{style.doubtful('skipped')}  {skipped.path}")
        rows.append(f"      {skipped.reason}")
    rows.extend(style.faint("note: ") + note for note in result.notes)
    rows.append(_verdict(result, style))
    if result.next:
        rows.append(f"  next: {result.next}")
    return "\n".join(rows) + "\n"


def render_error(error: TuneguardError, style: Style = PLAIN) -> str:
    """An error: each problem as ``error: what at where`` and ``help: what to do``."""
    rows: list[str] = []
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    for finding in findings:
        rows.extend(_finding(finding, style))
    for problem in error.problems:
        where = "" if problem.where is None else f"{problem.where}: "
        rows.append(f"{style.bad('error')}: {where}{problem.what}")
        if problem.help:
            rows.append(f"{style.good('help')}: {problem.help}")
    return "\n".join(rows) + "\n"


def place(location: Location) -> str:
    """``file ▸ member ▸ byte 1,482 ▸ REDUCE`` or ``file:14:5``."""
    text = location.path
    if location.line is not None:
        text += f":{location.line}" + (f":{location.column}" if location.column is not None else "")
    parts = [text]
    if location.member is not None:
        parts.append(location.member)
    if location.offset is not None:
        parts.append(f"byte {location.offset:,}")
    if location.opcode is not None:
        parts.append(location.opcode)
    return " ▸ ".join(parts)


def _finding(finding: Finding, style: Style) -> Iterator[str]:
    painted = style.doubtful if finding.severity == "low" else style.bad
    where = "" if finding.location is None else f"  {place(finding.location)}"
    where = where if style.unicode else where.replace("▸", ">")
    yield f"{painted(finding.severity.value)}  {finding.rule}{where}"
    yield f"      {finding.message}"
    if finding.why:
        yield f"      why: {finding.why}"
    if finding.fix:
        yield f"      help: {finding.fix}"
    if finding.reference:
        yield f"      ref: {finding.reference}"


def _verdict(result: Result, style: Style) -> str:
    if result.verdict is Verdict.PASSED:
        return style.good("✓ passed" if style.unicode else "ok: passed")
    if result.verdict is Verdict.REFUSED:
        refusing = sum(1 for finding in result.findings if finding.severity != "low") or len(result.findings)
        reasons = f"{refusing} reason{'' if refusing == 1 else 's'}"
        return style.bad(f"✗ refused: {reasons}" if style.unicode else f"REFUSED: {reasons}")
    looked = f"not understood: {len(result.skipped)} not looked at" if result.skipped else "not understood"
    return style.doubtful(f"✗ {looked}" if style.unicode else looked.upper())
