"""Hashes a tree on all cores: a directory in, a `Manifest` out.

::

    survey  →  jobs, largest first  →  one lane a core (`lanes`)  →  look again  →  Manifest

A file that changes while the tree is hashed refuses: each file's stamp at its opening, and the
whole tree's afterwards, must be those of the first survey. That also finds a small file that was
swapped after its turn, while a large one was still being hashed. What it cannot find is a store
through a shared mapping, which may move no time stamp; who must be safe from that takes a
`snapshot` first.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "hello.txt").write_bytes(b"hello")
    ...     manifest = hash_tree(folder)
    >>> manifest.files[0].sha256[:12], manifest.size
    ('2cf24dba5fb0', 5)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.artifact.hasher import Hasher, Unsteady
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.artifact.parallel import Lanes
from tuneguard.artifact.safe_open import FILE_FLAGS, stamp_of
from tuneguard.artifact.tree import Survey, changed, check_unchanged, raise_opening, survey
from tuneguard.errors import Refused
from tuneguard.files import cannot_look, directory, missing, printable
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from tuneguard.findings import Finding
    from tuneguard.progress import Reporter


def hash_tree(
    root: str | Path,
    *,
    reporter: Reporter = SILENT,
    workers: int | None = None,
    faults: list[Finding] | None = None,
) -> Manifest:
    """The manifest of the directory at `root`.

    Args:
        root: a folder; its last component may not be a link.
        workers: lanes; by default one for each core that this process may use.
        faults: receives what a manifest cannot hold, so that the caller reports it with all else that is
            wrong and refuses. The manifest is then of the rest, and no tree's.

    Raises:
        UsageError: `root` is not there or no folder.
        Refused: `root` is a link.
        ForbiddenTree: without `faults`, it holds what a manifest cannot; the findings name each entry.
        ChangedWhileRead: something in it changed meanwhile.
        CannotLook: something in it cannot be read.
    """
    with directory(root) as descriptor:
        return hash_descriptor(
            descriptor, name=os.fspath(root), reporter=reporter, workers=workers, faults=faults
        )


def hash_descriptor(
    root: int,
    *,
    name: str,
    reporter: Reporter = SILENT,
    workers: int | None = None,
    faults: list[Finding] | None = None,
) -> Manifest:
    """The manifest of the directory open as `root`, which messages call `name`. Raises as `hash_tree`."""
    with Lanes(root, name, workers) as lanes:
        before = survey(root, name=name, found=lanes.offer, faults=faults)
        with reporter.task("Hashing", total=before.size, unit="bytes") as task:
            files = lanes.finish(task)
        manifest = lanes.rechecked(lambda: Manifest.of(files))
    check_unchanged(root, Survey({}, before.folders), name=name)
    return manifest


def hash_file(path: str | Path) -> File:
    """Size and SHA-256 of one regular file; its ``path`` is the file's own name.

    Raises:
        UsageError: it is not there.
        Refused: it is a link or not a regular file.
        ChangedWhileRead: it changed meanwhile.
        CannotLook: it cannot be read.
    """
    name = os.fspath(path)
    try:
        descriptor = os.open(path, FILE_FLAGS)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise_opening(error, name)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Refused("is not a regular file", where=printable(name))
        digest, _ = Hasher(descriptor).hash_open(descriptor)
        if stamp_of(before) != stamp_of(os.fstat(descriptor)):
            raise changed(name)
    except Unsteady:
        raise changed(name) from None
    except OSError as error:
        raise cannot_look(error, path) from error
    finally:
        os.close(descriptor)
    return File(Path(path).name, before.st_size, digest.hex())
