"""What the parts of a report share: how something stands, rows, times and figures as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneguard.findings import REFUSING, Finding, Severity

if TYPE_CHECKING:
    from tuneguard.facts import Facts
    from tuneguard.findings import Result


class State(StrEnum):
    """How something stands. A page shows words and a sign with it, never a colour alone."""

    GOOD = "good"
    BAD = "bad"
    DOUBT = "doubt"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list. ``kind`` is text, code, or digest for what a reader copies whole."""

    label: str
    value: str
    kind: str = "text"
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Stand:
    """A name, how it stands, and in which words: a step, an isolation control, a gate."""

    name: str
    state: State
    words: str


def refusing(result: Result[Facts]) -> tuple[Finding, ...]:
    """The findings that refuse, worst first."""
    order = list(Severity)
    found = [finding for finding in result.findings if finding.severity in REFUSING]
    return tuple(sorted(found, key=lambda finding: -order.index(finding.severity)))


def when(time: str | None) -> str:
    """An RFC 3339 time as reports show it: in UTC, since a report is read anywhere.

    >>> when("2026-11-23T13:46:35Z")
    '2026-11-23 13:46:35 UTC'
    """
    return "" if time is None else time.replace("T", " ").replace("Z", " UTC")


def ordinal(count: int) -> str:
    """A number in a row.

    >>> [ordinal(count) for count in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    ending = "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count:,}{ending}"
