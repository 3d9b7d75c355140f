"""Durable writing: a file is whole under its name or not there, and a kill leaves nothing beside it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.files import FAULT_AT, read_bounded, read_named, write_new, write_replacing

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


# --- Reading -----------------------------------------------------------------------------------------


def mounted(folder, name, data):
    """A file as a cluster mounts it: a link into ``..data``, which is a link to a dated folder."""
    (folder / "..2026_11_27").mkdir()
    (folder / "..2026_11_27" / name).write_bytes(data)
    (folder / "..data").symlink_to("..2026_11_27")
    (folder / name).symlink_to(f"..data/{name}")
    return folder / name


def test_what_the_person_names_is_followed_and_what_somebody_else_put_there_is_not(tmp_path):
    path = mounted(tmp_path, "root.pub", b"bytes")

    assert read_named(path, 5) == b"bytes"
    with pytest.raises(Refused, match="symbolic link"):
        read_bounded(path, 5)


def test_a_loop_of_links_and_a_link_to_nothing_are_wrong_usage(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "below").symlink_to("loop/below")

    for name, said in (("loop", "loop of links"), ("dangling", "no such file"), ("below", "loop of links")):
        with pytest.raises(UsageError, match=said):
            read_named(tmp_path / name, 5)


def test_what_is_no_file_is_wrong_usage_and_nothing_hangs_also_behind_a_link(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name, target in (("a", "fifo"), ("b", "folder"), ("c", "/dev/zero"), ("d", "/dev/null")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(UsageError, match="not a regular file"):
            read_named(tmp_path / name, 5)


def test_a_named_file_over_its_limit_is_wrong_usage(tmp_path):
    (tmp_path / "big").write_bytes(b"123456")

    with pytest.raises(UsageError, match="larger than 5 bytes"):
        read_named(tmp_path / "big", 5)


def test_attack_a_guarded_file_that_every_user_may_write_is_refused_also_behind_a_link(tmp_path):
    path = mounted(tmp_path, "root.pub", b"bytes")
    path.chmod(0o646)

    assert read_named(path, 5) == b"bytes"
    with pytest.raises(Refused, match="every user may write the root"):
        read_named(path, 5, guarded="the root")
