"""Runs a few lines of Python, or a shell command, in a backend, and says what came of it."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tuneguard
from tuneguard.sandbox.controls import Backend, Bind, Confinement, Outcome
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.find import backends, probe
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.unshare import _is_privileged

MIB = 1 << 20


@dataclass(frozen=True)
class Ran:
    """How it ended, and the lines that it wrote."""

    outcome: Outcome
    lines: tuple[bytes, ...]

    @property
    def text(self) -> str:
        return b"\n".join(self.lines).decode()

    @property
    def said(self) -> Any:
        """What the script printed as JSON, last."""
        assert self.outcome.succeeded, (self.outcome, self.text)
        return json.loads(self.lines[-1])


def confinement(command: tuple[str, ...], *binds: Bind, **options: Any) -> Confinement:
    """A confinement with what most tests do not care about filled in."""
    settings = {
        "workdir": "/tmp",
        "environment": clean_environment(),
        "deadline": 3600.0,
        "grace": 5.0,
        "memory": 512 * MIB,
        "processes": 64,
    }
    return Confinement(command=command, binds=binds, **(settings | options))


def run(backend: Backend, command: tuple[str, ...], *binds: Bind, **options: Any) -> Ran:
    """Run a command in a sandbox, keeping its output."""
    lines: list[bytes] = []
    outcome = backend.run(confinement(command, *binds, output=lines.append, **options))
    return Ran(outcome, tuple(lines))


def past_deadline(backend: Backend, script: str, *binds: Bind, grace: float) -> Ran:
    """A shell script that was still running at its deadline, and had said ``ready`` before.

    Nobody knows how long a busy machine takes to come that far: longer deadlines are tried after short ones.
    """
    for deadline in (1.5, 6.0, 24.0, 96.0):
        ran = run(backend, ("/bin/sh", "-c", script), *binds, deadline=deadline, grace=grace)
        if ran.lines:
            return ran
    raise AssertionError(ran)


def python(backend: Backend, script: str, *binds: Bind, **options: Any) -> Ran:
    """Run a Python script in a sandbox. `attempt(f)` in it gives the errno's name that `f` fails with."""
    source = PRELUDE + textwrap.dedent(script)
    return run(backend, (sys.executable, "-I", "-S", "-c", source), *binds, **options)


PRELUDE = """
import contextlib, errno, json, os, socket, stat, sys, time

def attempt(f, *arguments, **named):
    try:
        f(*arguments, **named)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "possible"

def say(value):
    print(json.dumps(value))
"""


@cache
def why_not(name: str) -> str | None:
    """The reason why a backend does not work on this machine, or None."""
    return probe(next(backend for backend in backends() if backend.name == name))


def of_its_own_user(backend: Backend) -> ControlState:
    """What network and filesystem are at best: only root's command has a user of its own, by ``unshare``."""
    return ControlState.PROVEN if backend.name == "unshare" and _is_privileged() else ControlState.WEAKENED


def package_folders() -> str:
    """A PYTHONPATH for a program that is to import tuneguard."""
    return str(Path(next(iter(tuneguard.__path__))).resolve().parent)
