"""Control groups: versions that this machine lacks are tried on folders that look like theirs."""

import os
import subprocess
import sys

import pytest

from tuneguard.sandbox import cgroup
from tuneguard.sandbox.cgroup import Limits
from tuneguard.sandbox.state import ControlState


@pytest.fixture
def machine(tmp_path):
    """A /proc and a place for hierarchies; `lines` of mountinfo and of cgroup describe them."""

    class Machine:
        proc = tmp_path / "proc"
        groups = tmp_path / "cgroup"

        def describe(self, mounts, own, process=7):
            (self.proc / "self").mkdir(parents=True)
            (self.proc / str(process)).mkdir()
            (self.proc / "self" / "mountinfo").write_text("".join(f"{line}\n" for line in mounts))
            (self.proc / "self" / "cgroup").write_text("".join(f"{line}\n" for line in own))
            # a real kernel shows the group that was entered; here each of ours counts as entered
            (self.proc / str(process) / "cgroup").write_text(f"0::/user.slice/tuneguard-{os.getpid()}-")

    return Machine()


def test_version_2_bounds_memory_swap_and_processes_in_one_group_beside_ours(machine, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: "")
    machine.describe(
        [f"30 23 0:26 / {machine.groups} rw,relatime shared:9 - cgroup2 cgroup2 rw"],
        ["0::/user.slice/app.scope"],
    )
    (machine.groups / "user.slice" / "app.scope").mkdir(parents=True)
    limits = Limits(1 << 20, 10, machine.proc)

    rlimits = limits.apply(7)

    controls = limits.controls(unprivileged=True)
    assert {control.state for control in controls.values()} == {ControlState.PROVEN}
    assert rlimits == [("RLIMIT_CORE", 1)]
    (group,) = machine.groups.rglob("tuneguard-*")
    assert {path.name: path.read_text() for path in group.iterdir()} == {
        "memory.max": str(1 << 20),
        "memory.swap.max": "0",
        "pids.max": "11",
        "cgroup.procs": "7",
    }


def test_version_1_takes_each_controller_where_it_is_mounted(machine, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: "")
    machine.describe(
        [
            f"35 31 0:32 / {machine.groups}/memory rw - cgroup cgroup rw,memory",
            f"40 31 0:37 / {machine.groups}/pids rw - cgroup cgroup rw,pids",
        ],
        ["4:memory:/job", "8:pids:/"],
    )
    (machine.groups / "memory" / "job").mkdir(parents=True)
    (machine.groups / "pids").mkdir()

    limits = Limits(1 << 20, 10, machine.proc)
    limits.apply(7)

    assert {control.state for control in limits.controls(unprivileged=True).values()} == {ControlState.PROVEN}
    assert len(list((machine.groups / "memory" / "job").glob("tuneguard-*/memory.limit_in_bytes"))) == 1
    assert len(list((machine.groups / "pids").glob("tuneguard-*/pids.max"))) == 1


def test_processors_are_bounded_by_a_quota_in_the_one_group_of_version_2(machine, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: "")
    machine.describe([f"30 23 0:26 / {machine.groups} rw - cgroup2 cgroup2 rw"], ["0::/user.slice"])
    (machine.groups / "user.slice").mkdir(parents=True)
    limits = Limits(1 << 20, 10, machine.proc, processors=1.5)

    limits.apply(7)

    (group,) = machine.groups.rglob("tuneguard-*")
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert limits.processors_how == "control group v2: the kernel reads back a quota of 1.5 processors"


