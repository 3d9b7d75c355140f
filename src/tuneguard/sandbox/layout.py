"""What the sandbox's root holds: a list of places, the same for every backend.

Nothing is taken away from the machine's file system; everything is put into an empty one. Bound
read-only: the system's libraries and programs (``/usr`` and its kin), the interpreter's two
prefixes at their own paths, a few files of ``/etc`` that hold no secret, and what the caller asked
for. Made new: ``/tmp``, ``/dev`` with five devices, ``/proc``, and the accounts of a machine that
has one user. Of a home folder there is only the interpreter, if it lives there.
"""

from __future__ import annotations

import os
import posixpath
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.errors import Refused, UsageError
from tuneguard.files import missing, printable
from tuneguard.sandbox.controls import Bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneguard.sandbox.controls import Confinement

SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Top folders with programs and libraries: bound, or linked as the machine links them."""

SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "alternatives")
"""What of ``/etc`` is bound: where the loader finds libraries, and the time zone."""

DEVICES = ("null", "zero", "full", "random", "urandom")

PROCESSORS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
"""The part of ``/sys`` that numerical libraries read to know the processor."""

LONGEST_WAY = 400
"""How many parts of paths are looked at on the way to the interpreter."""

HIDDEN_FILES = (
    "kcore",
    "keys",
    "key-users",
    "kallsyms",
    "kmsg",
    "sysrq-trigger",
    "timer_list",
    "sched_debug",
)
"""Files of ``/proc`` that show the whole machine to its root, which a root of before may still be."""

UID = 1000
"""Uid and gid inside, where a user namespace maps them to others outside."""

DROPPED = 0x7F800000
"""Where root runs this, uid and gid outside are this and the process id of the sandbox's init: no two of
a machine have the same at one time, and nobody else has any of these four million. They lie above what
containers are given (up to 0x6FFFFFFF) and below what systemd keeps for itself (from 0x7FFE0000)."""

SCRATCH = "/scratch"

HOST = "sandbox"
"""The host's name inside. It leads to loopback, where the processes of a training look for each other."""

MADE = {
    "passwd": f"tuneguard:x:{UID}:{UID}::/tmp:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "group": f"tuneguard:x:{UID}:\nnogroup:x:65534:\n",
    "hosts": f"127.0.0.1 localhost {HOST}\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
"""Files of ``/etc`` that are made up."""


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the root. ``kind`` is ``bind``, ``tmpfs``, ``link`` or ``proc``.

    ``source`` is a path of this machine, or a link's text. ``identity`` is the source's device and
    inode as the supervisor saw it. ``size`` bounds a tmpfs in bytes. ``own`` marks what the command
    must be able to use as its owner can, also when it runs under a uid that owns nothing.
    """

    kind: str
    target: str
    source: str = ""
    writable: bool = False
    device: bool = False
    identity: tuple[int, int] = (0, 0)
    size: int | None = None
    mode: int = 0o755
    own: bool = False


def places(confinement: Confinement, made: Path, own: tuple[Bind, ...] = ()) -> tuple[Place, ...]:
    """Everything in the root, parents before what is below them.

    `made` is a folder that holds the files of `MADE`; `own` are binds of the backend's own.

    Raises:
        UsageError: something that is to be bound is not there, or the interpreter lives in a folder
            that cannot be shown without showing a home.
        Refused: another file or folder has taken the place of one with an identity.
    """
    system = [*_system(), *_settings(made), *_same_paths(PROCESSORS)]
    packages = _same_paths(os.path.abspath(path) for path in confinement.packages)
    given = [] if confinement.gpus is None else confinement.gpus.edits.files
    owned = [*_same_paths(_interpreter()), *packages, *own, *confinement.binds]
    drivers = [Bind(each.source, each.target) for each in given]
    binds = [*(_bind(bind) for bind in [*system, *drivers]), *(_bind(bind, own=True) for bind in owned)]
    found = [
        *_without_covered(binds),
        *_links(),
        *_links_to(os.path.abspath(sys.executable), [bind.target for bind in [*system, *owned]]),
        *_own_file_systems(confinement),
        *_devices(confinement),
        *_hidden(),
    ]
    unique = {place.target: place for place in found}
    return tuple(sorted(unique.values(), key=lambda place: place.target.split("/")))


def top(everything: tuple[Place, ...]) -> list[str]:
    """The names that the root then holds, sorted."""
    return sorted({place.target.split("/")[1] for place in everything})


def _system() -> Iterator[Bind]:
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_dir() and not path.is_symlink():
            yield Bind(path, f"/{name}")


def _links() -> Iterator[Place]:
    """``/bin`` and its kin where the machine has them as links into ``/usr``, and ``/dev``'s usual ones."""
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            yield Place("link", f"/{name}", os.readlink(path))
    yield Place("link", "/dev/fd", "/proc/self/fd")
    for at, name in enumerate(("stdin", "stdout", "stderr")):
        yield Place("link", f"/dev/{name}", f"/proc/self/fd/{at}")


def _links_to(program: str, shown: list[str]) -> Iterator[Place]:
    """The links on the way to `program` that are not in one of the `shown` folders.

    A virtual environment's ``python`` is a link to the interpreter that made it, which may be a link
    itself, for example one in ``~/.local/bin``.
    """
    reached, left = "/", program.split("/")
    for _ in range(LONGEST_WAY):
        if not left:
            return
        path = posixpath.normpath(posixpath.join(reached, left.pop(0)))
        if not os.path.islink(path) or any(folder.startswith(path + "/") for folder in shown):
            reached = path
            continue
        text = os.readlink(path)
        if not any(path.startswith(folder + "/") for folder in shown):
            yield Place("link", path, text)
        reached, left = "/" if text.startswith("/") else reached, [*text.split("/"), *left]


def _settings(made: Path) -> Iterator[Bind]:
    for name in SETTINGS:
        path = Path("/etc", name)
        if path.exists():
            yield Bind(Path(os.path.realpath(path)), f"/etc/{name}")
    for name in MADE:
        yield Bind(made / name, f"/etc/{name}")


def _interpreter() -> Iterator[str]:
    """The prefixes of the interpreter that runs us, by the path that it uses and by the real one.

    Raises:
        UsageError: a prefix holds the home folder of the user who runs this.
    """
    home = os.path.realpath(os.path.expanduser("~"))  # Path's raises for a uid that has no account
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)):
        for path in dict.fromkeys((os.path.abspath(prefix), os.path.realpath(prefix))):
            if (home + "/").startswith(path.rstrip("/") + "/"):
                raise UsageError(
                    "the Python installation cannot be shown to a sandbox without showing your home folder",
                    where=printable(prefix),
                    help="install Tuneguard into a virtual environment in a folder of its own",
                )
            yield path


