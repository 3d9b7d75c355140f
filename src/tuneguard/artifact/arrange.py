"""Puts what a training left in order: what no tree can hold becomes what it can, or is left out.

A finished training is not lost for a link ``latest`` or an empty folder. The training is dead, and the tree
is tidied (`tidy`), when this runs::

    file that checkpoint.exclude covers    moved to a folder beside, unsigned
    FIFO, socket, device                   removed
    file with more than one name           each name gets bytes of its own
    link to a file or folder of the tree   a copy takes its place
    any other link                         removed: it leads out, round in a circle, or nowhere
    empty folder                           removed

Links are followed on paper: the tree is listed once, and a link's text is read against that list, so the
kernel follows none. What is copied is then opened one name after the other below the tree's root
(`safe_open`), with the size that it was listed with. Absolute links count from the root where they begin
with a path that the training knew the root by.

Everything is bounded: the bytes and the entries that copies add, the steps on the way of all links together.
A link whose copy has no space is removed, since what it leads to is there under its own name.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact import resolver
from tuneguard.artifact.pattern import Patterns
from tuneguard.artifact.resolver import File, Listing, Way, is_in, join
from tuneguard.artifact.safe_open import FOLDER_FLAGS, Folders, open_folder
from tuneguard.artifact.snapshot import share
from tuneguard.artifact.tree import changed, decoded, fault_of_path
from tuneguard.errors import Refused
from tuneguard.files import cannot_look, printable
from tuneguard.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COPIED, DROPPED = "link-copied", "link-dropped"
EMPTY, SPECIAL = "empty-folder-dropped", "special-file-dropped"
SPLIT, EXCLUDED = "hard-link-split", "file-excluded"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SPARE = 64 * MIB
"""Bytes of the file system that no copy takes: evidence is written next."""
_LONGEST = 1024
"""Characters of a path that are kept."""
_SHOWN = 200
"""Characters of a link's text that are kept."""
_NO_SPACE = "its copy has no space"


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to one entry: its path, printable, one of the words above, and why or to what."""

    path: str
    done: str
    why: str = ""
    size: int = 0


def arrange(
    root: int, *, name: str, most: int, known_as: Sequence[str], exclude: Sequence[str], aside: int | None
) -> tuple[Change, ...]:
    """Put the tree open as `root` in order; what was done, by path.

    Args:
        name: what messages call the tree.
        most: bytes that its files may have together.
        known_as: absolute paths by which the training knew the root.
        exclude: patterns of files that go to the folder open as `aside`, on the same file system.

    Raises:
        Refused: files with more than one name have no space for bytes of their own.
        ChangedWhileRead: somebody else changed the tree meanwhile.
        CannotLook: something cannot be read or written.
    """
    work = _Arranging(root, name, most, tuple(known_as), tuple(exclude))
    try:
        work.read()
        if aside is not None:
            work.exclude(aside)
        work.drop_special()
        work.split()
        work.follow()
        work.drop_empty()
    except OSError as error:
        raise cannot_look(error, name) from error
    finally:
        work.close()
    return tuple(sorted(work.changes, key=lambda change: change.path))


class _Arranging:
    """One tree under way. Paths are as the system gives them, undecodable bytes as surrogates."""

    def __init__(
        self, root: int, name: str, most: int, known_as: tuple[str, ...], exclude: tuple[str, ...]
    ) -> None:
        self.changes: list[Change] = []
        self._root = root
        self._name = name
        self._most = most
        self._known_as = known_as
        self._patterns = Patterns(exclude)
        self._tree = Listing()
        self._folders, self._targets = Folders(root), Folders(root)
        self._free = 0
        self._steps = limits.OUTPUT_LINK_STEPS
        self._entries = limits.OUTPUT_ENTRIES
        self._full = False

    def close(self) -> None:
        """Close the folders that are open."""
        self._folders.close()
        self._targets.close()

    # --- The list ------------------------------------------------------------------------------------

    def read(self) -> None:
        """List the tree, no deeper than a tree may be."""
        stack = [(os.open(".", FOLDER_FLAGS, dir_fd=self._root), "")]
        waiting = [self._look(*stack[0])]
        try:
            while stack:
                folder, path = stack[-1]
                if not waiting[-1] or len(stack) > limits.TREE_DEPTH + 1:
                    os.close(stack.pop()[0])
                    waiting.pop()
                    continue
                below = waiting[-1].pop()
                stack.append((os.open(_raw(below), FOLDER_FLAGS, dir_fd=folder), join(path, below)))
                waiting.append(self._look(*stack[-1]))
        finally:
            for folder, _ in stack:
                os.close(folder)
        system = os.fstatvfs(self._root)
        self._free = max(0, system.f_bavail * system.f_frsize - _SPARE)

    def _look(self, folder: int, path: str) -> list[str]:
        """Take in one folder; the names of the folders in it."""
        below, tree = [], self._tree
        names = tree.names[path] = []
        with os.scandir(folder) as listing:
            for entry in listing:
                name = decoded(entry.name)
                at = join(path, name)
                self._entries -= 1
                if len(at) > limits.PATH_BYTES:
                    continue  # no tree holds it, and the hashing says so
                names.append(name)
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    below.append(name)
                elif stat.S_ISREG(status.st_mode):
                    tree.files[at] = _file(status)
                    tree.bytes += status.st_size
                elif stat.S_ISLNK(status.st_mode):
                    tree.links[at] = self._text(name, folder)
                else:
                    tree.special.append(at)
        return below

    def _text(self, name: str, folder: int) -> str:
        """What a link says; empty, which leads nowhere, once all links together say too much."""
        if self._tree.text > limits.OUTPUT_LINK_TEXT:
            return ""
        text = os.readlink(_raw(name), dir_fd=folder).decode(errors="surrogateescape")
        self._tree.text += len(text)
        return text

    # --- What goes -----------------------------------------------------------------------------------

    def exclude(self, aside: int) -> None:
        """Move the files that the patterns cover; links that they cover are removed."""
        there: set[str] = set()
        for path in [path for path in self._tree.files if self._excluded(path)]:
            size = self._tree.files.pop(path).size
            above, _, name = path.rpartition("/")
            _make_folders(aside, above, there)
            into = open_folder(aside, above)
            try:
                os.rename(_raw(name), _raw(name), src_dir_fd=self._folders.folder(above), dst_dir_fd=into)
            finally:
                os.close(into)
            self._tree.bytes -= size
            self._note(path, EXCLUDED, size=size)
        for path in [path for path in self._tree.links if self._excluded(path)]:
            self._drop(path, "checkpoint.exclude covers it")

    def _excluded(self, path: str) -> bool:
        return self._patterns.cover(path)

    def drop_special(self) -> None:
        """Remove what has no bytes of its own."""
        for path in self._tree.special:
            self._unlink(path)
            self._note(path, SPECIAL)

    def drop_empty(self) -> None:
        """Remove folders that hold no file, from below."""
        full = {""}
        for path in self._tree.files:
            above = path.rpartition("/")[0]
            while above not in full:
                full.add(above)
                above = above.rpartition("/")[0]
        for path in sorted(self._tree.names.keys() - full, reverse=True):
            above, _, name = path.rpartition("/")
            with suppress(FileNotFoundError):
                os.rmdir(_raw(name), dir_fd=self._folders.folder(above))
            self._note(path, EMPTY)

    # --- More than one name ---------------------------------------------------------------------------

    def split(self) -> None:
        """Give each file that has more names bytes of its own; the last name keeps what was there."""
        shared = {path: each for path, each in self._tree.files.items() if each.links > 1}
        here = Counter(shared.values())
        added = sum((count - (count == each.links)) * each.size for each, count in here.items())
        if added > self._free:
            raise Refused(
                f"holds files with more than one name, and {added:,} bytes are not free to part them",
                where=printable(self._name),
                help="have the training copy files where it links them, or free the space, and run again",
            )
        self._free -= added
        for path, each in shared.items():
            source = self._folders.open(path)
            try:
                if os.fstat(source).st_nlink > 1:
                    self._replace(path, source, each.size)
                    self._note(path, SPLIT, size=each.size)
            finally:
                os.close(source)

    def _replace(self, path: str, source: int, size: int) -> None:
        above, _, name = path.rpartition("/")
        folder, between = self._targets.folder(above), f".{secrets.token_hex(12)}.part"
        target = os.open(between, _NEW, 0o600, dir_fd=folder)
        try:
            self._fill(source, target, size, path)
        finally:
            os.close(target)
        os.rename(between, _raw(name), src_dir_fd=folder, dst_dir_fd=folder)

    # --- Links ----------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Put copies in the place of links, those to files first."""
        links = resolver.Resolver(self._tree, self._known_as)
        ways = {path: links.resolve(path) for path in sorted(self._tree.links)}
        made: list[tuple[str, str]] = []
        for path, way in ways.items():
            if way.file is not None:
                planned = self._plan([(path, way.file)])
                made += self._settle(path, planned)
        for path, way in ways.items():
            if way.folder is not None:
                made += self._settle(path, self._plan_folder(path, way.folder, ways))
            elif way.file is None:
                self._drop(path, way.why)
        there = set(self._tree.names)
        for path, source in made:
            self._copy(source, path, there)

    def _settle(self, path: str, planned: list[tuple[str, str]] | str) -> list[tuple[str, str]]:
        """Remove the link at `path`, for the copies that are `planned`, or for a reason to have none."""
        if isinstance(planned, str):
            self._drop(path, planned)
            return []
        self._note(path, COPIED, why=self._tree.links[path][:_SHOWN], size=self._size(planned))
        self._unlink(path)
        return planned

    def _size(self, planned: list[tuple[str, str]]) -> int:
        return sum(self._tree.files[source].size for _, source in planned)

    def _plan(self, copies: list[tuple[str, str]]) -> list[tuple[str, str]] | str:
        """Take the space for copies, of which each is a new path and the file that it is of; or why not."""
        added = self._size(copies)
        if added > min(self._free, self._most - self._tree.bytes) or len(copies) > self._entries:
            return _NO_SPACE
        self._free -= added
        self._tree.bytes += added
        self._entries -= len(copies)
        return copies

    def _plan_folder(self, path: str, folder: str, ways: dict[str, Way]) -> list[tuple[str, str]] | str:
        """The copies that make a link to a folder one, links in it followed; or why there are none."""
        if self._full:
            return _NO_SPACE
        if is_in(path, folder):
            return "leads to a folder that it lies in"
        copies: list[tuple[str, str]] = []
        for pair in self._walk(path, folder, ways):
            copies.append(pair)
            if len(copies) > self._entries:
                self._full = True  # so that many such links are not all walked in vain
                break
        if self._full:
            return _NO_SPACE
        if not copies:
            return resolver.NOWHERE
        return self._plan(copies)

    def _walk(self, path: str, folder: str, ways: dict[str, Way]) -> Iterator[tuple[str, str]]:
        """Each file below `folder`, and its path below `path`. A link back into this walk is left out."""
        stack = [(path, folder, frozenset({folder, path.rpartition("/")[0]}))]
        while stack:
            at, source, around = stack.pop()
            for name in self._tree.names[source]:
                self._steps -= 1
                if self._steps < 0:
                    self._full = True
                    return
                here, there = join(at, name), join(source, name)
                if fault_of_path(here) is not None or self._excluded(here):
                    continue
                if there in ways:
                    way = ways[there]
                    if way.file is not None:
                        yield here, way.file
                    elif way.folder is not None and not any(is_in(each, way.folder) for each in around):
                        stack.append((here, way.folder, around | {way.folder}))
                elif there in self._tree.files:
                    yield here, there
                elif there in self._tree.names:
                    stack.append((here, there, around | {there}))

    # --- Doing it --------------------------------------------------------------------------------------

    def _copy(self, source: str, path: str, there: set[str]) -> None:
        _make_folders(self._root, path.rpartition("/")[0], there)
        original = self._folders.open(source)
        try:
            if not stat.S_ISREG(os.fstat(original).st_mode):
                raise changed(self._name, source)
            target = self._targets.open(path, _NEW)
            try:
                self._fill(original, target, self._tree.files[source].size, source)
            finally:
                os.close(target)
        finally:
            os.close(original)
        self._tree.files[path] = self._tree.files[source]

    def _fill(self, source: int, target: int, size: int, path: str) -> None:
        """Make `target` hold the `size` bytes of `source`, sharing its blocks where the file system can."""
        if os.fstat(source).st_size != size:
            raise changed(self._name, path)
        if share(source, target):
            return
        at = 0
        while at < size:
            data = os.pread(source, min(MIB, size - at), at)
            if not data:
                raise changed(self._name, path)
            at += os.pwrite(target, data, at)

    def _drop(self, path: str, why: str) -> None:
        self._note(path, DROPPED, why=f"{self._tree.links.pop(path)[:_SHOWN]}: {why}")
        self._unlink(path)

    def _unlink(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        os.unlink(_raw(name), dir_fd=self._folders.folder(above))

    def _note(self, path: str, done: str, *, why: str = "", size: int = 0) -> None:
        self.changes.append(Change(printable(path)[:_LONGEST], done, printable(why), size))


def _raw(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _file(status: os.stat_result) -> File:
    if status.st_nlink == 1:
        return File(status.st_size)
    return File(status.st_size, status.st_nlink, (status.st_dev, status.st_ino))


def _make_folders(root: int, path: str, there: set[str]) -> None:
    """Make the folder `path` below `root` and those above it. What is `there` already is not made again."""
    missing = []
    while path and path not in there:
        missing.append(path)
        path = path.rpartition("/")[0]
    for each in reversed(missing):
        above, _, name = each.rpartition("/")
        folder = open_folder(root, above)
        try:
            os.mkdir(_raw(name), 0o700, dir_fd=folder)
        finally:
            os.close(folder)
        there.add(each)
