"""What is made of the inner stage's messages."""

import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard.errors import CannotLook, UsageError
from tuneguard.sandbox.controls import CONTROLS, MEMORY, PROCESSES, Control
from tuneguard.sandbox.reports import Reports
from tuneguard.sandbox.state import ControlState

LIMITED = {name: Control(name, ControlState.ABSENT, "no limit was asked for") for name in (MEMORY, PROCESSES)}
READY = {"ready": {"dropped": True, "shared": None}}
STANDING = {name: ["proven", "tried"] for name in ("network", "filesystem", "pid", "devices")}


def after(*messages, stopped=None, note=None, last_words=None, shared=None):
    reports = Reports()
    reports.feed(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    return reports.outcome(
        LIMITED, "60 s", stopped=stopped, seconds=1.0, note=note, last_words=last_words, shared=shared
    )


def test_a_run_that_ended_by_itself():
    outcome = after(READY, {"controls": STANDING}, {"exit": [0, None]})

    assert outcome.succeeded
    assert [control.name for control in outcome.controls] == list(CONTROLS)


def test_a_gpu_that_somebody_else_holds_is_shared():
    outcome = after(READY, {"controls": STANDING}, {"exit": [0, None]}, shared="process 7 holds it too")

    control = outcome.control("devices")
    assert (control.state, control.how) == (ControlState.WEAKENED, "tried; process 7 holds it too")


def test_an_init_that_was_killed_is_a_run_that_was_killed():
    outcome = after({"controls": STANDING}, stopped="deadline")

    assert (outcome.code, outcome.signal, outcome.stopped) == (None, signal.SIGKILL, "deadline")


def test_without_controls_that_were_tried_nothing_was_run():
    with pytest.raises(CannotLook, match="ended before the command began: its first process was killed"):
        after(READY, {"exit": [0, None]})


def test_a_control_that_does_not_hold_wins_over_any_exit():
    with pytest.raises(CannotLook, match=r"isolation control network does not hold.*\\x1b\[31m"):
        after({"controls": STANDING}, {"broken": ["network", "\x1b[31mreached"]}, {"exit": [0, None]})


def test_a_command_that_cannot_be_executed_is_the_callers_mistake():
    with pytest.raises(UsageError, match="cannot run trainer"):
        after(
            {"controls": STANDING},
            {"unstarted": {"command": "trainer", "why": "No such file"}},
            {"exit": [127, None]},
        )


def test_a_message_that_nobody_knows_is_never_read_as_success():
    with pytest.raises(CannotLook, match="an unknown message"):
        after({"controls": STANDING}, {"exit": [0]}, {"exit": [0, None]})


@given(st.lists(st.integers(1, 40), max_size=30))
def test_messages_do_not_depend_on_how_their_bytes_arrive(cuts):
    data = b"".join(
        json.dumps(message).encode() + b"\n"
        for message in (READY, {"controls": STANDING}, {"exit": [3, None]})
    )
    reports = Reports()
    for cut in cuts:
        reports.feed(data[:cut])
        data = data[cut:]
    reports.feed(data)

    assert (reports.dropped, reports.exit, len(reports.controls)) == (True, (3, None), len(STANDING))


def test_a_training_that_others_can_meet_has_two_controls_less():
    outcome = after({"ready": {"dropped": False, "shared": "same user: somebody"}}, {"controls": STANDING})

    states = {control.name: control.state for control in outcome.controls if "same user" in control.how}
    assert states == {"network": ControlState.WEAKENED, "filesystem": ControlState.WEAKENED}
    assert outcome.control("pid").state is ControlState.PROVEN


def test_a_training_of_which_nothing_is_known_is_not_called_apart():
    outcome = after({"controls": STANDING}, {"exit": [0, None]})

    assert outcome.control("network").state is ControlState.WEAKENED
