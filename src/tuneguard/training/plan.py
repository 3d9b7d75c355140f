"""The plan of a run: one step, one process, which supervises the sandbox and signs after it is dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.plan.step import At, Mount, Plan, Step
from tuneguard.project import options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneguard.project.project import Project


def run_plan(
    project: Project, *, run: str, resume: Path | None, flags: Sequence[str] = ()
) -> tuple[Plan, dict[str, Path]]:
    """The plan, and where each of its volumes lies on this machine.

    `flags` are further options of the step ``train``.

    Raises:
        UsageError: the URI of the builder's key holds a PIN.
    """
    given = options.reading(project) + options.ledger(project)
    if resume is not None:
        given += options.Given(
            ("--resume", At("resume")), (Mount("resume"),), (("resume", resume.absolute()),)
        )
    step = Step(
        "train",
        "train",
        ("--run", run, *flags, *given.arguments),
        given.mounts,
        facts=("run", "tree"),
        role="builder",
        network=options.signing(project, "builder"),
        sandbox=True,
        restartable=False,
    )
    return Plan((step,)), dict(given.volumes)
