"""Fetch a model's files into a new folder: all of them as their manifest states, or no folder at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.artifact import digest as hashing
from tuneguard.artifact import durable, snapshot, workdir
from tuneguard.artifact.safe_open import stamp_of
from tuneguard.artifact.tree import survey
from tuneguard.attest import evidence
from tuneguard.display import shown
from tuneguard.errors import Refused, UsageError
from tuneguard.limits import KIB
from tuneguard.oci.transfer import all_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from tuneguard.artifact.safe_open import Stamp
    from tuneguard.attest.evidence import Piece
    from tuneguard.oci.client import Registry
    from tuneguard.oci.manifest import Layer, ModelManifest
    from tuneguard.progress import Task
    from tuneguard.project.project import Project


PIECE = 32 * KIB
"""Bytes written at once: for longer writes Linux takes larger and colder pages, three times the work."""


def refuse_taken(path: Path) -> None:
    """Raises `UsageError` where the target is there already."""
    if path.exists() or path.is_symlink():
        raise UsageError("is there already", where=shown(path), help="pull into a new folder")


def fetch(
    registry: Registry, manifest: ModelManifest, believed: Sequence[Piece], target: Path, project: Project
) -> None:
    """Write every file beside the target, look at all of it as a tree, and give it its name.

    The evidence that was believed, if any, is kept first: so the folder can be verified and traced again.

    Raises:
        Refused: bytes are not what the manifest states. Nothing is left behind.
    """
    folder = evidence.folder_of(target)
    with workdir.partial(target) as beside:
        with (
            project.reporter.task("Pulling", total=manifest.tree.size, unit="bytes") as task,
            ThreadPoolExecutor(registry.concurrency, "flush") as pool,
        ):
            jobs = [
                (layer.size, partial(_write, registry, layer, beside / layer.path, task, pool))
                for layer in manifest.layers
            ]
            written = dict(
                zip((layer.path for layer in manifest.layers), all_of(jobs, registry), strict=True)
            )
        with files.directory(beside) as root:
            durable.flush(root, manifest.tree, name=shown(target), reporter=project.reporter)
            _check_written(root, written, manifest, shown(target))
        new = not folder.exists()
        try:
            for piece in believed:
                evidence.write(folder, piece.kind, piece.data)
            files.rename_new(beside, target)
        except BaseException:
            if new:
                snapshot.remove(folder)
            raise


def _check_written(root: int, written: Mapping[str, Stamp], manifest: ModelManifest, name: str) -> None:
    """See that the folder holds what was written, file by file as it was when its last byte was hashed.

    Stamps show it without reading everything again, as they do while a tree is hashed
    (`tuneguard.artifact.digest`). A file system that moves them after a flush is answered by hashing.

    Raises:
        Refused: it holds something else.
    """
    if survey(root, name=name).files != written and hashing.hash_descriptor(root, name=name) != manifest.tree:
        raise Refused("what was written is not what was verified", where=name, help="pull again")


def _write(registry: Registry, layer: Layer, path: Path, task: Task, pool: Executor) -> Stamp:
    """Write a file, every byte of it verified on the way; returns its stamp when it was whole."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("xb") as file:
            with durable.flushed_meanwhile(file.fileno(), pool) as wrote:
                for chunk in registry.read_blob(layer.digest, layer.size):
                    for start in range(0, len(chunk), PIECE):
                        file.write(memoryview(chunk)[start : start + PIECE])
                    wrote(len(chunk))
                    task.advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())  # while other files still arrive: `durable.flush` finds little to do
            return stamp_of(os.fstat(file.fileno()))
    except OSError as error:
        raise files.cannot_look(error, path) from error
