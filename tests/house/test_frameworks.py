"""The tier of `make test-frameworks` lies apart, and its page tells of the versions that are locked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "frameworks"))

import offline
import table

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_make_test_does_not_collect_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests", "-k", "frameworks or peers"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert "tests/house/test_frameworks.py" in done.stdout
    assert "tests/frameworks/" not in done.stdout


def test_the_page_tells_of_the_locked_versions() -> None:
    lock = (ROOT / "requirements" / "frameworks.txt").read_text()
    locked = {name: set() for name in table.DISTRIBUTIONS.values()}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.MULTILINE):
        locked.setdefault(name, set()).add(version)
    rows = re.findall(r"^\| ([^|]+) \| ([0-9][^|]*) \|", table.PAGE.read_text(), re.MULTILINE)

    assert rows
    for framework, version in rows:
        assert version in locked[table.DISTRIBUTIONS[framework]], framework


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", None, b"localhost", ""])
def test_a_host_that_is_this_machine_is_reached(host) -> None:
    offline.refuse("socket.getaddrinfo", (host, 80, 0, 0, 0))
    offline.refuse("socket.connect", (None, (host, 80)))


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", b"example.org", "::ffff:192.0.2.1"])
def test_attack_a_framework_that_calls_another_machine(host) -> None:
    with pytest.raises(ConnectionRefusedError, match="do not reach"):
        offline.refuse("socket.getaddrinfo", (host, 80, 0, 0, 0))
    with pytest.raises(ConnectionRefusedError, match="do not reach"):
        offline.refuse("socket.connect", (None, (host, 80)))
