"""A run's id and its folder: claimed before the run, written where nobody else gets to, named afterwards.

::

    runs/042                        taken by mkdir, empty until the run is over
    runs/.042.partial               0700: no other user gets past it, whatever the training permits
    runs/.042.partial/checkpoint    what the training writes to
    runs/042                        the same folder, when every process is dead
    runs/042.unsigned               what checkpoint.exclude covers is moved there; only with such patterns

The training owns the folder that it writes to and can open it to everybody. It cannot open what that
lies in: so no process of another user meets it there (`sandbox.inside.apart` tries that). The folder is
made beside its later place, so that giving it its name is one rename on one file system; a rename takes
the place of an empty folder only, so what others put there meanwhile is found.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import files, spec
from tuneguard.artifact import arrange, durable, tidy, workdir
from tuneguard.artifact import digest as hashing
from tuneguard.attest import evidence
from tuneguard.display import shown
from tuneguard.errors import Refused, TuneguardError
from tuneguard.ledger.entry import Event
from tuneguard.training.inputs import INSIDE, check_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.artifact.arrange import Change
    from tuneguard.artifact.manifest import Manifest
    from tuneguard.project.project import Project

_EXCHANGED = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.ENOENT, errno.ELOOP})
WRITTEN = "checkpoint"
"""The folder that the training writes to, in the one that is ours."""


@dataclass(frozen=True)
class Claimed:
    """A run id that is ours for ever, and the folders that go with it.

    `identity` is the written folder's device and inode: anyone who can write beside it can put another
    folder under its name, and no other is shown to the training or signed. `most` are the bytes that
    may be in it.
    """

    run: str
    checkpoint: Path
    work: Path
    identity: tuple[int, int]
    most: int

    @property
    def written(self) -> Path:
        """Where the training writes."""
        return partial_of(self.checkpoint) / WRITTEN


def partial_of(checkpoint: Path) -> Path:
    """The folder that nobody else enters, beside the checkpoint's place. No run id begins with a dot."""
    return checkpoint.with_name(f".{checkpoint.name}.partial")


def unsigned_of(checkpoint: Path) -> Path:
    """The folder for what is left out of the checkpoint, beside it."""
    return checkpoint.with_name(f"{checkpoint.name}.unsigned")


@contextmanager
def claiming(run: str, project: Project) -> Iterator[Claimed]:
    """Take the run id and its output folder, all by exclusive mkdir; neither is ever given back.

    The id is held while the context lasts, so that no other run takes this one for left behind. At its
    end what the training wrote has its name, whatever came of it.

    Raises:
        Refused: one of them is taken, evidence is there already, or the place is not the project's.
    """
    checkpoint = place(run, project)
    work = project.state_directory("runs") / run
    _take(work, f"the run id {run} is taken")
    with workdir.holding(work):
        try:
            yield _claim(run, work, checkpoint, project)
        finally:
            _settle(checkpoint)


@contextmanager
def rehearsing(project: Project) -> Iterator[Claimed]:
    """The folders of a rehearsal, in Tuneguard's own: no run id is taken, and they are removed at the end."""
    parent = project.state_directory("rehearsals")
    workdir.sweep(parent.iterdir())
    work = parent / f"rehearsal-{secrets.token_hex(6)}"
    with workdir.working(work):
        checkpoint = work / WRITTEN
        written = partial_of(checkpoint) / WRITTEN
        for folder in (checkpoint, unsigned_of(checkpoint), written.parent, written):
            folder.mkdir(mode=0o700)
        most = project.pipeline.checkpoint.max_size or _share(work)
        yield Claimed(work.name, checkpoint, work, _identity(os.lstat(written)), most)


def place(run: str, project: Project) -> Path:
    """Where the checkpoint of `run` goes.

    Raises:
        UsageError: it is no run id.
        Refused: the place is not the project's.
    """
    checkpoint = project.pipeline.checkpoint_folder(spec.valid_run_id(run))
    check_place(checkpoint, "the checkpoint", project)
    return checkpoint


def _take(path: Path, what: str) -> None:
    files.fault_point(f"mkdir:{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise Refused(
            what,
            where=shown(path),
            help="take a new run id: files that were there before the run are never signed",
        ) from None
    except OSError as error:
        raise files.cannot_look(error, path) from error


