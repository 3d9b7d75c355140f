"""What a training says, kept in a bounded log and shown as fast as people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.progress import SILENT
from tuneguard.training.transcript import Transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.progress import Task


class Kept:
    """A reporter that keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def emit(self, verb: str, text: str, *details: str) -> None:
        del verb, details
        self.lines.append(text)

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        return SILENT.task(verb, total=total, unit=unit)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_HEAD", 10)
    monkeypatch.setattr(limits, "LOG_TAIL", 8)


def heard(folder: Path, *blocks: bytes) -> tuple[bytes, list[str]]:
    """The log and the lines shown, after these blocks, at a clock that stands still."""
    kept = Kept()
    with Transcript(folder / "train.log", kept, Clock()) as transcript:
        for block in blocks:
            transcript.hear(block)
    assert [path.name for path in folder.iterdir()] == ["train.log"]
    return (folder / "train.log").read_bytes(), kept.lines


def test_everything_is_kept_and_shown_while_it_is_little(tmp_path: Path) -> None:
    log, shown = heard(tmp_path, b"one\ntw", b"o\r\nthree\r", b"\n\nrest")

    assert log == b"one\ntwo\nthree\n\nrest"
    assert shown == ["one", "two", "three", "", "rest"]


def test_a_progress_bar_is_shown_while_it_moves(tmp_path: Path) -> None:
    kept = Kept()
    with Transcript(tmp_path / "train.log", kept) as transcript:
        transcript.hear(b" 10%|#  |\r 20%|## |\r")

        assert kept.lines == [" 10%|#  |", " 20%|## |"]


def test_no_command_of_a_strangers_reaches_the_terminal(tmp_path: Path) -> None:
    _, shown = heard(tmp_path, b"\x1b]0;title\x07\xff\n")

    assert shown == ["\\x1b]0;title\\x07\\xff"]


@pytest.mark.usefixtures("small")
@given(st.lists(st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\r", b"x")), max_size=12))
def test_the_log_is_bounded_and_keeps_head_and_tail_however_the_bytes_arrive(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes]
) -> None:
    said = b"".join(blocks)

    log, _ = heard(tmp_path_factory.mktemp("log"), *blocks)

    if log != said:
        head, _, tail = log.partition(b" bytes of output are left out here]\n")
        assert head.startswith(said[:10] + b"\n[")
        assert said.endswith(tail)
        assert len(tail) == 8
        assert int(head[12:]) == len(said) - 10 - len(tail)


@pytest.mark.usefixtures("small")
def test_a_killed_supervisor_leaves_the_head_and_the_last_bytes_beside_it(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "train.log", Kept(), Clock())

    transcript.hear(b"0123456789abcdefghijklmnop\n")

    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert kept == {
        "train.log": b"0123456789",
        "train.log.tail": b"\njklmnop",
        "train.log.end": b"%020d" % 17,
    }


def test_of_a_flood_a_part_is_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    kept, clock = Kept(), Clock()
    with Transcript(tmp_path / "train.log", kept, clock) as transcript:
        transcript.hear(b"x\n" * 100_000)
        transcript.hear(b"y\n" * 100_000)
        clock.now += 0.5
        transcript.hear(b"z\n" * 100_000)

    assert kept.lines[: limits.SHOWN_AT_ONCE] == ["x"] * limits.SHOWN_AT_ONCE
    assert kept.lines[limits.SHOWN_AT_ONCE :] == [
        "(198,000 lines are not shown here)",
        *(["z"] * (limits.SHOWN_LINES // 2)),
        "(99,950 lines are not shown here)",
    ]
    assert (tmp_path / "train.log").read_bytes().count(b"\n") == 300_000


def test_a_line_without_end_takes_no_memory_and_is_shown_by_its_beginning(tmp_path: Path) -> None:
    _, shown = heard(tmp_path, *[b"x" * limits.OUTPUT_BLOCK] * 4)

    assert set(shown) == {"x" * limits.SHOWN_CHARACTERS}
    assert len(shown) == 4
