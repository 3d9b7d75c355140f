"""Takes a private copy of a tree, and the manifest of that copy: what is judged is what was hashed.

Anyone who can write to a folder can change it between any two looks at it. So nothing is verified,
scanned, evaluated or pushed in place: a snapshot is taken first, and the bytes that are hashed are
the copy's, read back from it. If the source is rewritten meanwhile, the copy may hold a mixture;
then the copy's digest is not the one that was signed, and usually we notice and refuse at once.

========  =========================================================================================
reflink   the file system shares the blocks (btrfs, XFS): no bytes are copied
copy      the bytes are copied, and each piece is hashed from the copy while it is in memory
bind      too large to copy (`copy_limit`) where nothing can be shared: the source itself
========  =========================================================================================

Snapshots belong to this user alone: folders 0500, files 0400, whatever the source had. Modes are not
part of a tree, and no snapshot holds anything that can be executed by its name. They are working
copies and are not flushed to disk: after a crash they are taken again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.artifact.digest import hash_descriptor
from tuneguard.artifact.hasher import Hasher, Unsteady
from tuneguard.artifact.manifest import Manifest
from tuneguard.artifact.parallel import Lanes
from tuneguard.artifact.removal import remove
from tuneguard.artifact.safe_open import Folders, Stamp, stamp_of
from tuneguard.artifact.tree import Survey, check_unchanged, survey
from tuneguard.errors import UsageError
from tuneguard.files import cannot_look, directory, printable
from tuneguard.limits import KIB, MIB
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneguard.findings import Finding
    from tuneguard.progress import Reporter

__all__ = ["Snapshot", "remove", "share", "take"]

PIECE = 8 * MIB
"""Bytes that are copied before they are hashed: still in the processor's cache, or at least in memory."""
WRITTEN_AT_ONCE = 128 * KIB
"""Bytes of one write: for longer ones Linux takes larger and colder pages, four times the work."""
_FICLONE = 0x40049409  # linux/fs.h: _IOW(0x94, 9, int)
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CANNOT_SHARE = frozenset(
    {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM, errno.ETXTBSY}
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tree that nobody else writes to. ``how`` is ``reflink``, ``copy`` or ``bind``.

    ``bind`` means that `path` is the source itself, too large to copy: hash it again before
    anything is signed about it, and record the weaker isolation control.
    """

    path: Path
    manifest: Manifest
    how: str


def take(
    source: str | Path,
    target: Path,
    *,
    reporter: Reporter = SILENT,
    copy_limit: int | None = None,
    faults: list[Finding] | None = None,
    keep: Callable[[str], bool] | None = None,
) -> Snapshot:
    """Copy the tree at `source` to the new folder `target`, and hash the copy.

    Args:
        source: a folder; its last component may not be a link.
        target: a folder that does not exist yet, in one that does. Nothing is left of it on failure.
        copy_limit: bytes above which a tree that cannot be shared is left where it is (``bind``).
        keep: whether a file of this path is copied; without it all are.
        faults: receives what a manifest cannot hold, as in `digest.hash_tree`; the copy is of the rest.

    Raises:
        UsageError: `source` is not there, or `target` is.
        ForbiddenTree: without `faults`, `source` holds what a manifest cannot.
        ChangedWhileRead: `source` changed meanwhile.
        CannotLook: something cannot be read or written.
    """
    name = os.fspath(source)
    with directory(source) as root:
        before = survey(root, name=name, faults=faults)
        if keep is not None:
            before = _kept(before, keep)
        _make(target)
        try:
            with directory(target) as top:
                copy = _Copy(root, top, before, name)
                if copy.shares() or copy_limit is None or before.size <= copy_limit:
                    return Snapshot(target, copy.fill(reporter), "reflink" if copy.shared else "copy")
            remove(target)
        except BaseException:
            remove(target)
            raise
        faults = None if faults is None else []  # reported above
        manifest = hash_descriptor(root, name=name, reporter=reporter, faults=faults)
        return Snapshot(Path(source), manifest, "bind")


def _kept(before: Survey, keep: Callable[[str], bool]) -> Survey:
    """The files to keep, and the folders that hold one."""
    files = {path: stamp for path, stamp in before.files.items() if keep(path)}
    full = {""}
    for path in files:
        above = path.rpartition("/")[0]
        while above not in full:
            full.add(above)
            above = above.rpartition("/")[0]
    return Survey(files, {path: stamp for path, stamp in before.folders.items() if path in full})


def _make(target: Path) -> None:
    try:
        target.mkdir(mode=0o700)
    except FileExistsError:
        help = "choose another name, or remove it"
        raise UsageError("already exists", where=printable(os.fspath(target)), help=help) from None
    except OSError as error:
        raise cannot_look(error, target) from error


class _Copy:
    """One copy under way, from the folder open as `root` into the empty one open as `top`."""

    def __init__(self, root: int, top: int, before: Survey, name: str) -> None:
        self.root = root
        self.top = top
        self.shared = False
        self._before = before
        self._name = name

    def shares(self) -> bool:
        """Whether blocks can be shared, found out by doing it once."""
        if not self._before.files:
            return False
        sources, probe = Folders(self.root), "probe"
        path = max(self._before.files, key=self._before.files.__getitem__)
        try:
            original = sources.open(path)
            try:
                descriptor = os.open(probe, _NEW_FILE, 0o600, dir_fd=self.top)
                try:
                    self.shared = share(original, descriptor)
                finally:
                    os.close(descriptor)
                    os.unlink(probe, dir_fd=self.top)
            finally:
                os.close(original)
        except OSError as error:
            raise cannot_look(error, f"{self._name}/{path}") from error
        finally:
            sources.close()
        return self.shared

    def fill(self, reporter: Reporter) -> Manifest:
        """Copy and hash every file; the manifest of what the copy holds."""
        self._each_folder(sorted(self._before.folders), partial(os.mkdir, mode=0o700))
        with Lanes(self.root, self._name, hasher=partial(_Copier, self)) as lanes:
            lanes.offer(self._before.files)
            with reporter.task("Copying", total=self._before.size, unit="bytes") as task:
                files = lanes.finish(task)
            manifest = lanes.rechecked(lambda: Manifest.of(files))
        check_unchanged(self.root, Survey({}, self._before.folders), name=self._name)
        self._each_folder(sorted(self._before.folders, reverse=True), _protect)
        os.fchmod(self.top, 0o500)
        return manifest

    def _each_folder(self, paths: list[str], act: Callable[..., None]) -> None:
        """Call `act` with the name of each folder of the copy and ``dir_fd``, that of the one above."""
        targets = Folders(self.top)
        try:
            for path in filter(None, paths):
                above, _, name = path.rpartition("/")
                act(name.encode(), dir_fd=targets.folder(above))
        except OSError as error:
            raise cannot_look(error, f"the copy of {self._name}/{path}") from error
        finally:
            targets.close()


class _Copier(Hasher):
    """Copies files, and hashes what it copied from the copy."""

    def __init__(self, copy: _Copy, progress: Callable[[int], None]) -> None:
        super().__init__(copy.root, progress)
        self._copy = copy
        self._targets = Folders(copy.top)
        self._piece = memoryview(bytearray(WRITTEN_AT_ONCE))

    def hash(self, path: str) -> tuple[bytes, Stamp]:
        """Copy the file `path`; the SHA-256 of the copy, and the source's stamp.

        Raises:
            OSError: the source cannot be read, or the copy not written.
            Unsteady: the source is no regular file, or its size changed.
        """
        source = self.folders.open(path)
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise Unsteady
            target = self._targets.open(path, _NEW_FILE)
            try:
                digest = self._fill(source, target, status.st_size)
                os.fchmod(target, 0o400)
            finally:
                os.close(target)
        finally:
            os.close(source)
        return digest, stamp_of(status)

    def close(self) -> None:
        """Close the folders that are open."""
        super().close()
        self._targets.close()

    def _fill(self, source: int, target: int, size: int) -> bytes:
        """Copy `size` bytes, and hash them as `target` now holds them."""
        digest = hashlib.sha256()
        shared = self._copy.shared and share(source, target)
        if not shared:
            self._copy.shared = False  # or another file system is mounted inside the source
        for start in range(0, size, PIECE):
            count = min(PIECE, size - start)
            if not shared:
                self._move(source, target, start, count)
            self.feed(digest, target, count)
        if os.fstat(source).st_size != size or os.fstat(target).st_size != size:
            raise Unsteady
        return digest.digest()

    def _move(self, source: int, target: int, start: int, count: int) -> None:
        """Copy `count` bytes at `start`. The descriptors' own offsets, which `feed` uses, stay put."""
        while count:
            read = os.preadv(source, (self._piece[: min(count, len(self._piece))],), start)
            if not read:
                raise Unsteady
            written = os.pwrite(target, self._piece[:read], start)
            start, count = start + written, count - written


def share(source: int, target: int) -> bool:
    """Make `target` share all blocks of `source`, both open files; False where that cannot be."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT_SHARE:
            return False
        raise
    return True


def _protect(name: bytes, *, dir_fd: int) -> None:
    os.chmod(name, 0o500, dir_fd=dir_fd)  # our own folders, in one that only we can write to
