"""Results as one JSON object, schema ``tuneguard.dev/result/v1``. Fields are only ever added."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tuneguard import records
from tuneguard.findings import finding_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.errors import TuneguardError
    from tuneguard.findings import Finding, Result

SCHEMA = "tuneguard.dev/result/v1"


def render(result: Result, lines: Sequence[Sequence[str]] = ()) -> bytes:
    """A result, and the lines that the text form would have shown while it ran."""
    return _encode(
        {
            "schema": SCHEMA,
            "command": result.command,
            "verdict": result.verdict.value,
            "subjects": [dataclasses.asdict(subject) for subject in result.subjects],
            "findings": [finding_fields(finding) for finding in result.findings],
            "skipped": [dataclasses.asdict(skipped) for skipped in result.skipped],
            "evidence": [dataclasses.asdict(piece) for piece in result.evidence],
            "outputs": list(result.outputs),
            "facts": dict(result.facts),
            "notes": list(result.notes),
            "next": result.next,
            "lines": [list(line) for line in lines],
            "error": None,
        }
    )


def render_error(
    command: str,
    error: TuneguardError,
    lines: Sequence[Sequence[str]] = (),
    notes: Sequence[str] = (),
) -> bytes:
    """An error, in the same object: ``verdict`` is refused or not-understood, ``error`` says why."""
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    return _encode(
        {
            "schema": SCHEMA,
            "command": command,
            "verdict": "refused" if error.exit_code == 1 else "not-understood",
            "subjects": [],
            "findings": [finding_fields(finding) for finding in findings],
            "skipped": [],
            "evidence": [],
            "outputs": [],
            "facts": {},
            "notes": list(notes),
            "next": None,
            "lines": [list(line) for line in lines],
            "error": {
                "exit": error.exit_code,
                "problems": [dataclasses.asdict(problem) for problem in error.problems],
            },
        }
    )


def _encode(value: dict[str, Any]) -> bytes:
    return records.to_json_pretty(value)
