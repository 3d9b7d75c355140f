"""What a training says, and what the steps of a plan inherit."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tuneguard import limits
from tuneguard.engines.engine import Session, State
from tuneguard.engines.local import LocalEngine
from tuneguard.errors import CannotLook, Refused
from tuneguard.plan.step import Plan, Step
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

    from tuneguard.engines.engine import Outcome

TALKS = """\
import pathlib, sys
(pathlib.Path(sys.argv[4]) / "config.json").write_text('{"model_type": "llama"}')
for number in range(200_000):
    print(f"{number:0100d}")
"""


@pytest.mark.sandbox
def test_attack_a_training_that_talks_until_its_own_result_is_too_large_to_read(
    project: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TALKS)

    assert project("run", "--run", "042", "--json") == 0

    said = json.loads(capfd.readouterr().out)
    assert said["verdict"] == "passed"
    assert len(said["lines"]) < 20_000
    assert any("lines are not shown here" in part for line in said["lines"] for part in line)
    log = (project.path / ".tuneguard/runs/042/train.log").read_bytes()
    first, *_, last = log.splitlines()
    assert (int(first), int(last)) == (0, 199_999)
    lost = 200_000 * 101 - limits.LOG_HEAD - limits.LOG_TAIL
    assert b"\n[%d bytes of output are left out here]\n" % lost in log


def test_attack_a_passphrase_in_a_variable_is_not_inherited_by_the_steps_that_do_not_need_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_PASSPHRASE", "correct horse")
    engine = LocalEngine(Session(tmp_path, {}, passphrases={"promoter": b"correct horse"}))

    assert "MY_PASSPHRASE" not in engine.environment()
    assert "PATH" in engine.environment()


PASSES = """\
import json, os, pathlib, signal, sys
folder, passed = pathlib.Path(sys.argv[1]), json.dumps({"verdict": "passed"})
def write(folder, facts):
    (folder / "result.json").write_text(passed)
    (folder / "facts.json").write_text(facts)
"""


def stepped(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, state: Path | None = None
) -> Outcome:
    """What the local engine makes of a step that was taken over: it runs `code`, given its folder."""
    state = state or tmp_path / "steps"
    state.mkdir(parents=True, mode=0o700)
    step = Step("scan", "scan", facts=("statement",), sandbox=True)
    monkeypatch.setattr(
        LocalEngine,
        "_command",
        lambda self, step, outcomes, folder: [sys.executable, "-c", PASSES + code, str(folder)],
    )
    return LocalEngine(Session(state, {})).run(Plan((step,)), SILENT).steps["scan"]


def test_what_a_step_wrote_to_its_folder_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = stepped('write(folder, \'{"statement": "abc"}\')', tmp_path, monkeypatch)

    assert (found.state, found.facts) == (State.PASSED, {"statement": "abc"})


def test_attack_another_folder_in_the_place_of_the_steps_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may write to the project's folder renames ``.tuneguard``, and puts facts of their own there."""
    swap = """\
state = folder.parents[1]
os.rename(state, state.with_name("away"))
folder.mkdir(parents=True)
write(folder, '{"statement": "forged"}')
"""
    with pytest.raises(CannotLook, match="ended with 0 and no result"):
        stepped(swap, tmp_path, monkeypatch, state=tmp_path / "state/steps")


def test_attack_another_folder_put_there_before_the_step_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planted(self: Path, mode: int = 0o777) -> None:
        make(self, mode)
        (self / "facts.json").write_text('{"statement": "forged"}')

    (tmp_path / "steps").mkdir()
    make = type(tmp_path).mkdir
    step = Step("scan", "scan", facts=("statement",), sandbox=True)
    monkeypatch.setattr(type(tmp_path), "mkdir", planted)

    with pytest.raises(Refused, match="another folder"):
        LocalEngine(Session(tmp_path / "steps", {})).run(Plan((step,)), SILENT)


@pytest.mark.parametrize("fact", ["a\\u0000b", "a\\nb", "\\u001b[2J"])
def test_attack_a_fact_that_no_argument_can_hold_or_a_terminal_acts_on(
    fact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotLook, match="wrote a fact statement that cannot be an argument"):
        stepped(f'write(folder, r\'{{"statement": "{fact}"}}\')', tmp_path, monkeypatch)


@pytest.mark.parametrize("plant", ["os.mkfifo", "(lambda path: os.symlink('/etc/hostname', path))"])
def test_attack_no_file_as_the_result(plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotLook, match="ended with 0 and no result"):
        stepped(f"{plant}(folder / 'result.json')", tmp_path, monkeypatch)


def test_a_step_that_a_signal_without_a_name_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotLook, match="was killed by signal 40"):
        stepped("os.kill(os.getpid(), 40)", tmp_path, monkeypatch)


def test_a_step_that_cannot_write_its_result_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: the error is the only thing that is believed without a file."""
    says = 'print(json.dumps({"verdict": "passed", "error": {"problems": []}})); sys.exit(3)'
    found = stepped(says, tmp_path, monkeypatch)
    assert (found.state, found.facts) == (State.FAILED, {})
    assert "error" in found.result

    with pytest.raises(CannotLook, match="ended with 0 and no result"):
        stepped("print(passed)", tmp_path, monkeypatch, state=tmp_path / "other")
