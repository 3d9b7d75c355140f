"""Findings as SARIF 2.1.0, for code scanning and editors.

OASIS SARIF 2.1.0: one run, one driver, a rule for each id that occurs. What was skipped becomes a
notification of the invocation, so that silence never reads as safe; ``executionSuccessful`` is
false where something could not be looked at. Code scanning shows only what has a description and a
place: rules bring the text that ``tuneguard explain`` prints, and a finding without a place stands at
what was looked at.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tuneguard import __version__, paste, records
from tuneguard.findings import Location, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.errors import TuneguardError
    from tuneguard.findings import Finding, Result, Skipped

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
SCORES = {Severity.LOW: "2.0", Severity.MEDIUM: "5.0", Severity.HIGH: "8.0", Severity.CRITICAL: "9.5"}
"""``security-severity``, which code scanning sorts by (0.0 to 10.0)."""


def render(result: Result[object]) -> bytes:
    """One SARIF log with one run."""
    whole = Location(result.subjects[0].path) if result.subjects else None
    notes = [_not_looked_at(item) for item in result.skipped]
    return _log(result.findings, whole, result.verdict.exit_code, notes)


def render_error(error: TuneguardError) -> bytes:
    """The same of an error: its findings, and each problem as a notification."""
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    notes = [
        {
            "level": "error",
            "message": {
                "text": problem.what if problem.where is None else f"{problem.where}: {problem.what}"
            },
        }
        for problem in error.problems
    ]
    return _log(findings, None, error.exit_code, notes)


def _log(
    findings: Sequence[Finding], whole: Location | None, exit_code: int, notes: list[dict[str, Any]]
) -> bytes:
    from tuneguard.journey.explain import known

    rules = sorted({finding.rule for finding in findings})
    texts = known() if rules else {}
    return records.to_json_pretty(
        {
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {
                        "driver": {
                            "name": "tuneguard",
                            "version": __version__,
                            "rules": [_rule(rule, texts.get(rule, ""), findings) for rule in rules],
                        }
                    },
                    "invocations": [
                        {
                            "executionSuccessful": not notes,
                            "exitCode": exit_code,
                            "toolExecutionNotifications": notes,
                        }
                    ],
                    "results": [_result(finding, rules, whole) for finding in findings],
                }
            ],
        }
    )


def _rule(rule: str, text: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """The rule as ``tuneguard explain`` prints it; its level is that of its worst finding here."""
    found = [finding for finding in findings if finding.rule == rule]
    worst = max(found, key=lambda finding: list(Severity).index(finding.severity))
    first, _, rest = cleandoc(text).partition("\n")
    return {
        "id": rule,
        "shortDescription": {"text": first or worst.message},
        "fullDescription": {"text": rest.strip() or worst.why or first or worst.message},
        "help": {"text": worst.fix or paste.command("explain", rule)},
        "defaultConfiguration": {"level": LEVELS[worst.severity]},
        "properties": {"security-severity": SCORES[worst.severity]},
    }


def _result(finding: Finding, rules: list[str], whole: Location | None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rules.index(finding.rule),
        "level": LEVELS[finding.severity],
        "message": {"text": finding.message},
    }
    place = finding.location or whole
    if place is not None:
        fields["locations"] = [_location(place)]
    return fields


def _location(location: Location) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(location.path)}}
    region: dict[str, Any] = {}
    if location.line is not None:
        region["startLine"] = location.line
        if location.column is not None:
            region["startColumn"] = location.column
    elif location.offset is not None and location.member is None:
        region["byteOffset"] = location.offset
    if region:
        physical["region"] = region
    fields: dict[str, Any] = {"physicalLocation": physical}
    if location.member is not None:
        place = f"byte {location.offset:,}" if location.offset is not None else "the whole member"
        fields["logicalLocations"] = [
            {"fullyQualifiedName": f"{location.path} ▸ {location.member} ▸ {place}"}
        ]
    return fields


def _not_looked_at(skipped: Skipped) -> dict[str, Any]:
    return {
        "level": "error",
        "message": {"text": f"not looked at: {skipped.reason}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(skipped.path)}}}],
    }


def _uri(path: str) -> str:
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)