def test_a_group_of_version_2_is_not_left_for_another_controller(machine, monkeypatch):
    """Its parent might have the controller; the limits that were set before would end with the move."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "")
    machine.describe([f"30 23 0:26 / {machine.groups} rw - cgroup2 cgroup2 rw"], ["0::/user.slice/app"])
    (machine.groups / "user.slice" / "app").mkdir(parents=True)
    bound = cgroup._SETTERS["processes"]

    def lacking(folder, version, limit):
        if folder.parent.name == "app":
            raise OSError("no pids here")
        return bound(folder, version, limit)

    monkeypatch.setitem(cgroup._SETTERS, "processes", lacking)
    limits = Limits(1 << 20, 10, machine.proc)

    limits.apply(7)

    assert len(list(machine.groups.rglob("cgroup.procs"))) == 1
    assert {name: control.state for name, control in limits.controls(unprivileged=True).items()} == {
        "memory": ControlState.PROVEN,
        "processes": ControlState.WEAKENED,
    }


def test_processors_are_bounded_by_a_quota_of_version_1(machine):
    machine.describe(
        [f"35 31 0:32 / {machine.groups} rw - cgroup cgroup rw,cpu,cpuacct"], ["4:cpu,cpuacct:/"]
    )
    machine.groups.mkdir()
    limits = Limits(None, None, machine.proc, processors=2)

    limits.apply(7)

    (group,) = machine.groups.glob("tuneguard-*")
    assert (group / "cpu.cfs_quota_us").read_text() == "200000"
    assert (group / "cpu.cfs_period_us").read_text() == "100000"


def test_without_groups_an_affinity_bounds_processors(machine):
    machine.describe([], [])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        limits = Limits(None, None, machine.proc, processors=0.5)
        limits.apply(process.pid)
        found = os.sched_getaffinity(process.pid)
        process.communicate(b"\n")

    assert len(found) == 1
    assert found <= os.sched_getaffinity(0)
    assert "an affinity to 1, which the command can change" in limits.processors_how


@pytest.mark.parametrize(
    ("mount", "own", "files"),
    [
        ("- cgroup2 cgroup2 rw", "0::/a/b", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}),
        (
            "- cgroup cgroup rw,cpu",
            "1:cpu:/a",
            {"a/cpu.cfs_quota_us": "50000", "a/cpu.cfs_period_us": "100000"},
        ),
    ],
)
def test_a_quota_of_ours_or_above_us_counts_for_the_processors_that_there_are(machine, mount, own, files):
    machine.describe([f"30 23 0:26 / {machine.groups} rw {mount}"], [own])
    (machine.groups / "a/b").mkdir(parents=True)
    before = cgroup.processors(machine.proc)
    for name, text in files.items():
        (machine.groups / name).write_text(text)

    assert before == len(os.sched_getaffinity(0))
    assert cgroup.processors(machine.proc) == 0.5


def test_a_group_that_the_process_did_not_enter_proves_nothing(machine):
    machine.describe([f"30 23 0:26 / {machine.groups} rw - cgroup2 cgroup2 rw"], ["0::/"])
    machine.groups.mkdir()
    (machine.proc / "7" / "cgroup").write_text("0::/elsewhere\n")

    limits = Limits(1 << 20, None, machine.proc)
    rlimits = limits.apply(7)

    control = limits.controls(unprivileged=True)["memory"]
    assert control.state is ControlState.WEAKENED
    assert "did not enter the group" in control.how
    assert ("RLIMIT_DATA", 1 << 20) in rlimits


def test_without_groups_rlimits_are_weakened_and_for_roots_uid_the_process_limit_is_absent(machine):
    machine.describe([], [])
    limits = Limits(1 << 20, 10, machine.proc)

    assert limits.apply(7) == [("RLIMIT_CORE", 1), ("RLIMIT_DATA", 1 << 20), ("RLIMIT_NPROC", 10)]

    as_user, as_root = limits.controls(unprivileged=True), limits.controls(unprivileged=False)
    assert as_user["memory"].state is as_root["memory"].state is ControlState.WEAKENED
    assert as_user["processes"].state is ControlState.WEAKENED
    assert as_root["processes"].state is ControlState.ABSENT


def test_no_group_is_left_behind(any_backend):
    from world.cage import run

    def ours():
        found = []
        with open("/proc/self/mountinfo") as file:
            points = [line.split()[4] for line in file if " - cgroup" in line]
        for point in points:
            for folder, names, _ in os.walk(point):
                found += [
                    f"{folder}/{name}" for name in names if name.startswith(f"tuneguard-{os.getpid()}-")
                ]
        return found

    run(any_backend, ("/bin/true",))

    assert ours() == []
