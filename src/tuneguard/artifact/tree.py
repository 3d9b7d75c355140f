"""Walks a directory closed-world: every entry is a file that a manifest can hold, or a reason to refuse.

::

    walk(root)   →  [Entry(path, size), …]          sorted by the bytes of the paths
    survey(root) →  Survey(files, folders)          the same with stamps: equal again means unchanged

The walk goes by directory descriptors with ``O_NOFOLLOW``. It keeps one descriptor a level, at most
`limits.TREE_DEPTH` and one, and does not recurse. There is no ignore list: what cannot be
represented is a finding, and one finding refuses the tree. Who judges a tree looks at the rest of it as
well, so that one such entry hides nothing: given the list `faults`, the walk adds its findings there and
returns what a manifest can hold, and the caller must refuse where the list is not empty.

=============  ====================================================================================
T-SYMLINK      a symbolic link: its target can change, or lie outside, without a byte changing here
T-SPECIAL      a FIFO, socket or device: it has no bytes of its own
T-EMPTY-DIR    an empty folder, or an empty tree: no file's path would mention it
T-NAME         a name that is not UTF-8 or holds a backslash, a control, a line separator or a
               character that reorders text: tools disagree about it, and people misread it
T-COLLISION    two names of one folder that differ only in letter case or Unicode form: on another
               file system they are one file
T-DEPTH        deeper than `limits.TREE_DEPTH` folders
T-PATH         a path longer than `limits.PATH_BYTES` bytes
T-UNREADABLE   a folder that cannot be read, beside entries that refuse: what lies in it is unknown
T-MORE         more such entries than the `limits.TREE_FAULTS` that are listed
=============  ====================================================================================

Hard links are allowed: they are two names for the same bytes, and both are listed. That another
name outside the tree can write to them is why what is judged is a snapshot. Modes, owners and times
are not part of a tree.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from tuneguard import limits
from tuneguard.artifact.safe_open import FOLDER_FLAGS, Folders, Stamp, sizes_of, stamp_of
from tuneguard.errors import (
    CannotLook,
    ChangedWhileRead,
    ForbiddenTree,
    Interrupted,
    Refused,
    TuneguardError,
)
from tuneguard.files import cannot_look, printable
from tuneguard.findings import Finding, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_SUBPATH = "it belongs to the volume's file system: mount the volume with subPath"
_MENDS = {
    "T-SYMLINK": "replace it by what it points to (`tuneguard stage` does), or remove it",
    "T-SPECIAL": "remove it",
    "T-EMPTY-DIR": "remove it, or put a file into it",
    "T-NAME": "rename it",
    "T-COLLISION": "rename one of them",
    "T-DEPTH": "move what is below it further up, or remove it",
    "T-PATH": "shorten the names, or move it further up",
    "T-UNREADABLE": "let this user read it, and look again",
    "T-MORE": "remove those that are listed, and look again",
}
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_ELSEWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})  # gone, or something else in its place
# U+061C, U+200E/F, U+202A–E, U+2066–9: they reorder what is shown, so that a name reads as another.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PLAIN = re.compile(r"[ -\[\]-~]+").fullmatch  # printable ASCII without the backslash
_PLAIN_PATH = re.compile(r"(?:(?!\.\.?/)[ -.0-\[\]-~]+/)*(?!\.\.?\Z)[ -.0-\[\]-~]+").fullmatch
_UNREADABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file of a tree: its path below the root, ``/``-separated, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Survey:
    """A tree as it stood: the stamp of each file and folder by path, the root's path being empty.

    Files come folder by folder, in no other order.
    """

    files: dict[str, Stamp]
    folders: dict[str, Stamp]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(sizes_of(self.files.values()))


def walk(root: int, *, name: str, faults: list[Finding] | None = None) -> list[Entry]:
    """The files below a directory's descriptor, sorted by the bytes of their paths.

    `name` is what messages call the tree. With `faults`, what cannot be represented is appended there,
    ordered by path, and the other files are returned.

    Raises:
        ForbiddenTree: without `faults`, an entry cannot be represented; its findings name each of them.
        CannotLook: a folder cannot be read, or there are more than `limits.TREE_FILES` files.
    """
    files = survey(root, name=name, faults=faults).files
    # By code point is by UTF-8 bytes: the encoding keeps the order.
    paths = sorted(files)
    return list(map(Entry, paths, sizes_of(map(files.__getitem__, paths))))


def survey(
    root: int,
    *,
    name: str,
    found: Callable[[dict[str, Stamp]], None] | None = None,
    faults: list[Finding] | None = None,
) -> Survey:
    """As `walk`, with the stamps of files and folders. Each folder's files are passed to `found` at once."""
    walker = _Walker(name, found, closed=faults is None)
    walker.descend(root)
    seen = walker.result()
    if faults is not None:
        faults += walker.faults()
    return seen


