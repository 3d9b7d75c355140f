"""Stage: make a plain folder, ready to be sealed, from what a download, a cache or an archive left.

find out what it is → copy or unpack beside the target, links resolved → hash as a tree → flush → rename.
Nothing is judged, and no key is at hand: what the bytes are worth is for the seal to say. The folder gets its
name when it is whole; what a kill leaves is removed by the next one, which begins anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, paste
from tuneguard.artifact import digest as hashing
from tuneguard.artifact import durable, workdir
from tuneguard.display import counted, short, shown, size
from tuneguard.errors import UsageError
from tuneguard.facts import StageFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.project import Project
from tuneguard.staging import archive, folder
from tuneguard.staging import source as sources

if TYPE_CHECKING:
    from tuneguard.artifact.manifest import Manifest


def stage(
    source: str | Path,
    directory: str | Path,
    *,
    revision: str | None = None,
    project: Project | None = None,
) -> Result[StageFacts]:
    """Make the new folder `directory` from `source`: a folder, a snapshot in the Hub's cache, or an archive.

    Links are resolved within the folder, of a snapshot within its repository's folder. `revision` picks a
    snapshot of a repository by its commit, branch or tag.

    Raises:
        UsageError: `source` is not there or of another kind, or `directory` is there already.
        Refused: a link leaves the source, an archive's member is no file or folder or leaves the folder.
        ForbiddenTree: two names differ only in case, so that no tree can hold both.
        ChangedWhileRead: the source changed meanwhile.
        CannotLook: something cannot be read or written, or there is no space.
    """
    source, directory = Path(source), Path(directory)
    project = project or Project()
    target = Path(os.path.abspath(directory))
    if target.exists() or target.is_symlink():
        raise UsageError("is there already", where=shown(directory), help="stage into a new folder")
    found = sources.find(source, revision)
    if found is not None and target.is_relative_to(found.root):
        raise UsageError("lies in the source", where=shown(directory), help="stage into another folder")
    with workdir.partial(target) as beside:
        if found is None:
            notes: tuple[str, ...] = ()
            archive.unpack(source, beside, name=str(source), reporter=project.reporter)
            manifest = _whole(beside, target, project)
        else:
            with files.directory(found.root) as root:
                listed = folder.copy(root, found.start, beside, name=str(source), reporter=project.reporter)
            manifest = _whole(beside, target, project)
            sources.check_blobs(listed.files, manifest)
            notes = _left_out(listed.empty)
        files.rename_new(beside, target)
    what = "archive" if found is None else "folder" if found.repository is None else "snapshot"
    project.reporter.emit(
        "Staged",
        f"{shown(directory)}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}",
        f"tree {short(manifest.digest)}  from the {what} {shown(source)}",
    )
    return Result(
        command="stage",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        outputs=(shown(directory),),
        facts=StageFacts(
            files=len(manifest.files),
            bytes=manifest.size,
            source=what,
            repository=None if found is None else found.repository,
            revision=None if found is None else found.revision,
        ),
        notes=notes,
        next=_next(found, source, directory),
    )


def _whole(beside: Path, target: Path, project: Project) -> Manifest:
    """The tree that was made, on the disk: a manifest can hold all of it."""
    with files.directory(beside) as root:
        manifest = hashing.hash_descriptor(root, name=shown(target), reporter=project.reporter)
        durable.flush(root, manifest, name=shown(target), reporter=project.reporter)
    return manifest


def _left_out(empty: tuple[str, ...]) -> tuple[str, ...]:
    if not empty:
        return ()
    names = ", ".join(map(files.printable, empty[:5])) + (" …" if len(empty) > 5 else "")
    return (f"{counted(len(empty), 'empty folder')} left out: {names}",)


def _next(found: sources.Folder | None, source: Path, directory: Path) -> str | None:
    """The command that seals it. What only the steward knows stands there in capitals."""
    kind, name, version, origin = "KIND", "NAME", "VERSION", source.name
    if found is not None and found.repository is not None:
        kind = {"model": "base", "dataset": "dataset"}.get(found.kind or "", kind)
        name, version = found.repository, found.revision or version
        origin = f"hub:{found.repository}"
    said = ("--as", kind, "--name", name, "--version", version, "--source", origin or "SOURCE")
    return paste.command("seal", directory, *said, "--license", "LICENSE", "--classification", "WHO")
