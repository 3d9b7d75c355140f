"""Doctor: what this machine offers to runs and promotions, and how to fix what it lacks.

What is broken is a line of the table: an error of ours becomes `missing`.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.errors import Interrupted, TuneguardError
from tuneguard.facts import CheckFacts, DoctorFacts
from tuneguard.findings import REFUSING, Finding, Result, Severity, judge
from tuneguard.project.project import Project
from tuneguard.training.machine import CHECKS, Check, State

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH = 56
"""With what stands before it, a line of 80 columns."""

_WORDS = {
    State.OK: "ok",
    State.WEAKENED: "weakened",
    State.MISSING: "MISSING",
    State.NOT_ASKED: "not asked",
}


def doctor(*, project: Project | None = None) -> Result[DoctorFacts]:
    """Every check of `CHECKS`, one line each; what is missing is a finding, and refuses.

    Raises:
        Interrupted: somebody interrupted the check of the sandbox.
    """
    project = project or Project()
    rows = {name: _guarded(check, project) for name, check in CHECKS.items()}
    for name, row in rows.items():
        first, *rest = textwrap.wrap(row.found, _WIDTH) or [""]
        mend = [] if row.mend is None else [f"{'':10}fix: {row.mend}"]
        project.reporter.emit(
            _WORDS[row.state], f"{name:<10}{first}", *(f"{'':10}{more}" for more in rest), *mend
        )
    findings = tuple(
        Finding(f"M-{name.upper()}", Severity.MEDIUM, row.found, fix=row.mend)
        for name, row in rows.items()
        if row.state is State.MISSING
    )
    return Result(
        command="doctor",
        verdict=judge(findings, (), REFUSING),
        findings=findings,
        facts=DoctorFacts(checks=tuple(_check_facts(name, row) for name, row in rows.items())),
    )


def _check_facts(name: str, row: Check) -> CheckFacts:
    return CheckFacts(check=name, state=row.state.value, found=row.found, mend=row.mend)


def _guarded(check: Callable[[Project], Check], project: Project) -> Check:
    try:
        return check(project)
    except Interrupted:
        raise
    except TuneguardError as error:
        return Check(State.MISSING, files.printable(str(error)), error.help)
    except OSError as error:
        ours = files.cannot_look(error, str(error.filename or "a file"))
        return Check(State.MISSING, files.printable(str(ours)), ours.help)
