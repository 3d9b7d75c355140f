"""One isolation control test suite, run over every backend that works on this machine."""

from __future__ import annotations

import pytest

from tuneguard.sandbox.bubblewrap import Bubblewrap
from tuneguard.sandbox.controls import Bind
from tuneguard.sandbox.find import find_backend
from tuneguard.sandbox.unshare import Unshare
from world import cage
from world.users import as_root, shared

__all__ = ["any_backend", "as_root", "backend", "data", "out", "shared"]

BACKENDS = {"unshare": Unshare, "bubblewrap": Bubblewrap}


@pytest.fixture(params=["unshare", pytest.param("bubblewrap", marks=pytest.mark.needs("bwrap"))])
def backend(request):
    """Each backend that works here. Where none does, that is a failure with the kernel's reason."""
    reason = cage.why_not(request.param)
    if reason is not None:
        find_backend()
        pytest.skip(f"{request.param} does not work on this machine: {reason}")
    return BACKENDS[request.param]()


@pytest.fixture(scope="session")
def any_backend():
    """The backend that a run would take."""
    return find_backend()


@pytest.fixture
def data(tmp_path):
    """An input with a file in it, at /inside/data inside."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes(b"{}\n")
    return Bind(folder, "/inside/data")


@pytest.fixture
def out(tmp_path):
    """An empty folder to write to, at /inside/out inside."""
    folder = tmp_path / "out"
    folder.mkdir()
    return Bind(folder, "/inside/out", writable=True)
