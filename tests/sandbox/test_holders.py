"""Who else holds a device: seen where we may look, and never taken for nobody where we may not."""

import os
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from tuneguard.sandbox.holders import holder, why_not_alone
from world.users import SOMEBODY, said_as

FULL = Path("/dev/full")
NO_FILE = "no such file or directory"


def test_a_process_that_holds_a_device_is_named():
    with FULL.open("wb"):
        found = holder([FULL])

    assert found is not None
    assert found.endswith("holds full too")


@pytest.fixture
def proc(tmp_path):
    """A /proc of one process, whose descriptors a test adds; in the first pid namespace."""
    (tmp_path / "1/fd").mkdir(parents=True)
    (tmp_path / "1/comm").write_text("nvidia-persiste\n")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("/proc/self/ns/pid")
    return tmp_path


def of_first_namespace():
    return os.stat("/proc/self/ns/pid").st_ino == 0xEFFFFFFC


def test_who_holds_it_is_said_with_the_name_of_the_program(proc):
    (proc / "1/fd/3").symlink_to("/dev/full")

    assert why_not_alone([FULL], proc) == "process 1 (nvidia-persiste) holds full too"


def test_another_device_a_file_and_a_closed_descriptor_are_nothing(proc):
    (proc / "1/fd/0").symlink_to("/dev/zero")
    (proc / "1/fd/1").symlink_to(__file__)
    (proc / "1/fd/2").symlink_to("/dev/gone")

    assert holder([FULL], proc) is None
    if of_first_namespace():
        assert why_not_alone([FULL], proc) is None


def test_a_container_does_not_see_the_machines_processes(proc):
    (proc / "self/ns/pid").unlink()
    (proc / "self/ns/pid").touch()

    assert "outside of this container" in why_not_alone([FULL], proc)


def test_processes_that_proc_hides_are_not_taken_for_none(proc):
    (proc / "1").rename(proc / "999")

    found = why_not_alone([FULL], proc)

    assert found.startswith("whether others hold it cannot be known")
    if of_first_namespace():
        assert "hides the processes" in found


def test_a_device_that_is_gone_is_not_known_to_be_free(tmp_path):
    """As at the end of a run whose GPU fell off the bus: what ends a run must not fail."""
    assert why_not_alone([tmp_path / "gone"]) == "whether others hold it cannot be known: " + NO_FILE
    assert holder([tmp_path / "gone"]) is None


def test_attack_a_process_of_another_user_that_cannot_be_looked_into_holds_it(as_root):
    script = "exec 3>/dev/full; echo held; read wait"
    with Popen(["/bin/sh", "-c", script], stdin=PIPE, stdout=PIPE) as process:
        process.stdout.readline()
        said = said_as(SOMEBODY, lambda: why_not_alone([FULL]))
        process.communicate()

    assert said.startswith("whether others hold it cannot be known")
    assert "cannot be looked into" in said
