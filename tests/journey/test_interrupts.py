"""Stopped by a person, a service manager or a closed terminal: exit 130, nothing runs on or is signed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kills import home_of, ledger_of, left_over, sound, started, tags_of
from projects import MODEL, TRAIN
from steps import Promotion, verdicts

from tuneguard.journey import init as initialising
from tuneguard.ledger.entry import Event
from tuneguard.sandbox.controls import CONTROLS, Control, Outcome
from tuneguard.sandbox.state import ControlState
from tuneguard.training import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projects import ProjectFolder

    from tuneguard.sandbox.controls import Confinement

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

HOLDING = """\
import fcntl, os, signal, sys
checkpoint = sys.argv[4]
alive = open(os.path.join(checkpoint, "alive"), "w")
fcntl.flock(alive, fcntl.LOCK_EX)
"""
"""A training that holds a lock on a file of its checkpoint for as long as it lives."""

ENDLESS = HOLDING + 'print("under way", flush=True)\nsignal.pause()\n'

DEAF = (
    HOLDING
    + """\
signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
print("under way", flush=True)
while True:
    signal.pause()
"""
)

SAVES_WHEN_ASKED = (
    HOLDING
    + """\
def save(*_):
    with open(os.path.join(checkpoint, "trainer_state.json"), "w") as file:
        file.write("{}")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("under way", flush=True)
signal.pause()
"""
)

WAITS_AT_A_GATE = (
    HOLDING
    + """\
gate = os.path.join(checkpoint, "gate")
os.mkfifo(gate)
print("under way", flush=True)
open(gate).close()
os.unlink(gate)
"""
)


@pytest.fixture
def endless(project: ProjectFolder) -> ProjectFolder:
    project.write("code/train.py", ENDLESS)
    return project


@contextlib.contextmanager
def under_way(
    project: ProjectFolder, *command: str, at: str = "under way"
) -> Iterator[subprocess.Popen[bytes]]:
    """The program in a session of its own, once it has said `at`."""
    child = started(project, *command, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        heard(child, at)
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def heard(child: subprocess.Popen[bytes], wanted: str) -> None:
    """Read what the program says up to a line with `wanted`."""
    assert child.stdout is not None
    said = []
    for line in child.stdout:
        said.append(line)
        if wanted.encode() in line:
            return
    raise AssertionError(b"".join(said).decode())


def ended(child: subprocess.Popen[bytes]) -> str:
    said, _ = child.communicate()
    return said.decode()


def written(project: ProjectFolder) -> Path:
    """What the training of the run 042 writes to, or wrote to."""
    meanwhile = project.path / "runs/.042.partial/checkpoint"
    return meanwhile if meanwhile.exists() else project.path / "runs/042"


def is_dead(project: ProjectFolder) -> bool:
    """Whether the training is: nobody holds the lock that it took."""
    with (written(project) / "alive").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def step_of(conductor: subprocess.Popen[bytes]) -> int:
    """The process id of the step that the conductor runs now."""
    [child] = Path(f"/proc/{conductor.pid}/task/{conductor.pid}/children").read_text().split()
    return int(child)


def wait_for(process: int) -> None:
    """Wait until a process that is no child of ours is dead."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process)
        select.select([descriptor], [], [], 60)
        os.close(descriptor)


def told_of_run(project: ProjectFolder) -> list[Event]:
    """What the ledger has about the run 042."""
    return [entry.event for entry in ledger_of(project) if entry.run == "042"]


# --- A run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_interrupted_ends_its_training_and_signs_nothing(
    endless: ProjectFolder, number: signal.Signals
) -> None:
    with under_way(endless, "run", "--run", "042") as run:
        assert not is_dead(endless)

        run.send_signal(number)

        said = ended(run)
    assert run.returncode == 130
    assert "the training was interrupted after" in said
    assert "run again under a new id" in said
    assert is_dead(endless)
    assert not (endless.path / "runs/042.evidence").exists()
    assert told_of_run(endless) == [Event.BEGUN]
    assert left_over(endless) == []
    endless.write("code/train.py", TRAIN)
    assert endless("run", "--run", "043", "--quiet") == 0
    sound(endless)


