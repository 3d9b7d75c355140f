"""The new folder that is filled: each file once, below the folder, by a name that a tree can hold."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact.tree import fault_of_path
from tuneguard.errors import CannotLook, Refused
from tuneguard.files import cannot_look, printable

if TYPE_CHECKING:
    from pathlib import Path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Target:
    """A folder of ours, in which nobody else writes: it holds no link, so a path below it stays below it."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._files: set[str] = set()
        self._folders: set[str] = {""}

    def create(self, path: str) -> int:
        """A descriptor of the new file `path`, and the folders above it.

        Raises:
            Refused: no tree can hold the path, or the source has it twice, or as a file and a folder.
            CannotLook: it cannot be written, or there are more than `limits.STAGED_ENTRIES`.
        """
        fault = fault_of_path(path)
        if fault is not None:
            raise self._refused(f"has a path that {fault}", path)
        if path in self._files:
            raise self._refused("comes twice", path)
        above = path.rpartition("/")[0]
        missing = []
        while above not in self._folders:
            if above in self._files:
                raise self._refused("is a file and a folder", above)
            missing.append(above)
            above = above.rpartition("/")[0]
        if path in self._folders:
            raise self._refused("is a file and a folder", path)
        if len(self._files) + len(self._folders) + len(missing) >= limits.STAGED_ENTRIES:
            what = f"holds more than {limits.STAGED_ENTRIES:,} files and folders"
            raise CannotLook(what, where=printable(self._name))
        try:
            for folder in reversed(missing):
                (self._path / folder).mkdir(mode=0o700)
            descriptor = os.open(self._path / path, _NEW_FILE, 0o600)
        except OSError as error:
            raise cannot_look(error, self._path / path) from error
        self._folders.update(missing)
        self._files.add(path)
        return descriptor

    def _refused(self, what: str, path: str) -> Refused:
        return Refused(what, where=printable(f"{self._name}: {path}"), help="make the archive anew")
