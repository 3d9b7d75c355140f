"""Gathers findings and what was skipped. One reason is reported once a file, with how often it was met."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuneguard import limits
from tuneguard.findings import Finding, Location, Severity, Skipped
from tuneguard.scanner.rule import Reported

_SERIOUS = frozenset({Severity.HIGH, Severity.CRITICAL})


@dataclass(slots=True)
class _Reason:
    """The first finding of a reason, what it was about, and how often it was met."""

    finding: Finding
    reported: Reported
    count: int = 1

    @property
    def counted(self) -> Finding:
        if self.count == 1 or self.reported.whole:
            return self.finding
        return replace(self.finding, message=f"{self.finding.message} ({self.count:,} times)")


class Report:
    """What one scan has seen so far. ``nested`` counts the bytes looked at inside of each file's archives."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], dict[tuple[str | None, str], _Reason]] = {}
        self._more: dict[tuple[str, str], int] = {}
        self._covered: dict[tuple[str, str | None], set[str]] = {}
        self._skipped: dict[Skipped, None] = {}
        self._counts: dict[str, int] = {}
        self.nested: dict[str, int] = {}

    def add(self, finding: Finding, reported: Reported | None = None) -> None:
        """Note a finding. One for a reason that is known, or the hundredth of a rule, is counted instead."""
        place = finding.location or Location("")
        reported = reported or Reported(finding.message, place)
        self._counts[place.path] = self._counts.get(place.path, 0) + 1
        self._covered.setdefault((place.path, place.member), set()).update(reported.covers)
        group = (finding.rule, place.path)
        reasons = self._groups.setdefault(group, {})
        reason = (place.member, reported.about or finding.message)
        if (known := reasons.get(reason)) is not None:
            known.count += 1
        elif len(reasons) >= limits.SCAN_FINDINGS:
            self._more[group] = self._more.get(group, 0) + 1
        else:
            reasons[reason] = _Reason(finding, reported)

    def enough(self, path: str) -> bool:
        """Whether so much was found in a file that looking on adds nothing."""
        return self._counts.get(path, 0) >= limits.SCAN_FINDINGS_COUNTED

    def skip(self, path: str, reason: str) -> None:
        """Note what could not be looked at."""
        self._skipped[Skipped(path, reason)] = None

    def merge(self, guess: Report) -> None:
        """Take over what a look at a mere guess found, if it was more than a coincidence of bytes.

        Any bytes that only begin like a pickle break soon, and are then no pickle.
        """
        found = [reason for group in guess._groups.values() for reason in group.values()]
        if not guess._skipped or any(reason.finding.severity in _SERIOUS for reason in found):
            for reason in found:
                self.add(reason.finding, reason.reported)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, by path, the worst first; those that were only counted in one more each."""
        found = [
            reason.counted
            for group in self._groups.values()
            for reason in group.values()
            if not self._explained(reason)
        ]
        for group, count in self._more.items():
            last = list(self._groups[group].values())[-1].finding
            place = Location(group[1]) if last.location else None
            message = f"and {count:,} more of this kind in the file"
            found.append(replace(last, message=message, location=place))
        order = list(Severity)
        return tuple(
            sorted(
                found,
                key=lambda finding: (
                    finding.location.path.encode("utf-8", "surrogateescape") if finding.location else b"",
                    -order.index(finding.severity),
                ),
            )
        )

    def _explained(self, reason: _Reason) -> bool:
        """Whether another finding of the same content, no less bad, says why this is so."""
        place = reason.finding.location or Location("")
        return reason.reported.about in self._covered.get((place.path, place.member), ())

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Everything that could not be looked at, in the order in which it was met."""
        return tuple(self._skipped)