def forbidden(faults: Sequence[Finding], name: str, also: Sequence[Finding] = ()) -> ForbiddenTree:
    """What refuses the tree called `name`: one sentence over the `faults` of a walk.

    The first by path is named, and how many more there are. Its findings are those, and what is wrong `also`.
    """
    first = faults[0]
    rest = f" (and {len(faults) - 1} more such entries)" if faults[1:] else ""
    at = "" if first.location is None or first.location.path == "." else "/" + first.location.path
    where = printable(name.rstrip("/") or name) + at
    found = tuple(dict.fromkeys((*faults, *also)))
    return ForbiddenTree(first.message + rest, where=where, help=first.fix, findings=found)


@contextlib.contextmanager
def reported_together(faults: Sequence[Finding], name: str) -> Iterator[None]:
    """What ends the work on the tree called `name` is reported together with its `faults`.

    Raises:
        ForbiddenTree: there are faults, and the work ended in any error but an interruption.
    """
    try:
        yield
    except TuneguardError as error:
        if not faults or isinstance(error, ForbiddenTree | Interrupted):
            raise
        joined = forbidden(faults, name, getattr(error, "findings", ()))
        joined.problems += error.problems
        raise joined from error


def check_unchanged(root: int, before: Survey, *, name: str) -> None:
    """Raise ChangedWhileRead unless every file and folder still has the stamp that it had `before`.

    A folder whose stamp is the same holds the same names, so nothing is listed again.
    """
    folders = Folders(root)
    try:
        for path, stamp in before.folders.items():
            if stamp_of(os.fstat(folders.folder(path))) != stamp:
                raise changed(name, path)
        for path, stamp in before.files.items():
            if folders.stamp(path) != stamp:
                raise changed(name, path)
    except OSError as error:
        if error.errno in _ELSEWHERE:
            raise changed(name, path) from error
        raise cannot_look(error, f"{name}/{path}") from error
    finally:
        folders.close()


def open_file(root: int, path: str) -> int:
    """A descriptor of the regular file `path` below the directory `root`, following no link.

    Raises:
        Refused: the path leaves the tree, or a link or something special stands on it.
        ChangedWhileRead: it is no longer there.
        CannotLook: it cannot be opened.
    """
    fault = fault_of_path(path)
    if fault is not None:
        raise Refused(f"is no path below a tree: {fault}", where=printable(path))
    folders = Folders(root)
    try:
        descriptor = folders.open(path)
    except OSError as error:
        raise_opening(error, path)
    finally:
        folders.close()
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused("is not a regular file", where=printable(path))
    return descriptor


def changed(name: str, path: str = "") -> ChangedWhileRead:
    """That the file `path` of the tree called `name`, or what is called so, changed under the reader."""
    return ChangedWhileRead(
        "changed while it was read", where=_at(name, path), help="stop what writes to it, and run again"
    )


