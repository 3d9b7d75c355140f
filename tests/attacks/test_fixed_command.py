"""Code that the policy's owner has read is worth as much as the command that runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from projects import MODEL
from steps import Promotion

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

OTHER = "import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'config.json').write_text('{{\"x\": 1}')"


def asked(project: ProjectFolder, command: list[str]) -> None:
    """The pipeline file asks for another command."""
    lines = (project.path / "tuneguard.yaml").read_text().splitlines()
    [place] = [place for place, line in enumerate(lines) if line.startswith("  command: ")]
    lines[place] = f"  command: {json.dumps(command)}"
    project.write("tuneguard.yaml", "\n".join(lines) + "\n")


def fix(project: ProjectFolder, *what: str) -> None:
    options = {
        "code": ("--code", "code"),
        "config": ("--config", "train-config.yaml"),
        "command": ("--command",),
    }
    chosen = [word for each in what for word in options[each]]
    assert project("policy", "set-model", MODEL, *chosen, "--quiet") == 0


def test_attack_a_fixed_code_with_a_free_command(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Why both are asked for together: with the code alone fixed, another code was trained with."""
    fix(project, "code")
    asked(project, ["python", "-c", OTHER, "{checkpoint}"])
    assert project("run", "--run", "041", "--quiet") == 0
    assert (project.path / "runs/041/config.json").read_text() == '{"x": 1}'
    assert project("policy", "check", "--json") == 0
    assert "need not run the code" in capsys.readouterr().out

    pipeline = (project.path / "tuneguard.yaml").read_text()
    asked(project, ["python", "{code}/train.py"])
    fix(project, "code", "config", "command")
    project.write("tuneguard.yaml", pipeline)

    assert project("run", "--run", "042") == 1

    assert "the command is not the one that the policy has" in capsys.readouterr().err
    assert not (project.path / "runs/042").exists()
    assert not (project.path / ".tuneguard/runs/042").exists()


def test_the_command_that_the_policy_has_is_trained_with(project: ProjectFolder) -> None:
    fix(project, "code", "config", "command")

    assert project("run", "--run", "042", "--quiet") == 0
    Promotion(project).passed()


def test_attack_a_run_under_a_free_command_promoted_after_the_command_was_fixed(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(trained, ["python", "-c", OTHER, "{checkpoint}"])
    fix(trained, "command")
    promotion = Promotion(trained)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 1
    assert "the command is not the one that the policy has" in capsys.readouterr().out


SHOWN = "import os, pathlib, sys; (pathlib.Path(sys.argv[1]) / 'config.json').write_text(os.environ['MODE'])"


def in_environment(project: ProjectFolder, env: str) -> None:
    """The pipeline file adds variables."""
    text = (project.path / "tuneguard.yaml").read_text()
    assert "  command: " in text
    project.write("tuneguard.yaml", text.replace("  command: ", f"  env: {env}\n  command: "))


def test_attack_a_fixed_command_in_a_free_environment(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same code and command do something else, as a variable tells them to."""
    asked(project, ["python", "-c", SHOWN, "{checkpoint}"])
    in_environment(project, '{MODE: "{honest}"}')
    assert project("run", "--run", "041", "--quiet") == 0
    assert (project.path / "runs/041/config.json").read_text() == "{honest}"
    fix(project, "code", "config", "command")
    before = (project.path / "tuneguard.yaml").read_text()

    for env in ('{MODE: "{poison}"}', '{MODE: "{honest}", MORE: x}', "{}"):
        project.write("tuneguard.yaml", before.replace('{MODE: "{honest}"}', env))
        assert project("run", "--run", "042") == 1
        assert "the environment (train.env) is not the one that the policy has" in capsys.readouterr().err
        assert not (project.path / "runs/042").exists()
        assert not (project.path / ".tuneguard/runs/042").exists()

    project.write("tuneguard.yaml", before)
    assert project("run", "--run", "042", "--quiet") == 0


def test_attack_a_run_in_a_free_environment_promoted_after_it_was_fixed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = (project.path / "tuneguard.yaml").read_text()
    in_environment(project, "{MODE: poison}")
    assert project("run", "--run", "042", "--quiet") == 0
    project.write("tuneguard.yaml", honest)
    fix(project, "command")
    promotion = Promotion(project)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 1
    said = capsys.readouterr().out
    assert "the environment is not the one that the policy has" in said
    assert "used MODE=poison; listed: none" in said


@pytest.mark.parametrize(
    "command", [["python", "{code}/train.py", "{{config}"], ["python", "/tuneguard/code/train.py"]]
)
def test_attack_a_command_that_only_looks_like_the_policys(
    project: ProjectFolder, command: list[str]
) -> None:
    asked(project, ["python", "{code}/train.py", "{config}"])
    fix(project, "command")
    asked(project, command)

    assert project("run", "--run", "042") == 1
    assert not (project.path / "runs/042").exists()


def test_code_that_was_fixed_and_then_edited_is_refused(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    fix(project, "code", "config", "command")
    project.write("train-config.yaml", "epochs: 2\n")

    assert project("run", "--run", "042") == 1
    assert "does not list this config" in capsys.readouterr().err
