"""Starts a server on loopback, waits until it answers, and stops exactly what it started."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

READY_SECONDS = 30
STOP_SECONDS = 10


def free_port() -> int:
    """A port that nobody listens on now. Another program may take it first: rare, and loud."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(
    command: Sequence[str], *, log: Path, ready: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until leaving; entered once the URL `ready` answers anything, or ``tcp://`` connects.

    Raises:
        RuntimeError: it ended or did not answer; with the end of its log.
    """
    with log.open("ab") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env)
    try:
        _wait(running, log, ready, name=str(command[0]))
        yield running
    finally:
        running.terminate()
        try:
            running.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _wait(running: subprocess.Popen[bytes], log: Path, url: str, *, name: str) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        if running.poll() is not None:
            raise RuntimeError(f"{name} ended with {running.returncode}:\n{_tail(log)}")
        try:
            if url.startswith("tcp://"):
                host, _, port = url.removeprefix("tcp://").partition(":")
                socket.create_connection((host, int(port)), 2).close()
            else:
                urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError as answer:
            answer.close()
        except OSError:
            time.sleep(0.02)  # there is no event to wait for: a server that starts says nothing
            continue
        return
    raise RuntimeError(f"{name} did not answer {url} within {READY_SECONDS} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
