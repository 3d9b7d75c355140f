"""Mistakes that cost neither a run id nor what was signed before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from projects import TRAIN

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox


def test_a_folder_of_a_run_named_in_place_of_the_run_leaves_the_run_as_it_was(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TRAIN + "(checkpoint / 'checkpoint-1').mkdir()\n"
        "(checkpoint / 'checkpoint-1/trainer_state.json').write_text('{}')\n")  # fmt: skip
    assert project("run", "--run", "042", "--quiet") == 0
    promote = ("--to", "oci:registry:x", "--model", "support-llama", "--run", "042")

    assert project("promote", "runs/042/checkpoint-1", *promote) == 1
    assert "--subset" in capsys.readouterr().err
    assert project("scan", "runs/042/checkpoint-1", "--sign", "--model", "support-llama") == 1
    assert project("verify", "runs/042", "--for", "promote", "--model", "support-llama", "--run", "042") == 0


def test_a_failed_training_that_left_nothing_says_how_it_failed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", "raise SystemExit(3)\n")

    assert project("run", "--run", "042", "--keep-intermediate") == 1
    said = capsys.readouterr().err
    assert "the training failed (exit code 3)" in said
    assert "train.log" in said


def test_code_that_is_a_repository_and_a_file_to_resume_from_cost_no_run_id(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("run", "--run", "042", "--resume", "train-config.yaml") == 2
    assert "is no folder" in capsys.readouterr().err
    (project.path / "code/.git/refs").mkdir(parents=True)
    assert project("run", "--run", "042") == 1
    assert "git repository of its own" in capsys.readouterr().err
    assert not (project.path / ".tuneguard/runs/042").exists()


def test_runs_of_no_project_are_an_error(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert project("runs", "--project", "nothing.yaml") == 2
    assert "nothing.yaml: there is no project" in capsys.readouterr().err