def _claim(run: str, work: Path, checkpoint: Path, project: Project) -> Claimed:
    partial = partial_of(checkpoint)
    excluding = bool(project.pipeline.checkpoint.exclude)
    for path in (checkpoint, partial, *([unsigned_of(checkpoint)] if excluding else [])):
        _take(path, f"the folder of run {run} is there already")
    folder = evidence.folder_of(checkpoint)
    if folder.exists():
        raise Refused("evidence is there before the run", where=shown(folder), help="take a new run id")
    (partial / WRITTEN).mkdir(mode=0o700)
    if project.ledger is not None:
        project.ledger.append(event=Event.BEGUN, command="run", run=run, model=project.pipeline.name)
    most = project.pipeline.checkpoint.max_size or _share(partial)
    return Claimed(run, checkpoint, work, _identity(os.lstat(partial / WRITTEN)), most)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _share(folder: Path) -> int:
    """Half of a folder's file system, or all that is free on it: more is rather claimed than written."""
    system = os.statvfs(folder)
    return max(system.f_blocks // 2, system.f_bfree) * system.f_frsize


def settle(run: str, project: Project) -> None:
    """Give what a run that was killed wrote its name, where the pipeline still has that place."""
    with suppress(TuneguardError):
        _settle(place(run, project))


def _settle(checkpoint: Path) -> None:
    with suppress(TuneguardError):
        give_name(checkpoint)
    with suppress(OSError):
        partial_of(checkpoint).rmdir()  # of a run that was killed before it had more
    with suppress(OSError):
        unsigned_of(checkpoint).rmdir()  # where nothing came into it


def give_name(checkpoint: Path, identity: tuple[int, int] | None = None) -> None:
    """Give what the training wrote its place, ours alone; every process of it is dead.

    Raises:
        Refused: the folder that the training wrote to, or the empty one in its place, was exchanged.
        CannotLook: it cannot be renamed.
    """
    partial = partial_of(checkpoint)
    with files.directory(partial) as ours:
        try:
            written = tidy.open_folder_of_ours(ours, WRITTEN)
            try:
                if identity not in (None, _identity(os.fstat(written))):
                    raise _exchanged(partial / WRITTEN)
            finally:
                os.close(written)
            beside = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=ours)
            try:
                files.fault_point(f"rename:{checkpoint.name}")
                os.rename(WRITTEN, checkpoint.name, src_dir_fd=ours, dst_dir_fd=beside)
                with suppress(OSError):
                    os.rmdir(partial.name, dir_fd=beside)
            finally:
                os.close(beside)
        except OSError as error:
            if error.errno in _EXCHANGED:
                raise _exchanged(checkpoint) from None
            raise files.cannot_look(error, checkpoint) from error


def _exchanged(path: Path) -> Refused:
    return Refused(
        "is another folder than the one that this run made",
        where=shown(path),
        help="find out who can write beside it; nothing was signed",
    )


def hashed(claimed: Claimed, project: Project) -> tuple[Manifest, tuple[Change, ...]]:
    """The manifest of the folder that this run made, and of no other that now has its name.

    It is tidied, measured and put in order before it is read; what was done to it comes second. What is
    going to be vouched for is on the disk when this returns.

    Raises:
        Refused: it is another folder, or too large, or holds what a manifest cannot.
    """
    with files.directory(claimed.checkpoint) as root:
        if _identity(os.fstat(root)) != claimed.identity:
            raise _exchanged(claimed.checkpoint)
        name = shown(claimed.checkpoint)
        tidy.tidy(root, name=name, most=claimed.most)
        changes = _arranged(root, name, claimed, project)
        manifest = hashing.hash_descriptor(root, name=name, reporter=project.reporter)
        durable.flush(root, manifest, name=name, reporter=project.reporter)
        return manifest, changes


def _arranged(root: int, name: str, claimed: Claimed, project: Project) -> tuple[Change, ...]:
    exclude = project.pipeline.checkpoint.exclude
    known_as = (f"{INSIDE}/checkpoint", os.fspath(claimed.written))
    with ExitStack() as stack:
        aside = stack.enter_context(files.directory(unsigned_of(claimed.checkpoint))) if exclude else None
        return arrange.arrange(
            root, name=name, most=claimed.most, known_as=known_as, exclude=exclude, aside=aside
        )
