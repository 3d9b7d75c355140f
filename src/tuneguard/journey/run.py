"""Run a training: the orchestrator's part. It holds no key, trains, and has the checkpoint scanned."""

from __future__ import annotations

import dataclasses
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from tuneguard import result_codec, spec
from tuneguard.artifact import workdir
from tuneguard.errors import TuneguardError
from tuneguard.facts import ScanFacts, TrainFacts
from tuneguard.findings import Result, Verdict
from tuneguard.project.orchestrator import orchestrate
from tuneguard.project.project import Project
from tuneguard.training.plan import run_plan

if TYPE_CHECKING:
    from tuneguard.engines.engine import EngineType, Outcome


def run(
    *,
    run: str | None = None,
    resume: str | Path | None = None,
    engine: str | EngineType = "local",
    keep_intermediate: bool = False,
    unsafe_no_sandbox: bool = False,
    project: Project | None = None,
) -> Result[TrainFacts]:
    """Train as the pipeline states, in the sandbox, sign what came of it, and scan it.

    The scan's findings are those of a promotion. The run passes with them: it is trained and signed.

    `run` is the run's id, by default the time and four hex digits; `resume` a checkpoint of an
    earlier run that the builder signed. `keep_intermediate` signs what a stopped or failed run left;
    `unsafe_no_sandbox` trains without a sandbox, and the evidence records it.

    Raises:
        UsageError: the id is not one, or there is no such engine.
        Refused: anything that the step refuses.
    """
    resume = None if resume is None else Path(resume)
    project = project or Project()
    identifier = spec.new_run_id(project.now) if run is None else spec.valid_run_id(run)
    flags = {"--keep-intermediate": keep_intermediate, "--unsafe-no-sandbox": unsafe_no_sandbox}
    chosen = tuple(flag for flag, given in flags.items() if given)
    plan, volumes = run_plan(project, run=identifier, resume=resume, flags=chosen)
    outcome = orchestrate(plan, volumes, place=partial(_place, project), engine=engine, project=project)
    trained = outcome.steps["train"]
    result = result_codec.decode(trained.result, TrainFacts, trained.code, "the step train")
    return _with_scan(dataclasses.replace(result, command="run"), outcome.steps["scan"])


def _with_scan(trained: Result[TrainFacts], scan: Outcome) -> Result[TrainFacts]:
    """The run's result with what the scan of its checkpoint found."""
    try:
        found = result_codec.decode(scan.result, ScanFacts, scan.code, "the step scan")
    except TuneguardError as error:
        note = f"the run is signed, and its checkpoint could not be scanned: {error}"
        return dataclasses.replace(trained, notes=(*trained.notes, note))
    facts = structs.replace(trained.facts, scan=found.verdict.value)
    if found.verdict is Verdict.PASSED:
        return dataclasses.replace(trained, facts=facts, findings=found.findings)
    return dataclasses.replace(
        trained,
        facts=facts,
        findings=found.findings,
        skipped=found.skipped,
        notes=(*trained.notes, "the run is signed, and its checkpoint does not pass promotion as it is"),
        next="fix what was found where the training writes it, and train again; "
        "tuneguard explain RULE says more",
    )


def _place(project: Project) -> Path:
    """Where the step's result lies until it is read; what killed runs left is removed."""
    state = project.state_directory()
    workdir.sweep(state.glob("run-*"))
    return state / f"run-{secrets.token_hex(6)}"
