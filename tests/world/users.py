"""Other users of this machine, for root to try what they may do; without root there is only oneself.

The checkout, its environment and the interpreter may each lie below a folder that only root may enter, as
/root is. So a process that becomes another user gets mounts of its own first, in which all of that lies where
it lies, and every folder above it may be entered. Nothing else that is in such a folder is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

import tuneguard
from tuneguard.sandbox.inside import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOMEBODY = 61234
CLONE_NEWNS = 0x20000


def program(*arguments: str, cwd: str | Path = "/", uid: int = SOMEBODY) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments as an ordinary user, who can import all that we can."""
    sites = [folder for folder in sys.path if folder.endswith("site-packages")]
    options = {"preexec_fn": lambda: become(uid)} if can_be_others() else {}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={
            "HOME": "/nonexistent",
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join([str(_source()), *sites]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def said_as(uid: int, call: Callable[[], Any]) -> str:
    """What `call` returns, as text, or raises, in a process of another user."""
    others = can_be_others()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if others:
                become(uid)
            said = str(call())
        except BaseException as error:  # noqa: BLE001 (it is what the test looks at)
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@cache
def can_be_others() -> bool:
    """Whether we are root. The test is skipped where no other user can be made to reach what Python runs."""
    if os.geteuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        try:
            become(SOMEBODY)
            files = (tuneguard.__file__, click.__file__, os.__file__, sys.executable)
            os._exit(not all(os.access(file, os.R_OK) for file in files))
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        pytest.skip("other users cannot reach this checkout, its .venv or the interpreter")
    return True


def become(uid: int) -> None:
    """Make this process, which is root's and a fork of the tests', one of another user."""
    _open()
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def _open() -> None:
    """Lay what Python runs into folders that everybody may enter, for this process alone."""
    needed = {path.resolve() for path in (_source(), Path(sys.prefix), Path(sys.base_prefix))}
    closed = {found for path in needed if (found := _closed(path))}
    if not closed:
        return
    kernel.unshare(CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    os.umask(0o022)
    for folder in closed:
        trees = {path: kernel.clone_tree(str(path)) for path in needed if folder in path.parents}
        kernel.mount("none", str(folder), "tmpfs", 0, "mode=755")
        for path, tree in trees.items():
            path.mkdir(parents=True, exist_ok=True)
            kernel.attach_tree(tree, str(path))
            os.close(tree)


def _closed(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 1), None)


def _source() -> Path:
    return Path(next(iter(tuneguard.__path__))).parent


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.fixture
def shared() -> Iterator[str]:
    """A folder that another user can reach: pytest's own are ours alone."""
    folder = tempfile.mkdtemp(prefix="tuneguard-test-")
    os.chmod(folder, 0o755)
    os.mkdir(folder + "/out")
    os.chmod(folder + "/out", 0o777)
    yield folder
    shutil.rmtree(folder)
