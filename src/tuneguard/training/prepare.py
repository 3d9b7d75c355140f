"""Prepare a run: what can be known early is reported early, and its inputs are snapshotted and verified.

No key is opened here, but to see that the builder's is there and believed.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import files
from tuneguard.artifact import snapshot, workdir
from tuneguard.attest.predicates import oms
from tuneguard.display import shown
from tuneguard.errors import Refused, TuneguardError, UsageError
from tuneguard.project import evidence_log
from tuneguard.sandbox import cgroup, gpus
from tuneguard.sandbox.controls import FILESYSTEM, NETWORK
from tuneguard.sandbox.find import find_backend
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.unsafe import UnsafeNoSandbox
from tuneguard.signing import unlock
from tuneguard.signing.signer import for_people, needs_passphrase
from tuneguard.training import apart, claims, controls, foreseen
from tuneguard.training.inputs import Gathered, gather
from tuneguard.training.metrics import CHANNEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.project.project import Project
    from tuneguard.sandbox.controls import Backend, Control
    from tuneguard.sandbox.shown import Shown
    from tuneguard.training.input import Input

PROCESSES = 4096
"""Processes and threads of a run, where the pipeline does not state."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can begin: its claimed folders, its verified inputs, and the sandbox that it will have."""

    claimed: claims.Claimed
    gathered: Gathered
    backend: Backend
    weak: tuple[Control, ...]
    obstacles: tuple[str, ...]
    gpus: Shown | None = None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What is mounted."""
        return self.gathered.inputs

    @property
    def bound(self) -> list[str]:
        """What the inputs are called that were too large to copy, and are bound in place."""
        return [item.what for item in self.inputs if item.how == "bind"]


@contextmanager
def preparing(
    run: str | None, resume: Path | None, project: Project, *, unsafe_no_sandbox: bool = False
) -> Iterator[Prepared]:
    """Claim the run id and verify all that goes into the run; the working copies are removed at the end.

    Without a run id it is a rehearsal: none is claimed, and no key is asked for.

    Raises:
        Refused: the run id or its folder is taken, an input is not what the policy asks for, or an isolation
            control is missing.
        UsageError: no sandbox works here, or no key is named.
    """
    backend = UnsafeNoSandbox() if unsafe_no_sandbox else find_backend()
    _check_processors(project)
    shown = _gpus(project)
    evidence_log.expected(project, project.pipeline.name)
    _check_command(project)
    _check_env(project)
    if run is not None:
        _check_key(project)
    _check_there(resume, project)
    _check_resume(resume)
    _check_code(project)
    _check_base(project)
    weak = _check_controls(run, backend, shown, project)
    known = apart.measure(project)
    obstacles = tuple(foreseen.obstacles(project))
    for obstacle in obstacles:
        project.reporter.emit("Foreseen", f"promotion will not pass: {obstacle}")
    claiming = claims.rehearsing(project) if run is None else claims.claiming(run, project)
    with claiming as claimed:
        if run is not None:
            _sweep(claimed.work.parent, project)
        try:
            gathered = gather(claimed.work / "inputs", resume, known, project)
            prepared = Prepared(claimed, gathered, backend, weak, obstacles, shown)
            _check_bound(prepared, project)
            yield prepared
        finally:
            _clear(claimed.work)


def _clear(work: Path) -> None:
    """Remove the working copies of a run; its log and what is kept of its metrics stay."""
    for name in ("inputs", "scratch"):
        snapshot.remove(work / name)
    with suppress(OSError):
        (work / CHANNEL).unlink()


def _sweep(runs: Path, project: Project) -> None:
    """Remove the working copies that killed runs left, and give what they wrote its name."""
    for work in runs.iterdir():
        with workdir.left_behind(work) as free, suppress(TuneguardError):
            if free:
                claims.settle(work.name, project)
                _clear(work)


def _check_processors(project: Project) -> None:
    """There are as many as were asked for.

    Raises:
        UsageError: there are fewer.
    """
    wanted, found = project.pipeline.train.resources.cpu, cgroup.processors()
    if wanted is not None and wanted > found:
        raise UsageError(
            f"train.resources asks for {wanted:g} processors, and this run could use {found:g}",
            where=files.printable(project.pipeline.file),
            help="ask for fewer, or start it where more are allowed (affinity and control groups count)",
        )


def _gpus(project: Project) -> Shown | None:
    """The GPUs that were asked for.

    Raises:
        UsageError: there are fewer.
    """
    count = project.pipeline.train.resources.gpu
    return gpus.offered().take(count, project.pipeline.file) if count else None


def _check_controls(
    run: str | None, backend: Backend, shown: Shown | None, project: Project
) -> tuple[Control, ...]:
    """Try the controls where this run will write; those that are not proven, and that the policy accepts.

    Raises:
        Refused: the policy wants more than this machine can give: better now than at the promotion.
    """
    places: tuple[Path, ...] = ()
    if run is not None:
        places = (next(folder for folder in claims.place(run, project).parents if folder.is_dir()),)
    places = (project.state_directory("runs"), *places)
    found = controls.tried(backend, places, gpus=shown, **bounds_of(project))
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
    data = (each.path for each in pipeline.data.sets)
    named = (*data, pipeline.base.path, pipeline.train.code.path, pipeline.train.config)
    for path in (*(pipeline.resolve(name) for name in named if name is not None), resume):
        if path is not None and not os.path.lexists(path):
            raise files.missing(shown(path))


def _check_resume(resume: Path | None) -> None:
    """What is resumed from is a folder."""
    if resume is not None and not resume.is_dir():
        raise UsageError("is no folder", where=shown(resume), help="name a run's folder, or one in it")


def _check_code(project: Project) -> None:
    """The code is no repository of its own: git keeps empty folders in it, which no digest can hold."""
    code = project.pipeline.resolve(project.pipeline.train.code.path)
    if (code / ".git").is_dir():
        raise Refused(
            "the code is a git repository of its own, whose .git would be part of the code's digest",
            where=shown(code),
            help="keep the repository above it, in the project's folder, or take .git out",
        )


def _check_base(project: Project) -> None:
    """The base holds a model: an adapter alone is nothing that a training could start from."""
    base = project.pipeline.resolve(project.pipeline.base.path)
    if os.path.lexists(base / "adapter_config.json") and not os.path.lexists(base / "config.json"):
        raise Refused(
            "the base is an adapter without its model",
            where=shown(base),
            help="merge it into its base (PEFT: merge_and_unload), and have that model sealed or promoted",
        )


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


_ASK = "or ask the policy's owner to fix this one: tuneguard policy set-model --command"


def _check_env(project: Project) -> None:
    """The pipeline's variables are the policy's, where it fixes them: they can change what the code does."""
    wanted = project.policy.models[project.pipeline.name].env
    if wanted is not None and project.pipeline.train.env != wanted:
        raise Refused(
            "the environment (train.env) is not the one that the policy has",
            where=files.printable(project.pipeline.file),
            help=f"restore it: {files.printable(json.dumps(dict(wanted), ensure_ascii=False))}; {_ASK}",
        )


def _check_key(project: Project) -> None:
    """The builder's key opens, can sign a model and is believed: better known now than after the training.

    A process of its own looks, and is gone before the sandbox starts (principle 12).
    """
    uri = project.key_uri("builder")
    if uri is None:
        project.signer("builder")  # raises with how to name one
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


def bounds_of(project: Project) -> dict[str, Any]:
    """The memory, the number of processes and the processors that the run may have."""
    wanted = project.pipeline.train.resources
    memory = wanted.memory if wanted.memory is not None else _physical_memory()
    return {"memory": memory, "processes": PROCESSES, "processors": wanted.cpu}


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_bound(prepared: Prepared, project: Project) -> None:
    """An input bound in place is two weaker isolation controls: better refused now than at promotion."""
    bound = prepared.bound
    if isinstance(prepared.backend, UnsafeNoSandbox) and any(
        item.listed and item.how == "bind" for item in prepared.inputs
    ):
        raise Refused(
            f"the {' and the '.join(bound)} are too large to copy into one folder with other data",
            help="run in the sandbox, or name one data set",
        )
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
