"""A training that was ended from outside goes on as the next segment of the same run."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from projects import TRAIN
from test_run import provenance_of

from tuneguard.attest.predicates.provenance import Segment
from tuneguard.progress import SILENT
from tuneguard.sandbox.controls import Confinement, Control, Outcome
from tuneguard.sandbox.state import ControlState
from tuneguard.training import segments

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

KILLED = """
import os, pathlib, sys
checkpoint = pathlib.Path(sys.argv[4])
if "TUNEGUARD_SEGMENT" not in os.environ:
    for name in ("checkpoint-2", "checkpoint-10", "checkpoint-30"):
        (checkpoint / name).mkdir()
        (checkpoint / name / "trainer_state.json").write_text("{}")
    (checkpoint / "checkpoint-30" / "checkpoint-is-incomplete.txt").touch()
    (checkpoint / "checkpoint-99").mkdir()
    (checkpoint / "checkpoint-100").symlink_to("checkpoint-2")
    os.kill(os.getpid(), 9)
assert os.environ["TUNEGUARD_SEGMENT"] == "2"
assert os.environ["TUNEGUARD_RESUME"] == str(checkpoint / "checkpoint-10")
for name in ("checkpoint-30/checkpoint-is-incomplete.txt", "checkpoint-100"):
    (checkpoint / name).unlink()
"""


def with_retries(project: ProjectFolder, number: int) -> None:
    path = project.path / "tuneguard.yaml"
    path.write_text(path.read_text().replace("  scratch: 1Gi\n", f"  scratch: 1Gi\n  retries: {number}\n"))


@pytest.mark.sandbox
def test_a_killed_training_goes_on_from_its_newest_whole_checkpoint(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with_retries(project, 1)
    project.write("code/train.py", KILLED + TRAIN)

    assert project("run", "--run", "042") == 0

    assert "segment 2 goes on from checkpoint-10" in capsys.readouterr().out
    (found,) = provenance_of(project, "042").observed.segments
    assert (found.signal, found.resumed) == (9, "checkpoint-10")
    assert project("verify", "runs/042", "--for", "promote", "--model", "support-llama", "--run", "042") == 0


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("retries", "end", "why"),
    [
        (0, "os.kill(os.getpid(), 9)", "signal 9"),
        (2, "os.kill(os.getpid(), 9)", "signal 9"),
        (2, "raise SystemExit(3)", "exit code 3"),
        (2, "os.kill(os.getpid(), 11)", "signal 11"),
    ],
)
def test_what_ends_by_itself_or_too_often_is_refused(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], retries: int, end: str, why: str
) -> None:
    with_retries(project, retries)
    project.write("code/train.py", f"import os\nprint('here we are', flush=True)\n{end}\n")

    assert project("run", "--run", "042") == 1

    said = capsys.readouterr()
    assert why in said.err
    assert said.out.count("here we are") == (3 if (retries, why) == (2, "signal 9") else 1)
    assert not (project.path / "runs/042.evidence").exists()


class Backend:
    """Ends every training by SIGKILL after 40 s; the second one's control is weaker."""

    name = "killer"

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    def run(self, confinement: Confinement) -> Outcome:
        self.deadlines.append(confinement.deadline)
        state = ControlState.WEAKENED if len(self.deadlines) == 2 else ControlState.PROVEN
        controls = (Control("network", state, f"segment {len(self.deadlines)}"),)
        return Outcome(None, int(signal.SIGKILL), None, controls, 40.0)


def test_all_segments_have_one_deadline_and_the_weakest_control_counts(tmp_path: Path) -> None:
    backend = Backend()
    confinement = Confinement(("true",), (), "/", {}, deadline=100.0)

    outcome, before = segments.run(backend, confinement, tmp_path, "/checkpoint", retries=10, reporter=SILENT)

    assert backend.deadlines == [100.0, 60.0, 20.0]
    assert outcome.seconds == 120.0
    assert outcome.controls == (Control("network", ControlState.WEAKENED, "segment 2"),)
    assert before == (Segment(seconds=40, signal=9), Segment(seconds=40, signal=9))


def test_a_run_at_its_bound_of_memory_is_not_retried(tmp_path: Path) -> None:
    class Full(Backend):
        def run(self, confinement: Confinement) -> Outcome:
            super().run(confinement)
            return Outcome(None, 9, None, (), 1.0, note="the kernel ended a process at the memory limit")

    backend = Full()
    confinement = Confinement(("true",), (), "/", {}, deadline=100.0)
    segments.run(backend, confinement, tmp_path, "/checkpoint", retries=10, reporter=SILENT)

    assert len(backend.deadlines) == 1


def test_attack_a_link_is_no_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/trainer_state.json").touch()
    written = tmp_path / "written"
    written.mkdir()
    (written / "checkpoint-1").symlink_to(tmp_path / "elsewhere")
    (written / "checkpoint-2").mkdir()
    (written / "checkpoint-2/trainer_state.json").symlink_to(tmp_path / "elsewhere/trainer_state.json")

    assert segments.newest(written) is None


def test_more_retries_than_anyone_needs_are_an_error(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with_retries(project, 11)

    assert project("run", "--run", "042") == 2
    assert "must be at most 10" in capsys.readouterr().err