def raise_opening(error: OSError, path: str) -> NoReturn:
    """Raise what it means that a file which the walk saw cannot be opened now."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        raise ChangedWhileRead("is no longer there", where=printable(path)) from error
    if error.errno == errno.ELOOP:
        raise Refused("is a symbolic link", where=printable(path), help=_MENDS["T-SYMLINK"]) from error
    if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, or a device without a driver
        raise Refused("is not a regular file", where=printable(path)) from error
    raise cannot_look(error, path) from error


def fault_of_name(name: str) -> str | None:
    """Why `name`, one component of a path, cannot stand in a manifest; None where it can.

    >>> fault_of_name("модель.bin") is None
    True
    >>> fault_of_name("a\\\\b")
    'holds a backslash'
    """
    if name in ("", ".", ".."):
        return "is empty, . or .."
    if _PLAIN(name) and "/" not in name:
        return None
    if any("\udc80" <= character <= "\udcff" for character in name):
        return "is not UTF-8"
    if "\\" in name:
        return "holds a backslash"
    if "/" in name:
        return "holds a slash"
    if any(unicodedata.category(character) in _UNREADABLE for character in name):
        return "holds a control character or a line separator"
    if not _REORDERING.isdisjoint(name):
        return "holds a character that reorders text"
    return None


def fault_of_path(path: str) -> str | None:
    """Why `path` cannot stand in a manifest: too long, too deep, absolute, leaving the tree, or a name."""
    if len(path) <= limits.TREE_DEPTH and _PLAIN_PATH(path):
        return None  # as nearly always; so short a path cannot hold too many folders
    if path.startswith("/"):
        return "is absolute"
    if len(path.encode("utf-8", "surrogatepass")) > limits.PATH_BYTES:
        return f"is longer than {limits.PATH_BYTES:,} bytes"
    names = path.split("/")
    if len(names) > limits.TREE_DEPTH + 1:
        return f"is deeper than {limits.TREE_DEPTH} folders"
    return next((fault for fault in map(fault_of_name, names) if fault is not None), None)


def fold(name: str) -> str:
    """A key that is equal for names which a file system may take for one.

    Canonical caseless matching, Unicode chapter 3, D145: what HFS+, APFS, NTFS and ext4's casefold do
    is a subset of it.

    >>> fold("README") == fold("readme"), fold("caf\\u00e9") == fold("cafe\\u0301")
    (True, True)
    """
    if name.isascii():
        return name.lower()
    decomposed = unicodedata.normalize("NFD", name).casefold()
    return unicodedata.normalize("NFD", decomposed)


class _Walker:
    """One walk under way: what it found so far, and what forbids it."""

    def __init__(self, name: str, found: Callable[[dict[str, Stamp]], None] | None, *, closed: bool) -> None:
        self._name = name
        self._found = found
        self._closed = closed
        self._files: dict[str, Stamp] = {}
        self._folders: dict[str, Stamp] = {}
        self._findings: list[tuple[str, Finding]] = []
        self._unlisted = 0
        self._unreadable: CannotLook | None = None
        self._unread = ""

    def descend(self, root: int) -> None:
        """Look at every folder, depth first, with a stack of our own: hostile depth costs no frames."""
        stack: list[tuple[int, str, list[str]]] = []
        try:
            descriptor = os.dup(root)
            stack.append((descriptor, "", []))
            stack[-1][2].extend(self._look(descriptor, ""))
            while stack:
                descriptor, prefix, left = stack[-1]
                if not left:
                    stack.pop()
                    os.close(descriptor)
                    continue
                path = prefix + left.pop()
                below = self._enter(descriptor, path, depth=len(stack))
                if below is not None:
                    stack.append((below, path + "/", []))
                    stack[-1][2].extend(self._look(below, path + "/"))
        finally:
            for descriptor, _, _ in stack:
                os.close(descriptor)

    def result(self) -> Survey:
        """The survey. Forbidden entries are reported before unreadable ones: a refusal is final."""
        if self._findings and self._closed:
            raise forbidden(self.faults(), self._name)
        if self._unreadable is not None and not self._findings:
            raise self._unreadable
        return Survey(self._files, self._folders)

    def faults(self) -> list[Finding]:
        """What forbids the tree, ordered by path."""
        found = [finding for _, finding in sorted(self._findings, key=lambda found: found[0])]
        if self._unreadable is not None:
            found.append(_fault("T-UNREADABLE", self._unread, f"cannot be read: {self._unreadable.what}"))
        if self._unlisted:
            found.append(_fault("T-MORE", ".", f"holds {self._unlisted:,} more such entries"))
        return found

    def _enter(self, above: int, path: str, *, depth: int) -> int | None:
        """A descriptor of the folder `path`, the last component of which lies in `above`."""
        if depth > limits.TREE_DEPTH:
            self._forbid("T-DEPTH", path, f"lies deeper than {limits.TREE_DEPTH} folders")
            return None
        try:
            return os.open(path.rpartition("/")[2].encode(), FOLDER_FLAGS, dir_fd=above)
        except OSError as error:
            if error.errno in _ELSEWHERE:
                raise changed(self._name, path) from error
            self._could_not(error, path)
            return None

    def _look(self, descriptor: int, prefix: str) -> list[str]:
        """Take in one folder's files; returns the names of the folders in it."""
        try:
            self._folders[prefix[:-1]] = stamp_of(os.fstat(descriptor))
            with os.scandir(descriptor) as listing:
                return self._sort_out(listing, prefix)
        except OSError as error:
            self._could_not(error, prefix[:-1])
            return []

    def _sort_out(self, listing: Iterable[os.DirEntry[str]], prefix: str) -> list[str]:
        left = limits.TREE_FILES - len(self._files) - len(self._findings) - self._unlisted
        entries = {decoded(entry.name): entry for entry in islice(listing, left + 1)}
        if len(entries) > left:
            raise CannotLook(f"holds more than {limits.TREE_FILES:,} files", where=_at(self._name, ""))
        if not entries:
            self._forbid("T-EMPTY-DIR", prefix[:-1], "is an empty folder")
            return []
        folders: list[str] = []
        files: dict[str, Stamp] = {}
        for name in self._acceptable(list(entries), prefix):
            path = prefix + name
            try:
                status = entries[name].stat(follow_symlinks=False)
            except FileNotFoundError as error:
                raise changed(self._name, path) from error
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFREG:
                files[path] = stamp_of(status)
            elif kind == stat.S_IFDIR:
                folders.append(name)
            else:
                self._forbid_kind(kind, path)
        self._files.update(files)
        if self._found is not None:
            self._found(files)
        return folders

    def _acceptable(self, names: list[str], prefix: str) -> list[str]:
        """Those of one folder's names that can stand in a manifest; the others are findings."""
        self._forbid_twins(names, prefix)
        if _PLAIN("".join(names)) and len(prefix.encode()) + max(map(len, names)) <= limits.PATH_BYTES:
            return names  # as nearly always: one look at all of them
        return [name for name in names if self._is_acceptable(name, prefix + name)]

    def _forbid_twins(self, names: list[str], prefix: str) -> None:
        if len(set(map(fold, names))) == len(names):
            return
        first: dict[str, str] = {}
        for name in names:
            twin = first.setdefault(fold(name), name)
            if twin is not name:
                message = f"differs from {printable(twin)} only in case or Unicode form"
                self._forbid("T-COLLISION", prefix + name, message)

    def _is_acceptable(self, name: str, path: str) -> bool:
        fault = fault_of_name(name)
        if fault is not None:
            self._forbid("T-NAME", path, f"has a name that {fault}")
            return False
        if len(path.encode()) > limits.PATH_BYTES:
            self._forbid("T-PATH", path, f"has a path longer than {limits.PATH_BYTES:,} bytes")
            return False
        return True

    def _forbid_kind(self, kind: int, path: str) -> None:
        if kind == stat.S_IFLNK:
            self._forbid("T-SYMLINK", path, "is a symbolic link")
        else:
            self._forbid("T-SPECIAL", path, f"is {_SPECIAL.get(kind, 'a special file')}")

    def _forbid(self, rule: str, path: str, message: str) -> None:
        if len(self._findings) == limits.TREE_FAULTS:
            self._unlisted += 1
            return
        self._findings.append((path, _fault(rule, path, message)))
        if self._closed and len(self._findings) == limits.TREE_FAULTS:
            raise forbidden(self.faults(), self._name)

    def _could_not(self, error: OSError, path: str) -> None:
        """Keep the first folder that cannot be read, and go on: a forbidden entry is the better report."""
        if self._unreadable is None:
            found = cannot_look(error, f"{self._name}/{path}" if path else self._name)
            if path == "lost+found":
                found = CannotLook(found.what, where=_at(self._name, path), help=_SUBPATH)
            found.__cause__ = error
            self._unreadable, self._unread = found, path


def _fault(rule: str, path: str, message: str) -> Finding:
    fix = _SUBPATH if path == "lost+found" else _MENDS[rule]
    return Finding(rule, Severity.HIGH, message, Location(printable(path or ".")), fix=fix)


def decoded(name: str) -> str:
    """A name as its bytes in UTF-8, whatever the locale made of them; what is not UTF-8 as surrogates."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def _at(name: str, path: str) -> str:
    return printable(f"{name.rstrip('/')}/{path}" if path else name)
