"""No sandbox, which says so."""

import signal
import sys

import pytest

from tuneguard.errors import UsageError
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.unsafe import UnsafeNoSandbox
from world.cage import confinement, past_deadline, run


def test_no_control_is_claimed(data, out):
    outcome = run(UnsafeNoSandbox(), ("/bin/true",), data, out).outcome

    states = {control.name: control.state for control in outcome.controls}
    assert states.pop("deadline") is ControlState.WEAKENED
    assert set(states.values()) == {ControlState.ABSENT}
    assert all("--unsafe-no-sandbox" in control.how for control in outcome.controls)


def test_paths_inside_become_paths_outside(data, out):
    script = (
        "import shutil, sys; shutil.copy(sys.argv[1].split('=')[1] + '/rows.jsonl', sys.argv[2] + '/copy')"
    )

    ran = run(
        UnsafeNoSandbox(), (sys.executable, "-c", script, "--data=/inside/data", "/inside/out"), data, out
    )

    assert ran.outcome.succeeded, ran.text
    assert (out.source / "copy").read_text() == "{}\n"


def test_a_name_that_only_begins_like_a_bind_is_left_alone(data):
    ran = run(
        UnsafeNoSandbox(), ("/bin/echo", "/inside/database", "x/inside/data", "/inside/data/rows.jsonl"), data
    )

    assert ran.text == f"/inside/database x/inside/data {data.source}/rows.jsonl"


def test_secrets_are_not_inherited_even_here(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "no")

    assert b"AWS_SECRET_ACCESS_KEY" not in run(UnsafeNoSandbox(), ("/usr/bin/env",)).text.encode()


def test_the_deadline_is_kept():
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"

    ran = past_deadline(UnsafeNoSandbox(), script, grace=0.1)

    assert ran.lines == (b"ready",)
    assert (ran.outcome.signal, ran.outcome.stopped) == (signal.SIGKILL, "deadline")


def test_a_command_that_is_not_there_is_a_mistake_of_the_caller():
    with pytest.raises(UsageError, match="cannot run no-such-trainer"):
        UnsafeNoSandbox().run(confinement(("no-such-trainer",)))
