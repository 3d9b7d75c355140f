"""Run a training: the conductor's part. It holds no key and runs the one step `train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import spec
from tuneguard.engines.local import LocalEngine
from tuneguard.errors import UsageError
from tuneguard.journey import passphrases, plan, retell
from tuneguard.journey.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.findings import Result


def run(
    *,
    run: str | None = None,
    resume: str | Path | None = None,
    engine: str = "local",
    extra: Sequence[str] = (),
    here: Surroundings | None = None,
) -> Result:
    """Train as the pipeline says, in the sandbox, and sign what came of it.

    `run` is the run's id, by default the time and four hex digits; `resume` a checkpoint of an
    earlier run that the builder signed; `extra` further options of the step ``train``.

    Raises:
        UsageError: the id is not one, or the engine is not built.
        Refused: anything that the step refuses.
    """
    resume = None if resume is None else Path(resume)
    here = here or Surroundings()
    if engine != "local":
        raise UsageError(f"the engine {engine} is not built yet", help="use --engine local")
    identifier = spec.new_run_id(here.now) if run is None else spec.valid_run_id(run)
    steps = plan.run_plan(here, run=identifier, resume=resume, extra=extra)
    secrets = passphrases.collect(here, steps)
    conducted = plan.conduct(steps, LocalEngine(secrets), here.reporter)
    return retell.result("run", conducted.outcomes["train"])
