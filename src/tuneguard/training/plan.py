"""The plan of a run.

``train`` is one process, which supervises the sandbox and signs after it is dead. ``scan`` reads what was
signed as a promotion will, holds no key, and is advice: nothing is signed about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.plan.step import At, Fact, File, Mount, Plan, Step
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
    checkpoint = project.pipeline.checkpoint_folder(run)
    scanned = (At("checkpoint"), "--tree", Fact("train", "tree"), "--model", project.pipeline.name)
    read = options.reading(project)
    scan = Step(
        "scan",
        "scan",
        (*scanned, "--statement", File("scan", "statement.json"), *read.arguments),
        (Mount("checkpoint"), *read.mounts),
        facts=("statement",),
        needs=("train",),
    )
    return Plan((step, scan)), {**dict(given.volumes), "checkpoint": checkpoint}
