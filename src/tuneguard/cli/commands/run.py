"""tuneguard run: train in the sandbox, and sign what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import ENGINE, EVIDENCE, KEYS, LEDGER, PATH, POLICY, PROJECT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


@command("run", ENGINE, PROJECT, POLICY, EVIDENCE, LEDGER, KEYS)
@click.option("--run", metavar="ID", help="Give the run this id; without it the time and four hex digits.")
@click.option("--resume", type=PATH, metavar="DIR", help="Continue from this signed checkpoint.")
@click.option(
    "--keep-intermediate", is_flag=True, help="Sign what a stopped or failed run left, as intermediate."
)
@click.option(
    "--rehearse",
    is_flag=True,
    help="Take a few steps with the same isolation and inputs, and report what the run lacks; sign nothing.",
)
@click.option("--unsafe-no-sandbox", is_flag=True, help="Train without a sandbox; the evidence records it.")
def COMMAND(
    project: Project,
    run: str | None,
    resume: Path | None,
    engine: str,
    keep_intermediate: bool,
    rehearse: bool,
    unsafe_no_sandbox: bool,
) -> Result[Facts]:
    """Run the pipeline's training: verified inputs, no network, a deadline, a signed checkpoint."""
    if rehearse:
        from tuneguard.errors import UsageError
        from tuneguard.journey.rehearse import rehearse as rehearse_training

        if run is not None or resume is not None or keep_intermediate:
            raise UsageError(
                "a rehearsal has no run id, resumes nothing and keeps nothing",
                help="leave out --run, --resume and --keep-intermediate",
            )
        return rehearse_training(unsafe_no_sandbox=unsafe_no_sandbox, project=project)

    from tuneguard.journey.run import run as run_training

    return run_training(
        run=run,
        resume=resume,
        engine=engine,
        keep_intermediate=keep_intermediate,
        unsafe_no_sandbox=unsafe_no_sandbox,
        project=project,
    )
