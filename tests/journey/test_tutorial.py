"""The tutorials as a reader follows them: files are written and commands run, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tuneguard

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tutorial.md").read_text()
LORA = (DOCS / "lora.md").read_text()
STEP = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
SIGNING = re.compile(r"^tuneguard (?:init|seal|policy set-model|run|promote)\b", re.MULTILINE)
PROMPTED = "--passphrase-env TUTORIAL_PASSPHRASE"
"""Stands in for what a reader types."""


def steps(page: str) -> list[tuple[str, str]]:
    """What a page asks for, in its order: a file's name and text, or ``sh`` and commands."""
    found = []
    for step in STEP.finditer(page):
        named = re.findall(r"`([\w.]+\.(?:py|yaml))`", step["before"])
        found.append(("sh" if step["language"] == "sh" else named[-1], step["text"]))
    return found


def typed(commands: str) -> str:
    """The commands, with the passphrase given where a reader is asked for it."""
    return SIGNING.sub(lambda call: f"{call[0]} {PROMPTED}", commands)


def followed(page: str, project: Path, own_home: Path) -> list[str]:
    """What each of a page's commands printed, in the folder `project`; each succeeds."""
    environment = {
        **os.environ,
        "HOME": str(own_home.parent),
        "TUNEGUARD_HOME": str(own_home),
        "TUTORIAL_PASSPHRASE": "typed by the reader",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    printed = []
    for kind, text in steps(page):
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
        assert "Traceback" not in done.stdout
        printed.append(done.stdout)
    return printed


@pytest.mark.parametrize(
    ("page", "files"),
    [(PAGE, ["train.py", "stand_ins.py", "tuneguard.yaml"]), (LORA, ["train_lora.py"])],
    ids=["tutorial", "lora"],
)
def test_the_page_has_files_and_commands(page, files):
    kinds = [kind for kind, _ in steps(page)]

    assert len(kinds) == page.count("\n```") / 2, "a block that no paragraph introduces"
    assert [kind for kind in kinds if kind != "sh"] == files


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.sandbox
def test_a_reader_who_follows_the_tutorial_gets_a_verified_model(tmp_path, own_home):
    printed = followed(PAGE, tmp_path, own_home)

    assert printed[-1].rstrip().endswith("exit code 1: refused")
    assert "tickets.jsonl" in printed[-1]
    assert (tmp_path / "served/model.safetensors").is_file()
    assert not (tmp_path / "runs/002.evidence").exists()


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.sandbox
def test_a_reader_who_trains_an_adapter_gets_it_signed_and_the_merged_model_promoted(tmp_path, own_home):
    followed(PAGE.partition("## 4. Train")[0], tmp_path, own_home)

    *_, rehearsed, trained, traced, _ = followed(LORA, tmp_path, own_home)

    assert "nothing is signed, nothing is kept" in rehearsed
    assert (tmp_path / "runs/lora-001/adapter_model.safetensors").is_file()
    assert not list((tmp_path / "runs/lora-001").glob("model*.safetensors"))
    assert "does not pass promotion" not in trained
    assert tree_of_base(tmp_path) in traced
    assert "lora-002" in (tmp_path / "registry/index.json").read_text()


def tree_of_base(project: Path) -> str:
    """The first digits of the base's digest."""
    return tuneguard.digest(project / "models/base").subjects[0].digest[:12]
