"""Run a training: the conductor's part. It holds no key and runs the one step `train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import spec
from tuneguard.engines.local import LocalEngine
from tuneguard.errors import UsageError
from tuneguard.plan import plans as plan
from tuneguard.plan import retell
from tuneguard.project import passphrases
from tuneguard.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.findings import Result


def run(
    *,
    run: str | None = None,
    resume: str | Path | None = None,
    engine: str = "local",
    keep_intermediate: bool = False,
    unsafe_no_sandbox: bool = False,
    extra: Sequence[str] = (),
    project: Project | None = None,
) -> Result:
    """Train as the pipeline says, in the sandbox, and sign what came of it.

    `run` is the run's id, by default the time and four hex digits; `resume` a checkpoint of an
    earlier run that the builder signed. `keep_intermediate` signs what a stopped run left;
    `unsafe_no_sandbox` trains without a sandbox, and the evidence records it. `extra` are further options of
    the step ``train``, as words of the command line.

    Raises:
        UsageError: the id is not one, or the engine is not built.
        Refused: anything that the step refuses.
    """
    resume = None if resume is None else Path(resume)
    project = project or Project()
    if engine != "local":
        raise UsageError(f"the engine {engine} is not built yet", help="use --engine local")
    identifier = spec.new_run_id(project.now) if run is None else spec.valid_run_id(run)
    flags = {"--keep-intermediate": keep_intermediate, "--unsafe-no-sandbox": unsafe_no_sandbox}
    words = (*extra, *(flag for flag, given in flags.items() if given))
    steps = plan.run_plan(project, run=identifier, resume=resume, extra=words)
    secrets = passphrases.collect(project, steps)
    conducted = plan.conduct(steps, LocalEngine(secrets), project.reporter)
    return retell.result("run", conducted.outcomes["train"])
