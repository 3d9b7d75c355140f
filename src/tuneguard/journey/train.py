"""Train: one process that supervises the sandbox, waits until it is dead, hashes, and then signs.

::

    claim the run → snapshot data, base, code, configuration → verify them → sandbox
        → every process dead → hash the checkpoint → open the builder's key → signature, provenance

Nothing else writes provenance, and nothing writes it for a folder that this process did not make.
The key is opened only after the sandbox is dead (principle 12, TRUST.md rules 7 to 13).
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuneguard import files, paste, spec
from tuneguard.artifact import snapshot, workdir
from tuneguard.attest import evidence
from tuneguard.attest.predicates import oms, provenance
from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.display import counted, rfc3339, short, shown, size
from tuneguard.errors import Interrupted, Refused, TuneguardError
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import Event
from tuneguard.project import evidence_log
from tuneguard.sandbox.controls import FILESYSTEM, NETWORK, Bind, Confinement
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.find import find_backend
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.unsafe import UnsafeNoSandbox
from tuneguard.signing import unlock
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.signer import for_people, needs_passphrase
from tuneguard.training import apart, claims, controls, environment
from tuneguard.training.inputs import INSIDE, Gathered, gather, still_the_same
from tuneguard.training.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.project.project import Project
    from tuneguard.sandbox.controls import Backend, Control, Outcome
    from tuneguard.training.input import Input

PROCESSES = 4096
"""Processes and threads of a run, where the pipeline does not say."""


def train(
    *,
    run: str,
    resume: Path | None = None,
    keep_intermediate: bool = False,
    unsafe_no_sandbox: bool = False,
    project: Project,
) -> Result:
    """Run the pipeline's training under `run` and sign its checkpoint.

    Raises:
        Refused: the run id or its folder is taken, an input is not what the policy asks for, an isolation
        control
            is missing, or the training failed.
        UsageError: no sandbox works here, or no key is named.
    """
    backend = UnsafeNoSandbox() if unsafe_no_sandbox else find_backend()
    evidence_log.expected(project, project.pipeline.name)
    _check_command(project)
    _check_key(project)
    _check_there(resume, project)
    weak = _check_controls(run, backend, project)
    known = apart.measure(project)
    with claims.claiming(run, project) as claimed:
        _sweep(claimed.work.parent, project)
        try:
            gathered = gather(claimed.work / "inputs", resume, known, project)
            inputs = gathered.inputs
            _check_bound(inputs, project)
            begun = datetime.now(UTC)
            outcome = _sandboxed(claimed, inputs, backend, weak, project)
            still_the_same(inputs, project)
            kind = _kind(outcome, claimed, keep_intermediate=keep_intermediate)
            return _sign(claimed, gathered, outcome, begun, backend, kind, project)
        finally:
            _clear(claimed.work)


def _clear(work: Path) -> None:
    """Remove the working copies of a run; its log stays."""
    for name in ("inputs", "scratch"):
        snapshot.remove(work / name)


def _sweep(runs: Path, project: Project) -> None:
    """Remove the working copies that killed runs left, and give what they wrote its name."""
    for work in runs.iterdir():
        with workdir.left_behind(work) as free, suppress(TuneguardError):
            if free:
                claims.settle(work.name, project)
                _clear(work)


def _check_controls(run: str, backend: Backend, project: Project) -> tuple[Control, ...]:
    """Try the controls where this run will write; those that are not proven, and that the policy accepts.

    Raises:
        Refused: the policy wants more than this machine can give: better now than at the promotion.
    """
    checkpoint = claims.place(run, project)
    beside = next(folder for folder in checkpoint.parents if folder.is_dir())
    found = controls.tried(backend, (project.state_directory("runs"), beside), **_bounds(project))
    weak = [control for control in found if not control.state.meets(project.policy.control(control.name))]
    if weak and not isinstance(backend, UnsafeNoSandbox):
        raise Refused(
            "the policy wants isolation controls that this machine cannot prove: "
            f"{', '.join(control.name for control in weak)}",
            help="; ".join(map(controls.describe, weak)) + _mend(weak),
        )
    return tuple(control for control in found if control.state is not ControlState.PROVEN)


def _mend(weak: list[Control]) -> str:
    if os.geteuid() == 0 or not any(control.name in (NETWORK, FILESYSTEM) for control in weak):
        return ""
    return ". Run it as root, which gives the training a user of its own, or ask the policy's owner for less"


def _check_there(resume: Path | None, project: Project) -> None:
    """Every input is there: a mistyped path need not cost a run id."""
    pipeline = project.pipeline
    named = (pipeline.data.train.path, pipeline.base.path, pipeline.train.code.path, pipeline.train.config)
    for path in (*(pipeline.resolve(name) for name in named if name is not None), resume):
        if path is not None and not os.path.lexists(path):
            raise files.missing(shown(path))


def _check_command(project: Project) -> None:
    """The command is the policy's, where it has one: otherwise the code that is listed need not be run."""
    wanted = project.policy.models[project.pipeline.name].command
    if wanted is not None and project.pipeline.train.command != wanted:
        raise Refused(
            "the command is not the one that the policy has",
            where=files.printable(project.pipeline.file),
            help=f"restore it: {files.printable(json.dumps(wanted, ensure_ascii=False))}; "
            "or ask the policy's owner to fix this one",
        )


