"""A step's printed result as a `Result` again, so that the conductor can hand it on.

The step is a child of ours, but its words passed through a pipe: every field is checked for its
type, and what does not fit is dropped, never believed. Nothing here can turn a refusal into a pass:
the exit code has been judged before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneguard.errors import CannotLook, ConfigurationError, Problem, Refused, TuneguardError, UsageError
from tuneguard.findings import (
    EvidenceRef,
    Finding,
    Location,
    Result,
    Severity,
    Skipped,
    Subject,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneguard.engines.engine import Outcome


def result(command: str, outcome: Outcome) -> Result:
    """The outcome of a step as the result of `command`.

    Raises:
        TuneguardError: the step ended in an error; the same one, of the same class and exit code.
    """
    fields = outcome.result
    raise_error(outcome)
    verdict = Verdict(fields.get("verdict", "not-understood"))
    if outcome.code != verdict.exit_code:
        verdict = Verdict.NOT_UNDERSTOOD
    return Result(
        command=command,
        verdict=verdict,
        subjects=tuple(Subject(item["path"], item.get("digest")) for item in _dicts(fields, "subjects")),
        findings=findings(outcome),
        skipped=skipped(outcome),
        evidence=tuple(EvidenceRef(**item) for item in _dicts(fields, "evidence")),
        outputs=tuple(str(item) for item in fields.get("outputs", ())),
        facts=facts(outcome),
        notes=tuple(str(item) for item in fields.get("notes", ())),
        next=fields.get("next"),
    )


def findings(outcome: Outcome) -> tuple[Finding, ...]:
    """The findings that a step printed."""
    return tuple(_finding(item) for item in _dicts(outcome.result, "findings"))


def facts(outcome: Outcome) -> Mapping[str, Any]:
    """The facts of a step's result."""
    found = outcome.result.get("facts")
    return found if isinstance(found, dict) else {}


def skipped(outcome: Outcome) -> tuple[Skipped, ...]:
    """What a step could not look at."""
    return tuple(
        Skipped(str(item["path"]), str(item["reason"])) for item in _dicts(outcome.result, "skipped")
    )


def raise_error(outcome: Outcome) -> None:
    """Raise the error that a step ended in, if it did."""
    error = outcome.result.get("error")
    if not isinstance(error, dict):
        return
    problems = [
        Problem(item["what"], item.get("where"), item.get("help")) for item in _dicts(error, "problems")
    ]
    first = problems[0]
    if outcome.code == Refused.exit_code:
        refused = Refused(first.what, where=first.where, help=first.help, findings=findings(outcome))
        refused.problems = tuple(problems)
        raise refused
    if outcome.code == UsageError.exit_code:
        raise ConfigurationError(problems)
    again = TuneguardError(first.what, where=first.where, help=first.help)
    again.exit_code = outcome.code or CannotLook.exit_code
    raise again


def _finding(item: Mapping[str, Any]) -> Finding:
    location = item.get("location")
    return Finding(
        rule=str(item["rule"]),
        severity=Severity(item["severity"]),
        message=str(item["message"]),
        location=Location(**location) if isinstance(location, dict) else None,
        why=item.get("why"),
        fix=item.get("fix"),
        reference=item.get("reference"),
    )


def _dicts(fields: Mapping[str, Any], key: str) -> Iterable[dict[str, Any]]:
    values = fields.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
