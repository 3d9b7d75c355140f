"""What a training says of how far it is: read from outside, shown and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneguard.integrations import metrics as integration
from tuneguard.training import metrics
from world.events import framed, scalar
from world.relayed import Run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def test_numbers_are_shown_and_kept_with_the_time_that_is_left(run: Run) -> None:
    run.write(b'{"step": 10, "steps": 100, "loss": 2.5, "learning_rate": 5e-05}\n')
    run.relay.look()
    run.now = 1010.0
    run.write(b'{"step": 20, "loss": 1.25}\n{"step": 3')
    run.relay.look()
    run.write(b'0, "loss": NaN}\n')

    kept = run.end()

    assert run.said.states == [
        "step 10 of 100  loss 2.5",
        "step 20 of 100  loss 1.25  1 min 20 s left",
        "step 30 of 100  loss nan  35 s left",
        "",
    ]
    assert run.said.lines == [("Trained", "step 30 of 100  loss nan  35 s left")]
    assert kept == [
        {"time": 1000.0, "step": 10, "steps": 100, "loss": 2.5, "learning_rate": 5e-05},
        {"time": 1010.0, "step": 20, "loss": 1.25},
        {"time": 1010.0, "step": 30, "loss": "NaN"},
    ]
    assert not run.channel.exists()
    assert str(metrics.progress(run.work)) == "step 30 of 100  loss nan  35 s left"


def test_a_training_that_says_nothing_is_not_mentioned(run: Run) -> None:
    assert run.end() == []
    assert run.said.lines == []


def test_event_files_are_read_while_they_grow(run: Run) -> None:
    folder = run.output / "runs/today"
    folder.mkdir(parents=True)
    whole = framed(scalar(5, "train/loss", 0.5)) + framed(scalar(5, "train/epoch", 1.0))
    file = folder / "events.out.tfevents.1.host.1.0"
    file.write_bytes(whole[:-3])
    run.relay.look()
    with file.open("ab") as more:
        more.write(whole[-3:] + framed(scalar(6, "train/loss", 0.25)))

    assert [{k: v for k, v in each.items() if k != "time"} for each in run.end()] == [
        {"step": 5, "train/loss": 0.5},
        {"step": 5, "train/epoch": 1.0},
        {"step": 6, "train/loss": 0.25},
    ]
    assert run.said.states[-2] == "step 6  loss 0.25"


def test_a_file_that_is_begun_anew_is_read_from_its_beginning(run: Run) -> None:
    run.write(b'{"step": 10, "loss": 2.5, "epoch": 1}\n')
    run.relay.look()
    run.channel.write_bytes(b'{"step": 1}\n')

    assert [each["step"] for each in run.end()] == [10, 1]


def test_what_the_callback_tells_is_understood(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class State:
        is_world_process_zero, global_step, max_steps = True, 3, 12

    monkeypatch.setenv("TUNEGUARD_METRICS", str(run.channel))
    state = State()
    callback = integration.MetricsCallback()
    callback.on_log(None, state, None, logs={"loss": 1.5, "note": "text", "grad_norm": "0.25"})
    state.is_world_process_zero = False
    callback.on_log(None, state, None, logs={"loss": 9.0})
    monkeypatch.delenv("TUNEGUARD_METRICS")
    integration.report(4, None, {"loss": 9.0})

    assert run.end() == [{"time": 1000.0, "step": 3, "steps": 12, "loss": 1.5, "grad_norm": 0.25}]


def test_where_it_cannot_be_kept_the_training_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tuneguard.training.relay.os.write", full)
    run.write(b'{"step": 1}\n')

    assert run.end() == []
    assert "its metrics were not read to the end" in run.said.lines[0][2]
