"""Doctor: every check is a line, whatever is broken; nothing is asked, nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

import golden
from tuneguard.cli.app import run
from tuneguard.errors import Interrupted
from tuneguard.journey import doctor as journey
from tuneguard.journey.doctor import Check, State, doctor
from tuneguard.project.project import Project
from tuneguard.training import machine

GOLDEN = Path(__file__).parents[1] / "output" / "golden"


@pytest.fixture(autouse=True)
def without_sandbox(request, monkeypatch):
    """Starting sandboxes takes seconds: only the tests that are about them do."""
    if "sandbox" not in request.keywords:
        for name in ("sandbox", "cgroups"):
            monkeypatch.setitem(journey.CHECKS, name, lambda here: Check(State.OK, "not tried"))


def checks(**options) -> dict[str, dict]:
    return {row.check: structs.asdict(row) for row in doctor(project=Project(**options)).facts.checks}


def entries(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


def test_in_a_sound_project_nothing_is_missing_and_nothing_is_written(project, monkeypatch):
    monkeypatch.chdir(project.path)
    before = entries(project.path.parent)

    found = checks()

    assert {name: row["state"] for name, row in found.items() if row["state"] == "missing"} == {}
    assert "development policy" in found["policy"]["found"]
    assert "expires 2" in found["policy"]["found"]
    assert "builder" in found["keys"]["found"]
    assert entries(project.path.parent) == before


def test_a_project_without_state_gets_none(project, monkeypatch):
    monkeypatch.chdir(project.path)
    state = project.path / ".tuneguard"
    if state.exists():
        state.rename(project.path.parent / "away")

    assert checks()["ledger"]["state"] == "ok"
    assert not state.exists()


def test_outside_a_project_the_projects_checks_say_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEGUARD_HOME", str(tmp_path / "home"))

    found = checks()

    for name in ("keys", "policy", "ledger"):
        assert (found[name]["state"], found[name]["found"]) == ("not-asked-for", "no project here")
    assert found["root"]["state"] == "missing"
    assert list(tmp_path.iterdir()) == []


def test_an_expired_policy_is_missing(project, monkeypatch):
    monkeypatch.chdir(project.path)
    here = Project()
    vars(here)["now"] = here.policy.expires + timedelta(days=1)
    del vars(here)["policy"]

    row = journey._guarded(machine.policy, here)

    assert row.state is State.MISSING
    assert "expired on" in row.found
    assert "sign it again" in row.mend


def test_a_policy_that_the_root_did_not_sign_is_missing(project, monkeypatch):
    monkeypatch.chdir(project.path)
    with Path("policy.yaml").open("a") as file:
        file.write("# edited\n")

    row = checks()["policy"]

    assert row["state"] == "missing"
    assert row["mend"]


def test_a_fifo_in_the_policys_place_is_a_line_and_does_not_hang(project, monkeypatch):
    monkeypatch.chdir(project.path)
    Path("policy.yaml").unlink()
    os.mkfifo("policy.yaml")

    row = checks()["policy"]

    assert row["state"] == "missing"
    assert "policy.yaml" in row["found"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: Path(path).write_bytes(b"no ledger" * 100)])
def test_a_broken_ledger_is_a_line(project, monkeypatch, make):
    monkeypatch.chdir(project.path)
    ledger = str(project.path.parent / "other.db")
    make(ledger)

    assert checks(ledger_option=ledger)["ledger"]["state"] == "missing"


def test_a_key_that_cannot_be_read_is_missing(project, monkeypatch):
    monkeypatch.chdir(project.path)
    key = Path(Project().key_uri("builder"))
    key.unlink()
    key.symlink_to(key)
    here = Project(key_options={"builder": str(key)})

    row = journey._guarded(machine.keys, here)

    assert row.state is State.MISSING
    assert "builder.key" in row.found


@pytest.mark.sandbox
def test_where_no_sandbox_works_that_is_exit_1_with_the_kernels_reason_and_its_mend(tmp_path):
    """A user namespace that allows none below it: a real denial."""
    denied = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all"
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "sh", "-c", f'{denied} "$@"', "sh"),
            *(sys.executable, "-m", "tuneguard", "doctor", "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    rows = {row["check"]: row for row in json.loads(done.stdout)["facts"]["checks"]}
    assert rows["sandbox"]["state"] == "missing"
    assert "unshare failed" in rows["sandbox"]["found"]
    assert rows["sandbox"]["mend"] == "sudo sysctl user.max_user_namespaces=15000"


@pytest.mark.sandbox
def test_a_sandbox_that_works_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = checks()

    assert found["sandbox"]["state"] in ("ok", "weakened")  # weakened: the same user's other processes
    assert "works: " in found["sandbox"]["found"]
    assert found["cgroups"]["state"] in ("ok", "weakened")


@pytest.mark.golden
@pytest.mark.parametrize(("form", "suffix"), [("text", "txt"), ("json", "json")])
def test_the_table_as_it_is_printed(monkeypatch, capfd, form, suffix):
    rows = {
        "sandbox": Check(
            State.MISSING, "no sandbox can be built here: " + "a reason " * 12, "sudo sysctl a=1"
        ),
        "gpus": Check(State.NOT_ASKED, "none; training and evaluation use the processor"),
        "reflink": Check(State.WEAKENED, "/tmp: operation not supported", "put the project on XFS or Btrfs"),
        "root": Check(State.OK, "key 0123456789ab"),
    }
    monkeypatch.setattr(journey, "CHECKS", {name: lambda here, row=row: row for name, row in rows.items()})

    assert run(["doctor", "--format", form]) == 1

    golden.check(GOLDEN / f"doctor.{suffix}", capfd.readouterr().out)


def test_who_interrupts_a_check_ends_the_command(monkeypatch):
    def stopped(here):
        raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        journey._guarded(stopped, Project())


def test_the_project_and_its_parts_can_be_named_from_elsewhere(project, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    named = [
        f"--{name}={project.path / file}"
        for name, file in (("project", "tuneguard.yaml"), ("policy", "policy.yaml"))
    ]

    assert run(["doctor", *named, "--json"]) == 0

    rows = {row["check"]: row for row in json.loads(capfd.readouterr().out)["facts"]["checks"]}
    assert "expires" in rows["policy"]["found"]
    assert "builder" in rows["keys"]["found"]


def test_a_kernel_without_landlock_is_weakened(monkeypatch: pytest.MonkeyPatch) -> None:
    said = subprocess.CompletedProcess([], 0, b'{"writes": "Function not implemented"}', b"")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: said)

    found = machine.steps(Project())

    assert found.state is State.WEAKENED
    assert found.found == "writes cannot be given up: Function not implemented"


def test_this_kernel_lets_steps_give_up_what_they_do_not_need() -> None:
    assert machine.steps(Project()).state is State.OK
