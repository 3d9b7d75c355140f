"""The real counterparts as fixtures. `make test-peers` builds them; without it these tests are not collected.

A peer that is missing skips its tests by name, and fails them where `TUNEGUARD_PEERS=required` (CI).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import proofs
from stack import sigstore as private
from stack.processes import free_port, server

import peers
from world.needs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Run = "Callable[..., subprocess.CompletedProcess[str]]"


def pytest_collection_modifyitems(items):
    """Everything here needs peers."""
    for item in items:
        item.add_marker(pytest.mark.peers)


def runner(binary: Path, home: Path) -> Run:
    """Run a peer with a home of its own; its output goes with the failure."""

    def run(*arguments: object, ok: bool = True, env: dict[str, str] | None = None, **more):
        done = subprocess.run(
            [str(binary), *map(str, arguments)],
            env={"HOME": str(home), "PATH": os.environ["PATH"], **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **more,
        )
        assert not ok or done.returncode == 0, f"{binary.name} {arguments}\n{done.stdout}{done.stderr}"
        return done

    return run


@pytest.fixture
def cosign(tmp_path) -> Run:
    """cosign 3."""
    return runner(need("cosign"), tmp_path)


@pytest.fixture
def oras(tmp_path) -> Run:
    """oras 1.3."""
    return runner(need("oras"), tmp_path)


@pytest.fixture
def crane(tmp_path) -> Run:
    """crane of go-containerregistry."""
    return runner(need("crane"), tmp_path)


@pytest.fixture(scope="session")
def sigstore(tmp_path_factory) -> Iterator[private.Sigstore]:
    """A whole private Sigstore, once for all tests."""
    for name in ("cosign", "fulcio", "rekor", "timestamp-server", "tinyct"):
        need(name)
    with private.running(tmp_path_factory.mktemp("sigstore") / "instance", peers.folder()) as instance:
        yield instance


@pytest.fixture(scope="session")
def refreg(tmp_path_factory) -> Iterator[str]:
    """HOST:PORT of a registry with the referrers API."""
    binary, port = need("refreg"), free_port()
    log = tmp_path_factory.mktemp("refreg") / "log"
    with server([str(binary), f"127.0.0.1:{port}"], log=log, ready=f"http://127.0.0.1:{port}/v2/"):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def distribution(tmp_path_factory) -> Iterator[str]:
    """HOST:PORT of CNCF distribution, which has no referrers API."""
    binary, port, folder = need("distribution"), free_port(), tmp_path_factory.mktemp("distribution")
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: warn}}\n"
    )
    ready = f"http://127.0.0.1:{port}/v2/"
    with server([str(binary), "serve", str(config)], log=folder / "log", ready=ready):
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
def without_network() -> list[str]:
    """What a command is put behind to run where there is no network, not even loopback's servers."""
    prefix = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no network namespaces")
    return prefix


@pytest.fixture
def proves(request) -> Callable[[str, str, str], None]:
    """Record what a test proved, for docs/interop.md: peer, direction (``reads`` or ``writes``), what."""

    def record(peer: str, direction: str, what: str) -> None:
        request.node.user_properties.append(("proves", proofs.Row(peer, direction, what)))

    return record


def pytest_configure(config):
    """Collect what was proved."""
    config.pluginmanager.register(proofs.Collector(), "proofs")
