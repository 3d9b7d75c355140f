"""Durable writing: a file is whole under its name or not there, and a kill leaves nothing beside it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from tuneguard.errors import CannotLook, UsageError
from tuneguard.files import FAULT_AT, write_new, write_replacing

WRITE = """
import sys
from pathlib import Path
from tuneguard import files
getattr(files, sys.argv[1])(Path(sys.argv[2]), b"new" * 1000, mode=0o640)
"""


@pytest.fixture(params=["nameless", "named"])
def _both(request, monkeypatch):
    """Both ways: where the file system knows files without a name, and where it does not."""
    if request.param == "named":
        monkeypatch.setattr(os, "O_TMPFILE", 0)


both = pytest.mark.usefixtures("_both")


def killed(function, path, fault):
    environment = {**os.environ, FAULT_AT: fault, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", WRITE, function, str(path)], env=environment, check=False
    ).returncode


@both
def test_a_new_file_is_whole_and_alone(tmp_path):
    write_new(tmp_path / "a", b"bytes", mode=0o640)

    assert (tmp_path / "a").read_bytes() == b"bytes"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a"]


@both
@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), lambda path: path.symlink_to("nowhere")])
def test_a_new_file_never_replaces_anything(tmp_path, make):
    make(tmp_path / "a")

    with pytest.raises(UsageError, match="already exists"):
        write_new(tmp_path / "a", b"bytes")

    assert os.listdir(tmp_path) == ["a"]


@both
def test_replacing_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "precious").write_text("x")
    (tmp_path / "a").symlink_to("precious")

    write_replacing(tmp_path / "a", b"bytes")

    assert (tmp_path / "a").read_bytes() == b"bytes"
    assert (tmp_path / "precious").read_text() == "x"
    assert sorted(os.listdir(tmp_path)) == ["a", "precious"]


@both
@pytest.mark.parametrize("write", [write_new, write_replacing])
def test_a_folder_that_is_not_there_could_not_be_written(tmp_path, write):
    with pytest.raises(CannotLook) as told:
        write(tmp_path / "none/a", b"bytes")

    assert str(told.value).endswith("none/a")


@both
def test_replacing_a_folder_fails_and_leaves_nothing(tmp_path):
    (tmp_path / "a").mkdir()

    with pytest.raises(CannotLook):
        write_replacing(tmp_path / "a", b"bytes")

    assert os.listdir(tmp_path) == ["a"]


@both
@pytest.mark.parametrize("write", [write_new, write_replacing])
def test_a_file_that_may_not_grow_is_told_and_not_left(tmp_path, write):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(CannotLook) as told:
            write(tmp_path / "a", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert told.value.what == os.strerror(errno.EFBIG).lower()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("function", ["write_new", "write_replacing"])
def test_killed_at_any_step_a_file_is_old_or_new_and_nothing_is_left_beside_it(tmp_path, function):
    assert killed(function, tmp_path / "a", f"0:{tmp_path}/count") == 0
    steps = (tmp_path / "count").read_text().splitlines()
    assert [step.partition(":")[0] for step in steps] == ["fsync", "rename", "fsync"]

    for number in range(1, len(steps) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        if function == "write_replacing":
            (folder / "a").write_bytes(b"old")
        before = os.listdir(folder)

        assert killed(function, folder / "a", f"{number}:{tmp_path}/count{number}") == -9

        named = number == len(steps)
        assert os.listdir(folder) == (["a"] if named else before)
        if named:
            assert (folder / "a").read_bytes() == b"new" * 1000
        elif before:
            assert (folder / "a").read_bytes() == b"old"
