"""Forward a run's metrics to an MLflow server, with the tree's digest and verdict as tags.

This holds no key. What is forwarded are numbers, names and tags: nothing of the log, no file.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.attest import evidence
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.verdict import Verdict as VerdictBody
from tuneguard.display import counted, shown
from tuneguard.errors import TuneguardError
from tuneguard.facts import ExportFacts
from tuneguard.findings import Result, Verdict
from tuneguard.project.project import Project
from tuneguard.spec import valid_run_id
from tuneguard.training import record
from tuneguard.training.metrics import KeptReader
from tuneguard.training.mlflow import RUN_TAG, Tracking
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from pathlib import Path

EVERY = 10.0
"""Seconds between two batches of a run that is followed."""
_STATUS = {"running": "RUNNING", "preparing": "SCHEDULED", "signed": "FINISHED"}
_STATUS |= {"stopped": "KILLED", "killed": "KILLED"}


def export_metrics(
    run: str,
    *,
    mlflow: str,
    experiment: str | None = None,
    follow: bool = False,
    project: Project | None = None,
) -> Result[ExportFacts]:
    """Log the metrics of `run` to the MLflow server at the address `mlflow`; again is no harm.

    `experiment` is the model's name if left out. With `follow` until the run is over.

    Raises:
        UsageError: there is no such run, or it is no address.
        Refused: the server refuses, or it is without TLS.
        CannotLook: the server cannot be reached.
    """
    project = project or Project()
    work = project.state / "runs" / valid_run_id(run)
    if not work.is_dir():
        raise files.missing(shown(work), "no run of this name is here")
    server = Tracking(mlflow)
    reader, count = KeptReader(work), 0
    known = record.record_of(work)
    model = (known.model if known else "") or "tuneguard"
    begun = None if known is None else _milliseconds(known.started)
    tags = {RUN_TAG: run, "tuneguard.model": model}
    number = server.run(experiment or model, run, begun or int(time.time() * 1000), tags)
    while True:
        state = record.state_of(work)  # before the metrics are read: of a run that is over nothing is missed
        while points := reader.read():
            count += server.log(number, points, {})
        if not follow or state not in ("running", "preparing"):
            break
        project.reporter.status(f"{counted(count, 'number')} logged")
        time.sleep(EVERY)
    project.reporter.status("")
    known = record.record_of(work)
    judged = _judged(run, known, project)
    server.log(number, (), {**tags, "tuneguard.state": state, **judged})
    server.update(number, _STATUS.get(state, "FAILED"), _milliseconds(known.finished) if known else None)
    project.reporter.emit("Logged", f"{counted(count, 'number')} of run {run} to {files.printable(mlflow)}")
    return Result(
        command="export-metrics",
        verdict=Verdict.PASSED,
        facts=ExportFacts(run=run, numbers=count, mlflow_run=number, tags={**tags, **judged}),
    )


def _judged(run: str, known: record.Record | None, project: Project) -> dict[str, str]:
    """The tree and its verdict, as far as evidence beside the checkpoint counts under the policy."""
    if known is None or known.tree is None:
        return {}
    try:
        folder: Path = project.pipeline.checkpoint_folder(run)
        pieces = evidence.read(project.evidence_of(folder))
        wanted = Expectation(purpose="integrity", now=project.now)
        seen = verify(known.tree, pieces, project.policy, wanted)
    except TuneguardError as error:
        project.reporter.emit("", f"no tag of the tree and its verdict: {error.what}")
        return {}
    bodies = [claim.body for claim in seen.claims]
    if not any(isinstance(body, Provenance) and body.run == run for body in bodies):
        return {}
    verdicts = sorted(
        (claim.time or "", claim.body.result) for claim in seen.claims if isinstance(claim.body, VerdictBody)
    )
    found = {"tuneguard.tree": f"sha256:{known.tree}", "tuneguard.class": known.kind or ""}
    return {**found, "tuneguard.verdict": verdicts[-1][1].lower() if verdicts else "none"}


def _milliseconds(time: str | None) -> int | None:
    return None if time is None else int(datetime.fromisoformat(time).timestamp() * 1000)
