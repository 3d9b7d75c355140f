"""Control groups: versions that this machine lacks are tried on folders that look like theirs."""

import os

import pytest

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
