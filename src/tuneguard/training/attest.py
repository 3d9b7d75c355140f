"""Attest a run: hash the folder that it made, open the builder's key, sign provenance and signature.

The training is dead, and nothing of it runs near this. Only what this process handed over is signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tuneguard import paste
from tuneguard.attest import evidence
from tuneguard.attest.predicates import oms, provenance
from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.display import counted, short, shown, size
from tuneguard.errors import Refused
from tuneguard.facts import ControlFacts, TrainFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import Event
from tuneguard.sandbox.state import ControlState
from tuneguard.signing.bundle import make_bundle
from tuneguard.training import claims, controls, output, record

if TYPE_CHECKING:
    from tuneguard.engines.engine import EngineType
    from tuneguard.project.project import Project
    from tuneguard.sandbox.shown import Shown
    from tuneguard.spec import Resources
    from tuneguard.training.handover import Handover


def attest(handover: Handover, engine: EngineType, project: Project) -> Result[TrainFacts]:
    """Sign what the run left, as the builder that `engine` is.

    Raises:
        Refused: the training wrote nothing, or its folder is another one or cannot be signed.
    """
    claimed, kind = handover.claimed, handover.kind
    manifest, changes = claims.hashed(claimed, project)
    done = output.described(changes)
    output.show(done, claimed, project)
    if not manifest.files:
        raise Refused(
            "the training wrote no checkpoint", where=shown(claimed.checkpoint), help="write to {checkpoint}"
        )
    oms.refuse_unsignable(manifest)
    body = _provenance(handover, done, engine, project)
    record.write(claimed.work, handover.record, handover.for_people())
    signer = project.signer("builder")
    folder = evidence.folder_of(claimed.checkpoint)
    name = project.pipeline.name
    statement = provenance.PREDICATE.statement(name, manifest.digest, body)
    made = make_bundle(signer, PAYLOAD_TYPE, statement.encode())
    signature = oms.sign(signer, name, manifest)
    if project.ledger is not None:
        project.ledger.append(
            event=Event.JUDGED, command="run", run=claimed.run, model=name, tree=manifest.digest, result=kind
        )
    outputs = [
        evidence.write(folder, provenance.KIND, made),
        evidence.write(folder, oms.KIND, signature),
    ]
    project.reporter.emit(
        "Signed",
        f"{shown(claimed.checkpoint)}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}",
        f"tree {short(manifest.digest)}  run {claimed.run}, {kind}, trained {handover.seconds:,.1f} s",
        "isolation controls: "
        + ", ".join(f"{control.name} {control.state}" for control in handover.controls),
    )
    if project.ledger is not None:
        project.ledger.append(
            event=Event.DONE, command="run", run=claimed.run, model=name, tree=manifest.digest, result=kind
        )
    signed = msgspec.structs.replace(handover.record, kind=kind, tree=manifest.digest)
    record.write(claimed.work, signed, handover.for_people())
    weak = [control for control in handover.controls if control.state is not ControlState.PROVEN]
    return Result(
        command="train",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(claimed.checkpoint), manifest.digest),),
        outputs=tuple(map(shown, (claimed.checkpoint, *outputs))),
        facts=TrainFacts(
            run=claimed.run,
            tree=manifest.digest,
            kind=kind,
            seconds=round(handover.seconds, 1),
            controls={
                control.name: ControlFacts(state=control.state, how=control.how)
                for control in handover.controls
            },
        ),
        notes=(
            *project.remarks,
            *_kept(handover),
            *output.excluded(done, claimed),
            *_not_compared(handover),
            *map(controls.describe, weak),
        ),
        next=_next(handover, project),
    )


def _kept(handover: Handover) -> tuple[str, ...]:
    """A note on a checkpoint of a training that did not end well."""
    ended = handover.ended
    if ended is None:
        return ()
    how = f"signal {ended.signal}" if ended.exit_code is None else f"exit code {ended.exit_code}"
    how = f"stopped ({ended.stopped})" if ended.stopped is not None else f"failed ({how})"
    why = f": {ended.note}" if ended.note else ""
    kept = "signed as intermediate: a run can resume from it, and it is never promoted"
    return (f"the training {how}{why}; its checkpoint is {kept}",)


def _not_compared(handover: Handover) -> tuple[str, ...]:
    said = handover.comparison
    if said is None or said.compared:
        return ()
    return (f"code and configuration were not compared with the evaluation set: {said.how}",)


def _next(handover: Handover, project: Project) -> str | None:
    """The command that promotes this run to the pipeline's destination; an intermediate one is resumed."""
    claimed = handover.claimed
    if handover.kind != "final":
        return paste.command("run", "--resume", claimed.checkpoint)
    target, tag = project.pipeline.registry, project.pipeline.tag(claimed.run)
    to = "REF" if target is None else target.push + (f":{tag}" if tag else "")
    name = project.pipeline.name
    return paste.command("promote", claimed.checkpoint, "--to", to, "--model", name, "--run", claimed.run)


def _asked_for(wanted: Resources) -> provenance.Resources | None:
    asked = provenance.Resources(cpu=wanted.cpu, memory=wanted.memory, gpu=wanted.gpu)
    return None if asked == provenance.Resources() else asked


def _devices(shown: Shown | None) -> provenance.Devices | None:
    if shown is None:
        return None
    return provenance.Devices(
        shown=tuple(
            provenance.Device(uuid=str(gpu.uuid), model=gpu.model, kind="mig" if gpu.part else "whole")
            for gpu in shown.gpus
        ),
        by=shown.by,
        specifications=dict(shown.specifications),
        driver=shown.driver,
        libraries=dict(shown.libraries),
        left_out=shown.edits.left_out,
    )


def _provenance(
    handover: Handover, done: provenance.Output | None, engine: EngineType, project: Project
) -> provenance.Provenance:
    train = project.pipeline.train
    return provenance.Provenance.of(
        model=project.pipeline.name,
        run=handover.run,
        kind=handover.kind,
        command=train.command,
        env=dict(train.env),
        metrics=handover.metrics,
        resources=_asked_for(train.resources),
        dependencies=handover.dependencies,
        environment=handover.environment,
        controls=handover.controls,
        base_scan=handover.base_scan,
        comparison=handover.comparison,
        output=done,
        ended=handover.ended,
        segments=handover.segments,
        started=handover.started,
        finished=handover.finished,
        builder=engine.builder,
        level=engine.level,
        expected_seconds=train.expected_seconds,
        deadline_seconds=int(train.deadline.total_seconds()),
        unsafe=handover.unsafe,
        relied_on=handover.relied_on,
        processors=handover.processors,
        devices=_devices(handover.gpus),
    )
