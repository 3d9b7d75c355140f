"""What a hostile training writes where its metrics are read."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tuneguard import limits
from world.events import framed, scalar
from world.relayed import Run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 8000,
        b'{"loss": ' + b"9" * 5000 + b"}",
        b'{"loss": "secret"}',
        b'{"a b": 1}',
        b'{"' + b"n" * 65 + b'": 1}',
        b'{"loss": true}',
        b'{"loss": {"loss": 1}}',
        b'{"step": -1}',
        b'{"step": 1e300}',
        b'"text"',
        b"\xff\xfe{}",
        b"{" * 9000,
        b'{"' + b"x" * 9000 + b'": 1}',
        b"",
    ],
)
def test_attack_a_line_that_is_no_metrics(run: Run, line: bytes) -> None:
    run.write(line + b'\n{"step": 1}\n')

    assert run.end() == [{"time": 1000.0, "step": 1}]
    assert run.said.lines == [("Trained", "step 1", "1 line of its metrics were not understood")]


def test_attack_a_text_told_in_the_digits_and_the_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a number and a name can carry is bounded."""
    monkeypatch.setattr(limits, "METRICS_NAMES", 3)
    run.write(b'{"a": 1.23456789012, "b": 123456789, "c": 0}\n{"d": 1, "e": 2, "step": 1}\n')
    run.write(json.dumps({f"n{at}": at for at in range(50)}).encode() + b"\n")

    first, second, third = run.end()

    assert first == {"time": 1000.0, "a": 1.23457, "b": 123457000.0, "c": 0.0}
    assert second == {"time": 1000.0, "step": 1}
    assert third == {"time": 1000.0}


def test_attack_a_flood_of_lines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_AT_ONCE", 5)
    monkeypatch.setattr(limits, "METRICS_LINES", 2)
    run.write(b'{"step": 1}\n' * 20)
    run.relay.look()
    run.now += 1.0
    run.write(b'{"step": 2}\n' * 20)

    assert [each["step"] for each in run.end()] == [1] * 5 + [2] * 2
    assert run.said.lines == [("Trained", "step 2", "33 lines of its metrics were too many to keep")]


def test_attack_a_flood_of_bytes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of any size costs so many bytes a look, and so many looks after the end."""
    monkeypatch.setattr(limits, "METRICS_READ", 4096)
    run.write(b'{"step": 7}\n')
    os.truncate(run.channel, 1 << 40)

    assert [each["step"] for each in run.end()] == [7]
    [(_, _, said)] = run.said.lines
    assert said.endswith("bytes of its metrics were not read")


def test_attack_more_than_is_kept_of_one_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "METRICS_KEPT", 60)
    run.write(b'{"step": 1}\n' * 3)

    assert len(run.end()) == 2


def test_attack_an_event_file_that_is_none(run: Run, tmp_path: Path) -> None:
    """Links lead nowhere, and a pipe that nobody writes to is not waited for."""
    outside = tmp_path / "events.out.tfevents.outside"
    outside.write_bytes(framed(scalar(9, "loss", 9.0)))
    (run.output / "events.out.tfevents.link").symlink_to(outside)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/events.out.tfevents.1").write_bytes(framed(scalar(9, "loss", 9.0)))
    (run.output / "linked").symlink_to(tmp_path / "folder")
    os.mkfifo(run.output / "events.out.tfevents.pipe")
    (run.output / "events.out.tfevents.folder").mkdir()
    (run.output / "events.out.tfevents.long").write_bytes(b"\xff" * 5000)

    assert run.end() == []


def test_attack_event_files_without_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVENT_FILES", 2)
    monkeypatch.setattr(limits, "EVENT_ENTRIES", 3)
    deep = run.output / "a/b/c/d/e/f"
    deep.mkdir(parents=True)
    for at in range(5):
        (run.output / f"events.out.tfevents.{at}").write_bytes(framed(scalar(at, "loss", 1.0)))

    assert len(run.end()) <= 2


def test_attack_a_record_larger_than_is_read_hides_none_behind_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "METRICS_READ", 100)
    file = run.output / "events.out.tfevents.1"
    file.write_bytes(framed(bytes(500)) + framed(scalar(1, "loss", 1.0)))

    assert [each["loss"] for each in run.end()] == [1.0]
