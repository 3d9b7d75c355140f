"""Working folders: a process locks the one that it uses, which distinguishes leftovers from folders in use.

A hold is an ``flock`` on the folder itself. The kernel lets go of it when the last process that has
its descriptor is dead, however that died; so an unlocked folder is a leftover, and the next
process that works in the same place removes it. Where a file system has no locks for folders,
nothing is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from typing import TYPE_CHECKING

from tuneguard.artifact.removal import remove
from tuneguard.errors import CannotLook, TuneguardError, UsageError
from tuneguard.files import cannot_look, fault_point, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 8


@contextlib.contextmanager
def working(path: Path) -> Iterator[int]:
    """A new folder of ours (0700), held while the context lasts and removed at its end.

    Yields the descriptor that holds it: a child that inherits it holds the folder as well. A folder
    that was given another name meanwhile stays.

    Raises:
        UsageError: the name is taken.
        CannotLook: it cannot be made.
    """
    descriptor = _make(path)
    try:
        yield descriptor
    finally:
        try:
            if _is_still(path, descriptor):
                remove(path)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def partial(target: Path) -> Iterator[Path]:
    """A new folder of ours beside `target`, in which that is made; it gets its name when it is whole.

    What earlier ones left beside it is removed first; one that is under way is held.

    Raises:
        CannotLook: it cannot be made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    stem = f".{target.name[:100]}."
    ours = re.compile(re.escape(stem) + r"[0-9a-f]{12}\.partial")
    sweep([path for path in target.parent.iterdir() if ours.fullmatch(path.name)])
    beside = target.with_name(f"{stem}{secrets.token_hex(6)}.partial")
    with working(beside):
        yield beside


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold a folder that is there and that stays, waiting until it is free.

    Raises:
        CannotLook: it cannot be opened.
    """
    try:
        descriptor = os.open(path, _FOLDER)
    except OSError as error:
        raise cannot_look(error, path) from error
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def left_behind(path: Path) -> Iterator[bool]:
    """Whether `path` is a folder of this user's that nobody holds; nobody can while the context lasts."""
    try:
        descriptor = os.open(path, _FOLDER)
    except OSError:
        yield False
        return
    try:
        ours = os.fstat(descriptor).st_uid == os.geteuid()
        yield ours and _locks(descriptor) and _is_still(path, descriptor)
    finally:
        os.close(descriptor)


def sweep(paths: Iterable[Path]) -> None:
    """Remove each of these folders that nobody holds. What cannot be removed stays: it harms nobody."""
    for path in paths:
        with left_behind(path) as free, contextlib.suppress(TuneguardError, OSError):
            if free:
                remove(path)


def _make(path: Path) -> int:
    """Make the folder and hold it. Between the two a sweep may take it: then it is made again."""
    for _ in range(_TRIES):
        fault_point(f"mkdir:{path.name}")
        try:
            path.mkdir(mode=0o700)
            descriptor = os.open(path, _FOLDER)
        except FileExistsError:
            help = "choose another name, or remove it"
            raise UsageError("already exists", where=printable(os.fspath(path)), help=help) from None
        except FileNotFoundError as error:
            if not path.parent.is_dir():
                raise cannot_look(error, path) from error
            continue
        except OSError as error:
            raise cannot_look(error, path) from error
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)
    raise CannotLook("is removed again and again", where=printable(os.fspath(path)))


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the name still means the folder that was opened."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    opened = os.fstat(descriptor)
    return (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino)
