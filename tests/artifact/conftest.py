from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from world.trees import make_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Makes the folder ``tree`` from a mapping of paths to bytes."""
    return lambda files: make_tree(tmp_path / "tree", files)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if there is one: ten thousand folders take a disk seconds. ``rm`` cleans up."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path))
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture
def _no_leaks() -> Iterator[None]:
    """Neither descriptors nor child processes are left behind."""
    before = set(os.listdir("/proc/self/fd"))

    yield

    assert set(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
