"""Shell completion: the script of each shell, and what it asks the program for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "completion.md").read_text()
MAIN = "import sys; sys.argv[0] = 'tuneguard'; from tuneguard.cli.app import main; main()"


def program(**environment: str) -> str:
    """What the program prints when a shell asks it."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def completed(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = len(line.split(" ")) - 1
    answer = program(_TUNEGUARD_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(words))
    return [each.partition(",")[2] for each in answer.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_program_writes_the_script_of_each_documented_shell(shell):
    script = program(_TUNEGUARD_COMPLETE=f"{shell}_source")

    assert f"_TUNEGUARD_COMPLETE={shell}_source tuneguard" in PAGE
    assert f"_TUNEGUARD_COMPLETE={shell}_complete" in script
    assert re.search(r"_tuneguard_completion", script)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tuneguard prom", ["promote"]),
        ("tuneguard policy mi", ["migrate"]),
        ("tuneguard pull --mod", ["--model"]),
        ("tuneguard seal data --as eval", ["evaluation"]),
    ],
)
def test_commands_options_and_values_are_completed(line, offered):
    assert completed(line) == offered


def test_bash_runs_the_script(tmp_path):
    (tmp_path / "tuneguard").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{MAIN}"\n')
    (tmp_path / "tuneguard").chmod(0o755)
    script = program(_TUNEGUARD_COMPLETE="bash_source")
    ask = "COMP_WORDS=(tuneguard prom); COMP_CWORD=1; _tuneguard_completion tuneguard; echo ${COMPREPLY[*]}"

    done = subprocess.run(
        ["/bin/bash", "-c", f"{script}\n{ask}"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.split() == ["promote"], done.stderr
