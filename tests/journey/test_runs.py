"""The runs of a project, and their logs: while they are written, afterwards, and after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import TRAIN

from tuneguard import limits
from tuneguard.progress import SILENT
from tuneguard.training.log_reader import LogReader
from tuneguard.training.transcript import Transcript

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder


def listed(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert project("runs", "--json") == 0
    return {each["run"]: each for each in json.loads(capsys.readouterr().out)["facts"]["runs"]}


@pytest.mark.sandbox
def test_every_run_is_listed_with_how_it_ended(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = json.loads((trained.path / ".tuneguard/runs/042/run.json").read_text())["tree"]
    saying = "import os, json\nwith open(os.environ['TUNEGUARD_METRICS'], 'a') as file:\n"
    saying += "    print(json.dumps({'step': 2, 'steps': 9, 'loss': 1}), file=file)\n"
    trained.write("code/train.py", saying + "raise SystemExit(7)")
    assert trained("run", "--run", "043", "--quiet") == 1
    trained.write("code/train.py", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert trained("run", "--run", "044", "--quiet") == 1
    trained.write("code/train.py", "print('wrote nothing')")
    assert trained("run", "--run", "045", "--quiet") == 1
    trained.write("data/train/tickets.jsonl", "{}")
    assert trained("run", "--run", "046", "--quiet") == 1

    found = listed(trained, capsys)

    assert {run: each["state"] for run, each in found.items()} == {
        "042": "signed",
        "043": "failed",
        "044": "failed",
        "045": "unsigned",
        "046": "refused",
    }
    assert (found["042"]["tree"], found["042"]["class"], found["042"]["exit"]) == (tree, "final", 0)
    assert found["042"]["seconds"] > 0
    assert (found["043"]["exit"], found["043"]["step"], found["043"]["steps"]) == (7, 2, 9)
    assert found["043"]["loss"] == 1.0
    assert found["044"]["signal"] == signal.SIGKILL
    assert trained("runs") == 0
    said = capsys.readouterr().out
    assert "failed  043" in said
    assert "step 2 of 9  loss 1  exit 7" in said
    assert f"tree {tree[:12]}" in said


@pytest.mark.sandbox
def test_a_run_is_followed_until_it_is_over_and_a_killed_one_is_said_to_be(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The training prints, and waits until a file of its scratch is there, which it has when it was seen."""
    project.write("code/train.py", 'import time\nprint("begun", flush=True)\ntime.sleep(3600)\n')
    environment = {**os.environ, "TUNEGUARD_HOME": os.environ["TUNEGUARD_HOME"]}
    process = subprocess.Popen(
        [sys.executable, "-m", "tuneguard", "train", "--run", "042"],
        cwd=project.path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = project.path / ".tuneguard/runs/042/train.log"
    while process.poll() is None and not (log.exists() and log.read_bytes()):
        threading.Event().wait(0.05)
    assert listed(project, capsys)["042"]["state"] == "running"
    follower = subprocess.Popen(
        [sys.executable, "-m", "tuneguard", "logs", "042", "--follow"],
        cwd=project.path,
        stdout=subprocess.PIPE,
    )
    assert follower.stdout is not None
    assert follower.stdout.readline().strip() == b"begun"
    process.kill()
    process.wait()

    assert follower.wait() == 0
    follower.stdout.close()
    assert listed(project, capsys)["042"]["state"] == "killed"


@pytest.mark.sandbox
def test_attack_a_log_that_would_write_to_the_terminal(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TRAIN + 'print("\\x1b]0;owned\\x07 end")\n')
    assert project("run", "--run", "042", "--quiet") == 0
    capsys.readouterr()

    assert project("logs", "042") == 0

    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "end" in said


def test_a_run_that_an_earlier_version_recorded(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {
        "run": "040",
        "class": "final",
        "started": "2026-11-01T10:00:00Z",
        "finished": "2026-11-01T11:00:00Z",
    }
    project.write(".tuneguard/runs/040/run.json", json.dumps(old | {"inputs": [], "unsafe": []}))
    project.write(".tuneguard/runs/041/run.json", "[")

    found = listed(project, capsys)

    assert (found["040"]["state"], found["040"]["class"]) == ("ended", "final")
    assert found["041"]["state"] == "refused"


def test_no_run_of_that_name(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert project("logs", "042") == 2
    assert project("logs", "../../etc") == 2
    assert project("runs") == 0
    assert "is not a run id" in capsys.readouterr().err


# --- The log --------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_HEAD", 10)
    monkeypatch.setattr(limits, "LOG_TAIL", 8)
    monkeypatch.setattr(limits, "OUTPUT_BLOCK", 5)


def drained(reader: LogReader) -> bytes:
    said = b""
    while data := reader.read():
        said += data
    return said


@pytest.mark.usefixtures("small")
def test_what_goes_round_is_read_in_its_order_before_and_after_the_end(tmp_path: Path) -> None:
    following, late = LogReader(tmp_path), LogReader(tmp_path)
    transcript = Transcript(tmp_path / "train.log", SILENT)
    transcript.hear(b"0123456789abc")
    assert drained(following) == b"0123456789abc"
    transcript.hear(b"defghijk")
    assert drained(following) == b"defghijk"
    transcript.hear(b"lm")
    assert drained(LogReader(tmp_path)) == b"0123456789\n[5 bytes of output are left out here]\nfghijklm"
    transcript.__exit__()

    assert drained(following) == b"lm"
    assert drained(late) == (tmp_path / "train.log").read_bytes()


@pytest.mark.usefixtures("small")
def test_attack_a_line_that_says_that_output_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_TAIL", 1000)
    forged = b"0123456789\n[900 bytes of output are left out here]\nwhat it did"
    with Transcript(tmp_path / "train.log", SILENT) as transcript:
        transcript.hear(forged)

    assert drained(LogReader(tmp_path)) == forged


@pytest.mark.usefixtures("small")
@given(blocks=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=12))
def test_a_follower_that_keeps_up_misses_nothing(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[tuple[int, bool]]
) -> None:
    """What a follower read is the whole, but for what it says is left out."""
    folder = tmp_path_factory.mktemp("log")
    reader, said, printed = LogReader(folder), b"", b""
    transcript = Transcript(folder / "train.log", SILENT)
    for size, reads in blocks:
        block = bytes(97 + (len(printed) + at) % 26 for at in range(size))
        printed += block
        if block:
            transcript.hear(block)
        if reads:
            said += drained(reader)
    transcript.__exit__()
    said += drained(reader)

    at = 0
    for part in said.split(b"\n"):
        if part.startswith(b"["):
            at += int(part[1:].split()[0])
        else:
            assert printed[at : at + len(part)] == part
            at += len(part)
    assert at == len(printed)