def _same_paths(paths: Iterable[str]) -> list[Bind]:
    """Binds at their own paths of what there is of `paths`."""
    return [Bind(Path(path), path) for path in paths if Path(path).exists()]


def _bind(bind: Bind, *, own: bool = False) -> Place:
    source = os.path.realpath(bind.source)
    try:
        info = os.stat(source, follow_symlinks=False)
    except FileNotFoundError:
        raise missing(bind.source) from None
    except OSError as error:
        raise UsageError(
            f"cannot be shown to the sandbox: {(error.strerror or str(error)).lower()}",
            where=printable(str(bind.source)),
            help="check the path and its permissions",
        ) from error
    if not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
        raise UsageError(
            "is neither a file nor a folder, so no sandbox is given it", where=printable(str(bind.source))
        )
    if bind.identity not in (None, (info.st_dev, info.st_ino)):
        raise Refused(
            "is another file or folder than the one that was to be shown to the sandbox",
            where=printable(str(bind.source)),
            help="find out who can write beside it",
        )
    return Place("bind", bind.target, source, bind.writable, identity=(info.st_dev, info.st_ino), own=own)


def _without_covered(binds: list[Place]) -> Iterator[Place]:
    """Leave out what a read-only bind of a parent at its own path shows already."""
    own_paths = [place.target for place in binds if place.source == place.target and not place.writable]
    for place in binds:
        covered = place.source == place.target and not place.writable
        if not (covered and any(place.target.startswith(parent + "/") for parent in own_paths)):
            yield place


def _own_file_systems(confinement: Confinement) -> Iterator[Place]:
    """Memory-backed folders, each at most as large as the memory limit, and an own ``/proc``."""
    size = confinement.memory
    yield Place("tmpfs", "/tmp", size=size, mode=0o1777)  # noqa: S108 (the sandbox's own)
    yield Place("tmpfs", "/dev", size=1 << 20)
    yield Place("tmpfs", "/dev/shm", size=size, mode=0o1777)  # noqa: S108 (likewise)
    yield Place("proc", "/proc")
    if confinement.scratch is not None:
        yield Place("tmpfs", SCRATCH, size=confinement.scratch, mode=0o1777)


def _devices(confinement: Confinement) -> Iterator[Place]:
    for name in DEVICES:
        yield _device(f"/dev/{name}", f"/dev/{name}")
    for device in () if confinement.gpus is None else confinement.gpus.edits.devices:
        yield _device(os.path.realpath(device.source), device.target)


def _hidden() -> Iterator[Place]:
    for name in HIDDEN_FILES:
        if Path("/proc", name).exists():
            yield _device("/dev/null", f"/proc/{name}")


def _device(source: str, target: str) -> Place:
    info = os.stat(source)
    return Place("bind", target, source, writable=True, device=True, identity=(info.st_dev, info.st_ino))
