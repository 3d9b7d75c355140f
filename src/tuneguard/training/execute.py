"""Execute a run: the training command in the sandbox, and what came of it as a value that is handed over.

No key and no token is here, and no evidence: what the training did is signed elsewhere (`training.attest`).
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from tuneguard import files, limits, spec
from tuneguard.artifact import snapshot
from tuneguard.attest.predicates import provenance
from tuneguard.display import rfc3339, shown
from tuneguard.errors import Interrupted, Refused
from tuneguard.sandbox.controls import FILESYSTEM, NETWORK, Bind, Confinement
from tuneguard.sandbox.environment import caches, clean_environment
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.unsafe import UnsafeNoSandbox
from tuneguard.training import claims, controls, environment, mounts, record, segments
from tuneguard.training.handover import Handover
from tuneguard.training.inputs import still_the_same
from tuneguard.training.prepare import bounds_of
from tuneguard.training.record import Record
from tuneguard.training.rehearsal import SECONDS, VARIABLE
from tuneguard.training.relay import METRICS, Relay
from tuneguard.training.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.project.project import Project
    from tuneguard.sandbox.controls import Outcome
    from tuneguard.training.prepare import Prepared


LOG = "train.log"


def execute(prepared: Prepared, project: Project, *, keep_intermediate: bool = False) -> Handover:
    """Run the training and wait until every process of it is dead; what is handed over to be signed.

    Raises:
        Refused: the training failed, or was stopped at its deadline, and is not to be kept; an input changed.
        Interrupted: the person stopped it, and it is not to be kept.
    """
    begun = datetime.now(UTC)
    work = prepared.claimed.work
    started = Record(run=prepared.claimed.run, model=project.pipeline.name, started=rfc3339(begun))
    record.write(work, started)
    outcome, parts = _sandboxed(prepared, project)
    finished = datetime.now(UTC)
    ended = msgspec.structs.replace(
        started,
        finished=rfc3339(finished),
        seconds=round(outcome.seconds, 1),
        exit=outcome.code,
        signal=outcome.signal,
        stopped=outcome.stopped,
    )
    record.write(work, ended)
    still_the_same(prepared.inputs, project)
    kind = _kind(outcome, prepared.claimed, keep_intermediate=keep_intermediate)
    return Handover(
        run=prepared.claimed.run,
        kind=kind,
        claimed=prepared.claimed,
        dependencies=tuple(item.dependency for item in prepared.inputs),
        base_scan=prepared.gathered.scanned,
        comparison=prepared.gathered.comparison,
        relied_on=tuple(each for item in prepared.inputs for each in item.relied_on),
        environment=environment.describe(),
        controls=tuple(_controls(outcome, prepared)),
        started=rfc3339(begun),
        finished=rfc3339(finished),
        record=ended,
        seconds=outcome.seconds,
        segments=parts,
        ended=None if kind == "final" else _ended(outcome),
        metrics=_metrics(project),
        processors=outcome.processors,
        gpus=prepared.gpus,
        unsafe=("--unsafe-no-sandbox",) if isinstance(prepared.backend, UnsafeNoSandbox) else (),
    )


def rehearsed(prepared: Prepared, project: Project) -> tuple[Outcome, bytes]:
    """Run the training as a rehearsal; how it ended, and what it printed."""
    outcome, _ = _sandboxed(prepared, project, rehearsal=True)
    if outcome.stopped == "interrupt":
        raise Interrupted("the rehearsal was interrupted", help="nothing was signed, and nothing is kept")
    return outcome, files.read_bounded(prepared.claimed.work / LOG, limits.LOG_HEAD + 2 * limits.LOG_TAIL)


def _sandboxed(
    prepared: Prepared, project: Project, *, rehearsal: bool = False
) -> tuple[Outcome, tuple[provenance.Segment, ...]]:
    """Run the training command under the isolation controls, its output shown and kept in the run's log."""
    pipeline, claimed = project.pipeline, prepared.claimed
    scratch = claimed.work / "scratch"
    scratch.mkdir(mode=0o700)
    command = spec.fill(pipeline.train.command, mounts.values(prepared), python=sys.executable)
    own = mounts.variables(prepared, project)
    deadline, bounds = pipeline.train.deadline.total_seconds(), bounds_of(project)
    if rehearsal:
        own[VARIABLE], deadline = "1", min(deadline, SECONDS)
    project.reporter.emit(
        "Rehearsing" if rehearsal else "Training",
        pipeline.name if rehearsal else f"{pipeline.name}  run {claimed.run}",
        f"in {prepared.backend.name}, deadline {deadline:,.0f} s",
        *map(controls.describe, prepared.weak),
    )
    metrics = _metrics(project)
    with ExitStack() as stack:
        transcript = stack.enter_context(Transcript(claimed.work / LOG, project.reporter))
        more: tuple[Bind, ...] = ()
        if metrics:
            relay = stack.enter_context(Relay(claimed.work, claimed.written, project.reporter))
            more, own["TUNEGUARD_METRICS"] = (relay.bind,), METRICS
        outcome, parts = segments.run(
            prepared.backend,
            Confinement(
                command=command,
                binds=(*mounts.binds(prepared, scratch), *more),
                workdir=mounts.SCRATCH,
                environment=clean_environment(
                    home=mounts.SCRATCH,
                    threads=max(1, int(pipeline.train.resources.cpu or 1)),
                    more={**caches(mounts.SCRATCH), **pipeline.train.env, **own},
                ),
                deadline=deadline,
                blocks=transcript.hear,
                gpus=prepared.gpus,
                file_size=max(claimed.most, bounds["memory"], pipeline.train.scratch or 0),
                **bounds,
            ),
            claimed.written,
            mounts.CHECKPOINT,
            retries=0 if rehearsal else pipeline.train.retries,
            reporter=project.reporter,
        )
    claims.give_name(claimed.checkpoint, claimed.identity)
    snapshot.remove(scratch)
    return outcome, parts


