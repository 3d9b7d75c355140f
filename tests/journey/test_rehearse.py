"""A rehearsal: the isolation and inputs of a run, what the run lacks, and nothing left of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from projects import TRAIN

from tuneguard.sandbox.controls import Outcome
from tuneguard.training import rehearsal

if TYPE_CHECKING:
    from projects import ProjectFolder


def rehearsed(project: ProjectFolder, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, Any]:
    capsys.readouterr()
    assert project("run", "--rehearse", "--json") == code
    result = json.loads(capsys.readouterr().out)
    assert result["command"] == "run"
    return dict(result)


def rules(result: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in result["findings"]}


@pytest.mark.sandbox
def test_a_rehearsal_passes_signs_nothing_and_leaves_nothing(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = 'import os; assert os.environ["TUNEGUARD_REHEARSE"] == "1"\n'
    project.write("code/train.py", wanted + TRAIN)
    monkeypatch.setenv("TUNEGUARD_HOME", str(project.path / "nobody"))  # no keys are there
    root = project.path.parent / "home/root.pub"

    capsys.readouterr()
    assert project("run", "--rehearse", "--root", str(root), "--json") == 0
    facts = json.loads(capsys.readouterr().out)["facts"]

    assert facts["files"] == 3
    assert facts["memory"] is None or facts["memory"] > 0
    assert not (project.path / "runs").exists()
    assert os.listdir(project.path / ".tuneguard/rehearsals") == []
    assert os.listdir(project.path / ".tuneguard/runs") == []


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("script", "rule", "message"),
    [
        ("import no_such_module\n", "R-MODULE", "the module no_such_module is not installed"),
        ("open('/data/rows.jsonl')\n", "R-PATH", "/data/rows.jsonl is not in the sandbox"),
        ("open(data / 'cache', 'w')\n", "R-PATH", "cannot be written or read in the sandbox"),
        ("import socket; socket.getaddrinfo('hub.example', 443)\n", "R-NETWORK", "tries to reach a network"),
        ("print('odd'); raise SystemExit(7)\n", "R-FAILED", "the training failed (exit code 7): odd"),
    ],
)
def test_a_rehearsal_names_what_the_run_lacks(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], script: str, rule: str, message: str
) -> None:
    project.write("code/train.py", TRAIN + script)

    result = rehearsed(project, capsys, 1)

    assert rules(result) == {rule}
    assert message in result["findings"][0]["message"]
    assert result["findings"][0]["fix"]
    assert project("explain", rule) == 0


@pytest.mark.sandbox
def test_a_rehearsal_scans_what_was_written(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TRAIN + "(checkpoint / 'steps.pkl').write_bytes(b'cos\\nsystem\\n.')\n")

    assert rules(rehearsed(project, capsys, 1)) == {"TG-PKL-IMPORT"}


@pytest.mark.sandbox
def test_a_training_that_writes_nothing_is_found(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", "print('done')\n")

    result = rehearsed(project, capsys, 1)
    assert rules(result) == {"R-OUTPUT"}
    assert "wrote no checkpoint" in result["findings"][0]["message"]


@pytest.mark.sandbox
def test_a_rehearsal_ends_at_its_own_deadline(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuneguard.training.execute.SECONDS", 2)
    project.write("code/train.py", TRAIN + "import time; time.sleep(3600)\n")

    result = rehearsed(project, capsys, 0)

    assert rules(result) == {"R-DEADLINE"}
    assert result["facts"]["files"] == 3


def test_attack_a_log_cannot_write_to_the_terminal_through_a_finding() -> None:
    outcome = Outcome(1, None, None, (), 1.0)
    log = b"ModuleNotFoundError: No module named '\x1b[2Jevil'\n"

    (found,) = rehearsal.reasons(outcome, log)

    assert "\x1b" not in found.message


def test_a_rehearsal_takes_no_run_id(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert project("run", "--rehearse", "--run", "042") == 2
    assert "a rehearsal has no run id" in capsys.readouterr().err
