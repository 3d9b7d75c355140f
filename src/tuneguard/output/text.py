"""Results as text for people: findings whole, the verdict last but one, the next step last.

One aligned verb a line, colour only for what the words already show. A pass is short, a refusal
complete. Every name from outside was escaped before it got here; what was not is escaped here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import paste
from tuneguard.facts import PromoteFacts
from tuneguard.files import printable
from tuneguard.findings import REFUSING, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.errors import TuneguardError
    from tuneguard.facts import Facts
    from tuneguard.findings import Finding, Location, Result

VERB_WIDTH = 11
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal can show. ``plain`` is for files, pipes and ``NO_COLOR``."""

    colour: bool = False
    unicode: bool = False

    def paint(self, text: str, code: str) -> str:
        """`text` in an ANSI colour where colours are shown."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def good(self, text: str) -> str:
        """`text` in the colour of what passed."""
        return self.paint(text, "1;32")

    def bad(self, text: str) -> str:
        """`text` in the colour of what was refused."""
        return self.paint(text, "1;31")

    def doubtful(self, text: str) -> str:
        """`text` in the colour of what is in doubt."""
        return self.paint(text, "1;33")

    def faint(self, text: str) -> str:
        """`text` in the colour of what may be passed over."""
        return self.paint(text, "2")


PLAIN = Style()


def line(style: Style, verb: str, text: str, details: Sequence[str] = ()) -> str:
    """One aligned line and the lines below it."""
    usual = style.doubtful if verb == "weakened" else style.good
    painted = style.bad if verb.isupper() else usual
    first = painted(f"{verb:>{VERB_WIDTH}}") + f"  {visible(text)}"
    return "\n".join([first, *((" " * (VERB_WIDTH + 2) + visible(detail)).rstrip() for detail in details)])


def render(result: Result[Facts], style: Style = PLAIN) -> str:
    """A result as text, ending in a newline."""
    rows: list[str] = []
    facts = result.facts if isinstance(result.facts, PromoteFacts) else None
    if facts is not None and facts.stopped:
        rows.append(line(style, "REFUSED", f"{facts.stopped}  {reasons(result)}"))
    for finding in result.findings if result.command != "doctor" else ():  # its lines have shown them
        rows.extend(_finding(finding, style))
    for skipped in result.skipped:
        rows.append(f"{style.doubtful('skipped')}  {visible(skipped.path)}")
        rows.append(f"      {visible(skipped.reason)}")
    rows.extend(style.faint("note: ") + visible(note) for note in result.notes)
    if facts is not None and facts.report and result.verdict is not Verdict.PASSED:
        rows.append(f"{style.faint('report: ')}{visible(facts.report)}")
    rows.append(_verdict(result, style))
    last = "      ".join(_last(result))
    return "\n".join([*rows, f"  {last}"] if last else rows) + "\n"


def _last(result: Result[Facts]) -> Iterator[str]:
    """What to do next; after a refusal where to read more, after a promotion where its report is."""
    if result.next:
        yield f"next: {visible(result.next)}"
    rule = _first_rule(result)
    more = None if rule is None else paste.command("explain", rule)
    if result.verdict is not Verdict.PASSED and more is not None:
        yield f"{'docs' if result.next else 'next'}: {more}"
    facts = result.facts
    if isinstance(facts, PromoteFacts) and facts.report and result.verdict is Verdict.PASSED:
        yield f"report: {visible(facts.report)}"


def render_error(error: TuneguardError, style: Style = PLAIN, notes: Sequence[str] = ()) -> str:
    """An error: each problem as ``error: what at where`` and ``help: what to do``, after the notes."""
    rows: list[str] = []
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    for finding in findings:
        rows.extend(_finding(finding, style))
    rows.extend(style.faint("note: ") + visible(note) for note in notes)
    for problem in error.problems:
        where = "" if problem.where is None else f"{problem.where}: "
        rows.append(f"{style.bad('error')}: {visible(where + problem.what)}")
        if problem.help:
            rows.append(f"{style.good('help')}: {visible(problem.help)}")
    return "\n".join(rows) + "\n"


def visible(text: str) -> str:
    """`text` with everything escaped that a terminal could act on or that reorders what people read.

    The second escape, after `files.printable`: backslashes stay, so what was escaped there is not again.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else printable(c) for c in text)


def reasons(result: Result[Facts]) -> str:
    """How many findings refuse, or how much could not be looked at."""
    refusing = sum(finding.severity in REFUSING for finding in result.findings) or len(result.findings)
    if refusing == 0 and result.skipped:
        return f"{len(result.skipped):,} not looked at"
    return f"{refusing:,} reason{'' if refusing == 1 else 's'}"


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
    yield visible(f"{finding.severity.value}  {finding.rule}{where}").replace(
        finding.severity.value, painted(finding.severity.value), 1
    )
    message = shortened(finding.message)
    yield f"      {visible(message)}"
    why = shortened(finding.why or "")
    for word, said in (("why", why), ("help", finding.fix), ("ref", finding.reference)):
        if said and said not in message:
            yield f"      {word}: {visible(said)}"


def shortened(text: str) -> str:
    """Digests by their first 12 digits: all 64 are in JSON and in the report."""
    return _DIGEST.sub(r"\1", text)


def _first_rule(result: Result[Facts]) -> str | None:
    """The rule of the first reason, for ``tuneguard explain``."""
    rules = [finding.rule for finding in result.findings if finding.severity in REFUSING]
    return rules[0] if rules else None


def _verdict(result: Result[Facts], style: Style) -> str:
    if result.verdict is Verdict.PASSED:
        return style.good("✓ passed" if style.unicode else "ok: passed")
    if result.verdict is Verdict.REFUSED:
        facts = result.facts
        unpushed = isinstance(facts, PromoteFacts) and facts.stopped not in ("push", "record")
        said = reasons(result) + (", nothing pushed" if unpushed else "")
        return style.bad(f"✗ refused: {said}" if style.unicode else f"REFUSED: {said}")
    looked = f"not understood: {len(result.skipped)} not looked at" if result.skipped else "not understood"
    if result.verdict is Verdict.INTEGRITY_ONLY:
        looked = "integrity only, which does not pass"
    return style.doubtful(f"✗ {looked}" if style.unicode else looked.upper())