def _check_key(project: Project) -> None:
    """The builder's key opens, can sign a model and is believed: better known now than after the training.

    A process of its own looks, and is gone before the sandbox starts (principle 12).
    """
    uri = project.key_uri("builder")
    if uri is None:
        project.signer("builder")  # raises, and says how to name one
        return
    secret = project.passphrase(uri) if needs_passphrase(uri) else b""
    public = unlock.public_key_of(uri, secret)
    project.check_key(public, uri)
    oms.refuse_unusable(public)
    listed = project.policy.models[project.pipeline.name].builders
    if not any(project.policy.identities[name].key == public for name in listed):
        raise Refused(
            f"the policy does not believe this key as a builder of {project.pipeline.name}",
            where=for_people(uri),
            help="name the builder's key: --key builder=URI; or ask the policy's owner to list this one",
        )


def _bounds(project: Project) -> dict[str, Any]:
    wanted = project.pipeline.train.resources
    memory = wanted.memory if wanted.memory is not None else _physical_memory()
    return {"memory": memory, "processes": PROCESSES}


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _sandboxed(
    claimed: claims.Claimed,
    inputs: tuple[Input, ...],
    backend: Backend,
    weak: tuple[Control, ...],
    project: Project,
) -> Outcome:
    """Run the training command under the isolation controls, its output shown and kept in the run's log."""
    pipeline = project.pipeline
    scratch = claimed.work / "scratch"
    scratch.mkdir(mode=0o700)
    by_role = {item.role: item for item in inputs}
    values = {
        "code": by_role["code"].inside,
        "config": f"{by_role['config'].inside}/{by_role['config'].dependency.name}",
        "data": by_role["dataset"].inside,
        "base": by_role["base"].inside,
        "checkpoint": f"{INSIDE}/checkpoint",
        "scratch": f"{INSIDE}/scratch",
        "run": claimed.run,
    }
    command = spec.fill(pipeline.train.command, values, python=sys.executable)
    deadline, bounds = pipeline.train.deadline.total_seconds(), _bounds(project)
    project.reporter.say(
        "Training",
        f"{pipeline.name}  run {claimed.run}",
        f"in {backend.name}, deadline {deadline:,.0f} s",
        *map(controls.describe, weak),
    )
    with Transcript(claimed.work / "train.log", project.reporter) as transcript:
        outcome = backend.run(
            Confinement(
                command=command,
                binds=(
                    *(Bind(item.path, item.inside) for item in inputs),
                    Bind(claimed.written, values["checkpoint"], writable=True, identity=claimed.identity),
                    Bind(scratch, values["scratch"], writable=True),
                ),
                workdir=values["scratch"],
                environment=clean_environment(home=values["scratch"]),
                deadline=deadline,
                blocks=transcript.hear,
                file_size=max(claimed.most, bounds["memory"], pipeline.train.scratch or 0),
                **bounds,
            )
        )
    claims.give_name(claimed.checkpoint, claimed.identity)
    snapshot.remove(scratch)
    return outcome


def _kind(outcome: Outcome, claimed: claims.Claimed, *, keep_intermediate: bool) -> str:
    """Whether what the run left may be signed, and as what (TRUST.md rule 13).

    Raises:
        Refused: the run failed, or was stopped at its deadline and is not to be kept.
        Interrupted: the person stopped it, and it is not to be kept.
    """
    log = f"its output is in {shown(claimed.work / 'train.log')}"
    if outcome.stopped is not None:
        if keep_intermediate and outcome.stopped in ("deadline", "interrupt"):
            return "intermediate"
        if outcome.stopped == "interrupt":
            raise Interrupted(
                f"the training was interrupted after {outcome.seconds:,.0f} s and is not signed",
                help=f"run again under a new id, or keep what there is with --keep-intermediate; {log}",
            )
        raise Refused(
            f"the training was stopped ({outcome.stopped}) after {outcome.seconds:,.0f} s and is not signed",
            help=f"raise train.expectedDuration, or keep what there is with --keep-intermediate; {log}",
        )
    if not outcome.succeeded:
        how = f"exit code {outcome.code}" if outcome.code is not None else f"signal {outcome.signal}"
        raise Refused(
            f"the training failed ({how}) and is not signed" + (f": {outcome.note}" if outcome.note else ""),
            help=f"{log}; run again under a new id",
        )
    return "final"


