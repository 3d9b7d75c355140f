"""The tutorial as a reader follows it: its files are written, its commands run, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
STEP = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SIGNING = re.compile(r"^tuneguard (?:init|seal|policy set-model|run|promote)\b", re.MULTILINE)
PROMPTED = "--passphrase-env TUTORIAL_PASSPHRASE"
"""Stands in for what a reader types."""


def steps() -> list[tuple[str, str]]:
    """What the page asks for, in its order: a file's name and text, or ``sh`` and commands."""
    found = []
    for step in STEP.finditer(PAGE):
        named = re.findall(r"`([\w.]+\.(?:py|yaml))`", step["before"])
        found.append(("sh" if step["language"] == "sh" else named[-1], step["text"]))
    return found


def typed(commands: str) -> str:
    """The commands, with the passphrase given where a reader is asked for it."""
    return SIGNING.sub(lambda call: f"{call[0]} {PROMPTED}", commands)


def test_the_page_has_files_and_commands():
    kinds = [kind for kind, _ in steps()]

    assert len(kinds) == PAGE.count("\n```") / 2, "a block that no paragraph introduces"
    assert [kind for kind in kinds if kind != "sh"] == ["train.py", "stand_ins.py", "tuneguard.yaml"]


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.sandbox
def test_a_reader_who_follows_the_tutorial_gets_a_verified_model(tmp_path, own_home):
    home = own_home.parent
    environment = {
        **os.environ,
        "HOME": str(home),
        "TUNEGUARD_HOME": str(own_home),
        "TUTORIAL_PASSPHRASE": "typed by the reader",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    project = tmp_path / "project"
    project.mkdir()
    printed = ""
    for kind, text in steps():
        if kind != "sh":
            (project / kind).write_text(text)
            continue
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", typed(text)],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-5000:]}"
        printed += done.stdout

    assert "Traceback" not in printed
    assert printed.rstrip().endswith("exit code 1: refused")
    assert "tickets.jsonl" in done.stdout
    assert (project / "served/model.safetensors").is_file()
    assert not (project / "runs/002.evidence").exists()
