"""Gathers findings and what was skipped, without drowning the reader in one file's thousand copies."""

from __future__ import annotations

from dataclasses import replace

from tuneguard import limits
from tuneguard.findings import Finding, Location, Severity, Skipped

_SERIOUS = frozenset({Severity.HIGH, Severity.CRITICAL})


class Report:
    """What one scan has seen so far. ``nested`` counts the bytes looked at inside of each file's archives."""

    def __init__(self) -> None:
        self._findings: dict[tuple[str, str], list[Finding]] = {}
        self._messages: set[tuple[str, str, str | None, str]] = set()
        self._more: dict[tuple[str, str], int] = {}
        self._skipped: dict[Skipped, None] = {}
        self._counts: dict[str, int] = {}
        self.nested: dict[str, int] = {}

    def add(self, finding: Finding) -> None:
        """Note a finding. One with the same content, or the hundredth of a rule, is counted instead."""
        location = finding.location or Location("")
        self._counts[location.path] = self._counts.get(location.path, 0) + 1
        group = (finding.rule, location.path)
        message = (*group, location.member, finding.message)
        listed = self._findings.setdefault(group, [])
        if message in self._messages or len(listed) >= limits.SCAN_FINDINGS:
            self._more[group] = self._more.get(group, 0) + 1
            return
        self._messages.add(message)
        listed.append(finding)

    def enough(self, path: str) -> bool:
        """Whether so much was found in a file that further findings add nothing."""
        return self._counts.get(path, 0) >= limits.SCAN_FINDINGS_COUNTED

    def skip(self, path: str, reason: str) -> None:
        """Note what could not be looked at."""
        self._skipped[Skipped(path, reason)] = None

    def merge(self, guess: Report) -> None:
        """Take over what a look at a mere guess found, if it was more than a coincidence of bytes.

        Any bytes that only begin like a pickle break soon, and are then no pickle.
        """
        found = [finding for group in guess._findings.values() for finding in group]
        if not guess._skipped or any(finding.severity in _SERIOUS for finding in found):
            for finding in found:
                self.add(finding)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, by path, the worst first; those that were only counted in one more each."""
        found = [finding for group in self._findings.values() for finding in group]
        for group, count in self._more.items():
            last = self._findings[group][-1]
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

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Everything that could not be looked at, in the order in which it was met."""
        return tuple(self._skipped)