def _sign(
    claimed: claims.Claimed,
    gathered: Gathered,
    outcome: Outcome,
    begun: datetime,
    backend: Backend,
    kind: str,
    project: Project,
) -> Result:
    """Hash the checkpoint, open the builder's key, write the provenance and then the signature."""
    manifest = claims.hashed(claimed, project)
    if not manifest.files:
        raise Refused(
            "the training wrote no checkpoint", where=shown(claimed.checkpoint), help="write to {checkpoint}"
        )
    oms.refuse_unsignable(manifest)
    body = _provenance(claimed.run, gathered, outcome, begun, backend, kind, project)
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
    project.reporter.say(
        "Signed",
        f"{shown(claimed.checkpoint)}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}",
        f"tree {short(manifest.digest)}  run {claimed.run}, {kind}, trained {outcome.seconds:,.1f} s",
        "isolation controls: "
        + ", ".join(f"{control.name} {control.state.value}" for control in outcome.controls),
    )
    if project.ledger is not None:
        project.ledger.append(
            event=Event.DONE, command="run", run=claimed.run, model=name, tree=manifest.digest, result=kind
        )
    weak = [control for control in outcome.controls if control.state is not ControlState.PROVEN]
    return Result(
        command="train",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(claimed.checkpoint), manifest.digest),),
        outputs=tuple(map(shown, (claimed.checkpoint, *outputs))),
        facts={
            "run": claimed.run,
            "tree": manifest.digest,
            "class": kind,
            "seconds": round(outcome.seconds, 1),
            "walls": {
                control.name: {"state": control.state.value, "how": control.how}
                for control in outcome.controls
            },
        },
        notes=(*project.remarks, *_not_compared(gathered), *map(controls.describe, weak)),
        next=_promotion(claimed, project),
    )


def _not_compared(gathered: Gathered) -> tuple[str, ...]:
    said = gathered.comparison
    if said is None or said.compared:
        return ()
    return (f"code and configuration were not compared with the evaluation set: {said.how}",)


def _promotion(claimed: claims.Claimed, project: Project) -> str | None:
    """The command that promotes this run to where the pipeline says that its models go."""
    target, tag = project.pipeline.registry, project.pipeline.tag(claimed.run)
    to = "REF" if target is None else target.push + (f":{tag}" if tag else "")
    name = project.pipeline.name
    return paste.command("promote", claimed.checkpoint, "--to", to, "--model", name, "--run", claimed.run)


def _check_bound(inputs: tuple[Input, ...], project: Project) -> None:
    """An input bound in place is two weaker isolation controls: better refused now than at promotion."""
    bound = _bound_in_place(inputs)
    wanted = [
        control for control in (NETWORK, FILESYSTEM) if project.policy.control(control) is ControlState.PROVEN
    ]
    if bound and wanted:
        raise Refused(
            f"the {' and the '.join(bound)} are too large to copy, and the policy wants proven isolation: "
            + ", ".join(wanted),
            help="put the project on a file system that shares copies (XFS, Btrfs), or ask the policy's "
            "owner for controls.network and controls.filesystem: weakened",
        )


def _bound_in_place(inputs: tuple[Input, ...]) -> list[str]:
    return [item.role for item in inputs if item.how == "bind"]


def _controls(outcome: Outcome, inputs: tuple[Input, ...]) -> Iterator[provenance.Control]:
    """The isolation controls as they were tried; two are weaker where an input was not ours alone.

    Who can write to it can change it, and can put a socket there for the training to find.
    """
    bound = _bound_in_place(inputs)
    for control in outcome.controls:
        state, how = control.state, control.how
        if control.name in (NETWORK, FILESYSTEM) and bound and control.state is not ControlState.ABSENT:
            state = ControlState.WEAKENED
            how = f"{how}; the {' and the '.join(bound)} were bound in place, and hashed again afterwards"
        yield provenance.Control(control.name, state, how)


def _provenance(
    run: str,
    gathered: Gathered,
    outcome: Outcome,
    begun: datetime,
    backend: Backend,
    kind: str,
    project: Project,
) -> provenance.Provenance:
    inputs = gathered.inputs
    by_role = {item.role: item.dependency for item in inputs}
    train_ = project.pipeline.train
    return provenance.Provenance.of(
        model=project.pipeline.name,
        run=run,
        kind=kind,
        command=train_.command,
        dependencies=tuple(
            by_role[role] for role in ("dataset", "base", "code", "config", "resume") if role in by_role
        ),
        environment=environment.describe(),
        controls=tuple(_controls(outcome, inputs)),
        base_scan=gathered.scanned,
        comparison=gathered.comparison,
        started=rfc3339(begun),
        finished=rfc3339(datetime.now(UTC)),
        builder="https://tuneguard.dev/builders/local/v1",
        expected_seconds=train_.expected_seconds,
        deadline_seconds=int(train_.deadline.total_seconds()),
        unsafe=("--unsafe-no-sandbox",) if isinstance(backend, UnsafeNoSandbox) else (),
        relied_on=tuple(each for item in inputs for each in item.relied_on),
    )