def _metrics(project: Project) -> bool:
    """Whether the training may say numbers while it runs: the pipeline file and the policy both let it."""
    pipeline = project.pipeline
    return pipeline.train.metrics and project.policy.models[pipeline.name].metrics


def _kind(outcome: Outcome, claimed: claims.Claimed, *, keep_intermediate: bool) -> str:
    """Whether what the run left may be signed, and as what (TRUST.md rule 13).

    Raises:
        Refused: the run failed, or was stopped at its deadline, and is not to be kept.
        Interrupted: the person stopped it, and it is not to be kept.
    """
    if outcome.succeeded:
        return "final"
    if keep_intermediate and os.listdir(claimed.checkpoint):
        return "intermediate"
    log = f"its output is in {shown(claimed.work / 'train.log')}"
    keep = f"or keep what a run leaves with --keep-intermediate; {log}"
    if outcome.stopped == "interrupt":
        raise Interrupted(
            f"the training was interrupted after {outcome.seconds:,.0f} s and is not signed",
            help=f"run again under a new id, {keep}",
        )
    if outcome.stopped is not None:
        raise Refused(
            f"the training was stopped ({outcome.stopped}) after {outcome.seconds:,.0f} s and is not signed",
            help=f"raise train.expectedDuration, {keep}",
        )
    how = f"exit code {outcome.code}" if outcome.code is not None else f"signal {outcome.signal}"
    raise Refused(
        f"the training failed ({how}) and is not signed" + (f": {outcome.note}" if outcome.note else ""),
        help=f"run again under a new id, {keep}",
    )


def _ended(outcome: Outcome) -> provenance.Ended:
    return provenance.Ended(
        exit_code=outcome.code, signal=outcome.signal, stopped=outcome.stopped, note=outcome.note
    )


def _controls(outcome: Outcome, prepared: Prepared) -> Iterator[provenance.Control]:
    """The isolation controls as they were tried; two are weaker where an input was not ours alone.

    Who can write to it can change it, and can put a socket there for the training to find.
    """
    bound = prepared.bound
    for control in outcome.controls:
        state, how = control.state, control.how
        if control.name in (NETWORK, FILESYSTEM) and bound and control.state is not ControlState.ABSENT:
            state = ControlState.WEAKENED
            how = f"{how}; the {' and the '.join(bound)} were bound in place, and hashed again afterwards"
        yield provenance.Control(control.name, state, how)
