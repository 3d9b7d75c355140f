"""What a source is: a snapshot in the Hugging Face Hub's cache, another folder, or an archive.

The cache keeps each repository in a folder of its own::

    models--ORG--NAME/
        blobs/SHA-256            the files
        snapshots/COMMIT/…       links into blobs/
        refs/main                the commit that a branch or tag meant

Source: huggingface_hub 1.0, ``file_download.py`` and ``constants.py``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import tree
from tuneguard.errors import Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.artifact.links import Linked
    from tuneguard.artifact.manifest import Manifest

_REPOSITORY = re.compile(r"(model|dataset|space)s--(.+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to copy: what lies below `start` of `root`. Links may lead anywhere below `root`.

    `repository`, `kind` and `revision` are those of a snapshot in the Hub's cache.
    """

    root: Path
    start: str = ""
    repository: str | None = None
    kind: str | None = None
    revision: str | None = None


def find(source: Path, revision: str | None) -> Folder | None:
    """The folder that `source` names, or None where it is an archive.

    Raises:
        UsageError: a revision is named and there is no such one, or none and there are several.
    """
    path = Path(os.path.abspath(source))
    found = _REPOSITORY.fullmatch(path.name)
    if found and (path / "snapshots").is_dir():
        return _of_cache(path, found, _revision(path, revision))
    above = path.parent.parent
    found = _REPOSITORY.fullmatch(above.name)
    if revision is not None:
        raise UsageError(
            "a revision is one of a repository in the Hugging Face Hub's cache",
            where=files.printable(os.fspath(source)),
            help="name the folder models--ORG--NAME, or leave --revision out",
        )
    if found and path.parent.name == "snapshots":
        return _of_cache(above, found, path.name)
    return Folder(path) if path.is_dir() or (path.is_symlink() and not path.is_file()) else None


def check_blobs(listed: Mapping[str, Linked], manifest: Manifest) -> None:
    """See that each large file is what its blob's name says: the cache names those by their SHA-256.

    Raises:
        Refused: one is not, a download that was cut short or changed since.
    """
    for file in manifest.files:
        folder, _, name = listed[file.path].real.rpartition("/")
        if folder == "blobs" and _SHA256.fullmatch(name) and name != file.sha256:
            raise Refused(
                "is not the file that its name in the cache says",
                where=files.printable(file.path),
                help="remove it from the cache, and download it again",
            )


def _of_cache(repository: Path, found: re.Match[str], revision: str) -> Folder:
    return Folder(repository, f"snapshots/{revision}", found[2].replace("--", "/"), found[1], revision)


def _revision(repository: Path, named: str | None) -> str:
    """The commit that `named` means: itself, or what a ref says; without a name, ``main`` or the only one."""
    there = sorted(path.name for path in (repository / "snapshots").iterdir())
    if named is not None and named in there:
        return named
    said = _ref(repository, named or "main")
    if said in there:
        return said
    if named is None and len(there) == 1:
        return there[0]
    raise UsageError(
        "no snapshot of it is in the cache" if named else "which snapshot of it is meant is not said",
        where=files.printable(f"{repository.name}{f'@{named}' if named else ''}"),
        help="--revision, one of " + ", ".join(map(files.printable, there[:5]))
        if there
        else "download it first",
    )


def _ref(repository: Path, name: str) -> str | None:
    """What ``refs/NAME`` says, if it is there."""
    if tree.fault_of_path(name) is not None or not (repository / "refs" / name).is_file():
        return None
    with files.directory(repository / "refs") as refs:
        descriptor = tree.open_file(refs, name)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(limits.KIB).decode("ascii", "replace").strip()