def test_ctrl_c_at_a_terminal_asks_the_training_once(project: ProjectFolder) -> None:
    project.write("code/train.py", SAVES_WHEN_ASKED)

    with under_way(project, "run", "--run", "042", "--keep-intermediate") as run:
        os.killpg(run.pid, signal.SIGINT)
        said = ended(run)

    assert run.returncode == 130
    assert "Signed" in said
    assert "intermediate" in said
    sound(project)
    assert len(list((project.path / "runs/042.evidence").iterdir())) == 2
    assert project("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 1


def test_ctrl_c_again_ends_a_training_that_does_not_listen(project: ProjectFolder) -> None:
    project.write("code/train.py", DEAF)

    with under_way(project, "run", "--run", "042") as run:
        run.send_signal(signal.SIGINT)
        heard(run, "not yet")
        run.send_signal(signal.SIGINT)
        ended(run)

        assert run.returncode == 130
        with (written(project) / "alive").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # its supervisor is dead, and the kernel ends it
    assert not (project.path / "runs/042.evidence").exists()
    sound(project)


def test_a_supervisor_that_is_killed_takes_its_training_with_it(endless: ProjectFolder) -> None:
    with under_way(endless, "run", "--run", "042") as run:
        os.kill(step_of(run), signal.SIGKILL)

        assert "killed by SIGKILL" in ended(run)
        with (written(endless) / "alive").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
    assert run.returncode == 3
    assert not (endless.path / "runs/042.evidence").exists()
    assert left_over(endless) != []
    endless.write("code/train.py", TRAIN)
    assert endless("run", "--run", "043", "--quiet") == 0
    assert left_over(endless) == []
    assert (endless.path / "runs/042/alive").exists()
    sound(endless)


def test_a_supervisor_that_is_told_to_stop_says_so(endless: ProjectFolder) -> None:
    with under_way(endless, "run", "--run", "042") as run:
        os.kill(step_of(run), signal.SIGTERM)
        ended(run)

    assert run.returncode == 130
    assert is_dead(endless)
    assert not (endless.path / "runs/042.evidence").exists()


def test_a_training_whose_conductor_was_killed_is_finished_and_signed(project: ProjectFolder) -> None:
    project.write("code/train.py", WAITS_AT_A_GATE)

    with under_way(project, "run", "--run", "042") as run:
        supervisor = step_of(run)
        run.kill()
        (written(project) / "gate").open("w").close()
        wait_for(supervisor)

    sound(project)
    assert told_of_run(project) == [Event.BEGUN, Event.JUDGED, Event.DONE]
    assert left_over(project) == []
    assert project("verify", "runs/042", "--for", "promote", "--model", MODEL, "--run", "042") == 0


def test_a_run_that_begins_meanwhile_leaves_the_other_ones_checkpoint_alone(project: ProjectFolder) -> None:
    project.write("code/train.py", WAITS_AT_A_GATE)
    with under_way(project, "run", "--run", "042") as run:
        project.write("code/train.py", TRAIN)

        assert project("run", "--run", "043", "--quiet") == 0

        assert written(project).parent.name == ".042.partial"
        (written(project) / "gate").open("w").close()
        ended(run)
    assert run.returncode == 0
    assert left_over(project) == []


# --- A promotion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", ["Copied", "Verified"])
def test_a_promotion_that_is_interrupted_in_a_step_leaves_no_copy_and_no_verdict(
    trained: ProjectFolder, number: signal.Signals, at: str
) -> None:
    command = ("promote", "runs/042", "--to", "oci:registry:ft-042", "--model", MODEL, "--run", "042")

    with under_way(trained, *command, at=at) as promotion:
        promotion.send_signal(number)
        assert "interrupted" in ended(promotion)

    assert promotion.returncode == 130
    sound(trained)
    assert left_over(trained) == []
    assert verdicts(trained) == []
    assert tags_of(trained) == []
    Promotion(trained).passed()


def test_the_copy_of_a_killed_promotion_goes_with_the_next_one(trained: ProjectFolder) -> None:
    command = ("promote", "runs/042", "--to", "oci:registry:ft-042", "--model", MODEL, "--run", "042")
    path = trained.path / "runs/042/model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")  # so that it ends at its second step

    with under_way(trained, *command, at="Copied") as promotion:
        promotion.kill()
        ended(promotion)  # its step has the same standard error, and ends
    assert len(left_over(trained)) == 1
    sound(trained)
    (trained.path / ".tuneguard/evaluate-0123456789ab/set").mkdir(parents=True)  # as a killed `evaluate` does

    assert trained(*command) == 1
    assert left_over(trained) == []


# --- Other commands --------------------------------------------------------------------------------


def test_a_push_that_is_interrupted_while_it_waits_tags_nothing(
    trained: ProjectFolder, tmp_path: Path
) -> None:
    promotion = Promotion(trained)
    promotion.judged()
    assert promotion.decide() == 0
    (trained.path / "registry").mkdir()
    header = trained.path / "registry/oci-layout"
    header.write_text('{"imageLayoutVersion":"1.0.0"}')
    os.mkfifo(tmp_path / "steps")

    with header.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        push = started(trained, *promotion.command("push"), fault=f"0:{tmp_path}/steps")
        with os.fdopen(os.open(tmp_path / "steps", os.O_RDWR)) as steps:  # so that it never ends
            assert steps.readline() == "commit:ledger.db\n"
            assert steps.readline() == "committed:ledger.db\n"  # it has begun, and waits for the layout
            push.send_signal(signal.SIGTERM)
            _, said = push.communicate()

    assert push.returncode == 130, said
    assert tags_of(trained) == []
    sound(trained)
    assert promotion.push() == 0
    sound(trained)


class Interrupted:
    """A backend whose every run is stopped by the person."""

    name = "interrupted"

    def run(self, confinement: Confinement) -> Outcome:
        controls = tuple(Control(control, ControlState.ABSENT, "not tried") for control in CONTROLS)
        return Outcome(None, signal.SIGTERM, "interrupt", controls, 0.1, None)


def test_an_init_that_is_interrupted_does_not_take_the_controls_for_absent(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initialising, "find_backend", Interrupted)
    before = sorted(home_of(project).rglob("*"))
    (project.path / "new").mkdir()

    assert project("init", "new", "--name", "new", "--unsafe-no-passphrase") == 130

    assert list((project.path / "new").iterdir()) == []
    assert sorted(home_of(project).rglob("*")) == before


def test_a_run_that_is_interrupted_before_it_begins_claims_no_id(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "find_backend", Interrupted)

    assert project("train", "--run", "042") == 130

    assert not (project.path / "runs/042").exists()
    assert told_of_run(project) == []
