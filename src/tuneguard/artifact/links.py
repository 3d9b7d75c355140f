"""Lists a folder whose links stay below it: each file by its path, and where it really lies.

A link is resolved component by component. Each folder on the way is opened below the root's descriptor with
``O_NOFOLLOW``, so that nothing outside is ever opened, even where a link is swapped meanwhile. What leads
out of the root, in a circle or nowhere refuses. Who copies opens the real path, which follows no link,
compares the stamp, and lists again in the end: `Listing` is equal to the first one or the source changed.

    >>> import os, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "blob").write_bytes(b"hello")
    ...     pathlib.Path(folder, "link").symlink_to("blob")
    ...     descriptor = os.open(folder, os.O_RDONLY)
    ...     found = listing(descriptor, "", name="demo")
    ...     os.close(descriptor)
    >>> {path: file.real for path, file in found.files.items()}
    {'blob': 'blob', 'link': 'blob'}
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from tuneguard import limits
from tuneguard.artifact.safe_open import Folders, Stamp, open_folder, sizes_of, stamp_of
from tuneguard.artifact.tree import decoded, fault_of_name
from tuneguard.errors import CannotLook, Refused
from tuneguard.files import cannot_look, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Linked:
    """A file: its path below the root without any link, and its stamp."""

    real: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Listing:
    """Every file by the path below the folder that it is to have; the folders that hold none; the links."""

    files: dict[str, Linked]
    empty: tuple[str, ...]
    links: int

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(sizes_of(file.stamp for file in self.files.values()))


def listing(root: int, start: str, *, name: str) -> Listing:
    """What lies below the folder `start` of the one open as `root`; links may lead anywhere below `root`.

    `name` is what messages call `root`. `start` is a path without links, empty for the root itself.

    Raises:
        Refused: a link leaves the root, leads nowhere or in a circle; an entry is no file, folder or link, or
            has a name that no tree can hold.
        CannotLook: a folder cannot be read, or there is more than `limits.STAGED_ENTRIES`.
    """
    return _Walk(root, name).run(start)


class _Walk:
    """One listing under way."""

    def __init__(self, root: int, name: str) -> None:
        self._root = root
        self._name = name
        self._folders = Folders(root)
        self._files: dict[str, Linked] = {}
        self._empty: list[str] = []
        self._entries = 0
        self._links = 0

    def run(self, start: str) -> Listing:
        """Depth first, with a stack of our own: hostile depth costs no frames."""
        stack = [(start, self._below(start, ""))]
        try:
            while stack:
                found = next(stack[-1][1], None)
                if found is None:
                    stack.pop()
                    continue
                real, path = found
                if any(real == above for above, _ in stack):
                    raise self._refused("leads back to a folder that it lies in", path)
                if len(stack) > limits.TREE_DEPTH:
                    raise self._refused(f"lies deeper than {limits.TREE_DEPTH} folders", path)
                stack.append((real, self._below(real, path + "/")))
        finally:
            self._folders.close()
        return Listing(self._files, tuple(self._empty), self._links)

    def _below(self, real: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Take in the files of one folder; gives the real path of each folder in it, and its own."""
        folders = []
        names = self._names(real, prefix)
        if not names:
            self._empty.append(prefix[:-1])
        for name in names:
            path, at = prefix + name, f"{real}/{name}" if real else name
            fault = fault_of_name(name)
            if fault is not None:
                raise self._refused(f"has a name that {fault}", path, help="rename it")
            if len(path.encode()) > limits.PATH_BYTES:
                raise self._refused(f"has a path longer than {limits.PATH_BYTES:,} bytes", path)
            found, status = self._resolve(at, path)
            if stat.S_ISREG(status.st_mode):
                self._files[path] = Linked(found, stamp_of(status))
            elif stat.S_ISDIR(status.st_mode):
                folders.append((found, path))
            else:
                raise self._refused("is neither a file nor a folder", path, help="remove it")
        yield from folders

    def _names(self, real: str, prefix: str) -> list[str]:
        try:
            with os.scandir(self._folders.folder(real)) as entries:
                names = []
                for entry in entries:
                    self._entries += 1
                    if self._entries > limits.STAGED_ENTRIES:
                        what = f"holds more than {limits.STAGED_ENTRIES:,} files and folders"
                        raise CannotLook(what, where=printable(self._name))
                    names.append(decoded(entry.name))
        except OSError as error:
            raise cannot_look(error, f"{self._name}/{prefix}") from error
        return sorted(names)

    def _resolve(self, at: str, path: str) -> tuple[str, os.stat_result]:
        """The real path of what `at` names, and its status. Messages call it `path`."""
        done: list[str] = []
        left = at.split("/")[::-1]
        hops = 0
        status = os.fstat(self._root)
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise self._leaves(path)
                done.pop()
                status = self._status(done, path)
                continue
            done.append(part)
            status = self._status(done, path)
            if stat.S_ISLNK(status.st_mode):
                hops += 1
                if hops > limits.STAGED_LINKS:
                    raise self._refused("is a link that leads in a circle", path, help="remove it")
                target = self._target(done, path)
                if target.startswith("/"):
                    raise self._leaves(path)
                done.pop()
                left += target.split("/")[::-1]
            elif left and not stat.S_ISDIR(status.st_mode):
                self._nowhere(path)
        self._links += hops > 0
        return "/".join(done), status

    def _status(self, parts: list[str], path: str) -> os.stat_result:
        try:
            if not parts:
                return os.fstat(self._root)
            folder = self._folders.folder("/".join(parts[:-1]))
            return os.stat(_raw(parts[-1]), dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno in _GONE:
                self._nowhere(path, error)
            raise cannot_look(error, f"{self._name}/{path}") from error

    def _target(self, parts: list[str], path: str) -> str:
        try:
            folder = self._folders.folder("/".join(parts[:-1]))
            return os.readlink(_raw(parts[-1]), dir_fd=folder).decode("utf-8", "surrogateescape")
        except OSError as error:
            if error.errno == errno.EINVAL:
                self._nowhere(path, error)
            raise cannot_look(error, f"{self._name}/{path}") from error

    def _nowhere(self, path: str, cause: OSError | None = None) -> NoReturn:
        help = "finish the download, or remove the link"
        raise self._refused("is a link that leads nowhere", path, help=help) from cause

    def _leaves(self, path: str) -> Refused:
        help = "replace it by what it points to"
        return self._refused(f"is a link that leaves {printable(self._name)}", path, help=help)

    def _refused(self, what: str, path: str, *, help: str | None = None) -> Refused:
        return Refused(what, where=printable(path), help=help)


def open_real(root: int, file: Linked) -> int | None:
    """A descriptor of a listed file, following no link; None where another file lies there by now.

    Raises:
        OSError: it cannot be opened.
    """
    folder, _, name = file.real.rpartition("/")
    try:
        above = open_folder(root, folder)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    try:
        descriptor = Folders(above).open(name)
    except OSError as error:
        if error.errno in (*_GONE, errno.ENXIO, errno.ENODEV):
            return None
        raise
    finally:
        os.close(above)
    if stamp_of(os.fstat(descriptor)) == file.stamp:
        return descriptor
    os.close(descriptor)
    return None


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
