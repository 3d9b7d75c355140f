"""Working folders: held by who uses them, swept away when nobody does."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from tuneguard.artifact.workdir import holding, left_behind, sweep, working
from tuneguard.errors import CannotLook, UsageError

HOLD = """
import sys
from pathlib import Path
from tuneguard.artifact.workdir import working
with working(Path(sys.argv[1])) as hold:
    (Path(sys.argv[1]) / "copy").mkdir(mode=0o500)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that works in the folder `work` until it is killed, and holds it."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "work")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.communicate()


def test_a_working_folder_is_ours_alone_and_goes_with_its_work(tmp_path):
    with working(tmp_path / "work"):
        assert (tmp_path / "work").stat().st_mode & 0o777 == 0o700
        (tmp_path / "work/file").write_text("half")

    assert os.listdir(tmp_path) == []


def test_a_working_folder_goes_when_the_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), working(tmp_path / "work"):
        raise ZeroDivisionError

    assert os.listdir(tmp_path) == []


def test_a_working_folder_that_was_given_its_final_name_stays(tmp_path):
    with working(tmp_path / "work"):
        (tmp_path / "work").rename(tmp_path / "whole")
        (tmp_path / "work").mkdir()

    assert sorted(os.listdir(tmp_path)) == ["whole", "work"]


def test_a_taken_name_is_usage(tmp_path):
    (tmp_path / "work").symlink_to(tmp_path)

    with pytest.raises(UsageError, match="already exists"), working(tmp_path / "work"):
        pass


def test_no_folder_to_work_in_is_could_not_look(tmp_path):
    with pytest.raises(CannotLook), working(tmp_path / "none/work"):
        pass


def test_what_somebody_works_in_is_not_swept(tmp_path, other):
    sweep(tmp_path.iterdir())

    assert (tmp_path / "work/copy").exists()


def test_what_a_killed_process_left_is_swept(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()

    sweep(tmp_path.iterdir())

    assert os.listdir(tmp_path) == []


def test_a_child_that_outlives_its_conductor_holds_on(tmp_path):
    with working(tmp_path / "work") as hold:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(hold,))
        (tmp_path / "work").rename(tmp_path / "left")  # so that nobody removes it, as if we were killed

    sweep(tmp_path.iterdir())
    assert os.listdir(tmp_path) == ["left"]

    child.communicate()
    sweep(tmp_path.iterdir())
    assert os.listdir(tmp_path) == []


def test_links_and_files_are_never_swept(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("x")
    (tmp_path / "room").mkdir()
    (tmp_path / "room/link").symlink_to(tmp_path / "precious")
    (tmp_path / "room/file").write_text("x")

    sweep((tmp_path / "room").iterdir())

    assert sorted(os.listdir(tmp_path / "room")) == ["file", "link"]
    assert (tmp_path / "precious/file").exists()


def test_a_folder_that_stays_can_be_held(tmp_path):
    with holding(tmp_path), left_behind(tmp_path) as free:
        assert not free

    with left_behind(tmp_path) as free:
        assert free


def test_whoever_sweeps_first_is_waited_for(tmp_path):
    with left_behind(tmp_path) as free:
        assert free
        descriptor = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
