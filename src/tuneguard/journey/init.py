"""Begin a project: keys, a root, a signed development policy and a pipeline; never overwrites.

Every role gets its own key under its own custodian's name, so that a project is laid out as it will
be when the roles belong to different people. Until then all of them are one person's, and every
output shows "development".

The keys get their folder's name when all of them are made, with a note for whom they are; the policy
is written last, and then the note goes. So an init that was killed can be run again: it finds the note.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from datetime import timedelta
from functools import partial as bound
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import snapshot, workdir
from tuneguard.display import shown
from tuneguard.errors import UsageError
from tuneguard.facts import InitFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.key_pair import pair
from tuneguard.project.project import PIPELINE, Project
from tuneguard.sandbox.find import find_backend
from tuneguard.sandbox.state import ControlState
from tuneguard.signing import key
from tuneguard.signing.signer import open_signer
from tuneguard.training import controls
from tuneguard.trust import policy, root, template
from tuneguard.trust.template import DEVELOPMENT_ROLES

if TYPE_CHECKING:
    from tuneguard.sandbox.controls import Control

LIFE = timedelta(days=180)
"""How long a development policy lives."""
UNFINISHED = "unfinished"
"""The note in a folder of keys: the project that they are for, while its policy is not yet written."""


def init(
    directory: str | Path, *, name: str, passphrase: bytes | None, project: Project | None = None
) -> Result[InitFacts]:
    """Write everything that a new project called `name` needs.

    Raises:
        UsageError: something that would be written is there already, or the name is not one; the
            passphrase does not open the root's key, which is there; or no sandbox works here.
    """
    directory, project = Path(directory), project or Project()
    home = root.home()
    folder = home / "keys" / name
    texts = (
        directory / PIPELINE,
        directory / ("policy.yaml" + root.BUNDLE_SUFFIX),
        directory / "policy.yaml",
    )
    begun = _begun(folder, directory)
    if not begun:
        _refuse_taken((*texts, folder))
    pipeline = template.pipeline(name)
    open_root = bound(
        open_signer,
        str(home / "root.key"),
        project.passphrase if passphrase is None else lambda _: passphrase,
    )
    signer = open_root() if _has_root(home) else None  # a wrong passphrase shows before anything is touched
    _make_folder(directory)
    found = _controls(directory, project)
    least = {control.name: control.state for control in found}
    made = [] if signer else _root(home, passphrase)
    signer = signer or open_root()
    with ExitStack() as undo:  # nothing half-written: without a policy, keys would be in the way
        if not begun:
            _make_keys(folder, directory, passphrase)
            undo.callback(snapshot.remove, folder)
        roles = {role: key.read_public(folder / f"{role}.pub") for role in DEVELOPMENT_ROLES}
        log = key.read_public(folder / "log.pub")
        text = template.development_policy(name, roles, log=log, controls=least, expires=project.now + LIFE)
        if begun and not texts[2].exists():
            texts[1].unlink(missing_ok=True)  # the signature of a policy that was never written
        for path, data in zip(texts, (pipeline, policy.sign_policy(text, signer), text), strict=True):
            if begun and path.exists():
                continue
            files.write_new(path, data)
            undo.callback(path.unlink, missing_ok=True)
        undo.pop_all()
    (folder / UNFINISHED).unlink()
    files.sync_directory(folder)
    project.reporter.emit(
        "Made", f"{name}: root, {len(DEVELOPMENT_ROLES)} roles, log", f"keys: {shown(folder)}"
    )
    project.reporter.emit("Wrote", ", ".join(shown(path) for path in texts))
    notes = [
        "development policy: not for production",
        "one person holds every key, whatever the custodians are called",
    ]
    if passphrase is None:
        notes.append("the keys are not encrypted: who reads the files can sign")
    notes += [controls.describe(control) for control in found if control.state is not ControlState.PROVEN]
    return Result(
        command="init",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory)),),
        outputs=tuple(shown(path) for path in (*made, folder, *texts)),
        facts=InitFacts(roles=tuple(DEVELOPMENT_ROLES), controls=least),
        notes=tuple(notes),
        next="put data, base and code in place, then: tuneguard seal data/train --as dataset …",
    )


def _begun(folder: Path, directory: Path) -> bool:
    """Whether the keys are there, for this very project, from an init that was killed before its end.

    Raises:
        UsageError: they are for another project.
    """
    note = folder / UNFINISHED
    if not note.is_file():
        return False
    other = os.fsdecode(files.read_bounded(note, limits.PATH_BYTES))
    if other != os.path.abspath(directory):
        raise UsageError(
            f"these keys are for {files.printable(other)}, where an init was stopped",
            where=shown(folder),
            help="run it again there; or, if nobody needs that project, remove this folder",
        )
    return True


def _make_keys(folder: Path, directory: Path, passphrase: bytes | None) -> None:
    """A key for each role and for the log, under a name of their own until all of them are there."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    workdir.sweep(folder.parent.glob(".*.partial"))
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.partial")
    with workdir.working(partial):
        for role in DEVELOPMENT_ROLES:
            key.make_pair(partial / f"{role}.key", type=key.KeyType.P256, passphrase=passphrase)
        key.make_pair(partial / "log.key", type=key.KeyType.ED25519, passphrase=passphrase)
        files.write_new(partial / UNFINISHED, os.fsencode(os.path.abspath(directory)))
        files.rename_new(partial, folder)


def _refuse_taken(paths: tuple[Path, ...]) -> None:
    taken = [shown(path) for path in paths if path.exists() or path.is_symlink()]
    if taken:
        raise UsageError(
            f"already there: {', '.join(taken)}",
            help="init never overwrites: choose another folder or --name",
        )


def _make_folder(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise files.missing(directory, "is not a folder") from None


def _has_root(home: Path) -> bool:
    return (home / "root.key").exists() and (home / "root.pub").exists()


def _root(home: Path, passphrase: bytes | None) -> list[Path]:
    """The root's key, made once and used by every project of this home."""
    private, public = home / "root.key", home / "root.pub"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    pair(private, type=key.KeyType.P256, passphrase=passphrase)
    return [private, public]


def _controls(directory: Path, project: Project) -> tuple[Control, ...]:
    """What this machine's sandbox can show of each control, by trying. Raises where no sandbox works."""
    with project.reporter.task("Trying isolation controls", total=None, unit="steps"):
        return controls.tried(find_backend(), (directory,))
