"""How far a training is, through the sandbox: shown while it runs, kept, and off where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from projects import PIPELINE, TRAIN
from test_run import provenance_of

from tuneguard.integrations import metrics as integration
from world.events import framed, scalar

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

TELLING = (
    TRAIN
    + f"""
from tuneguard_metrics import report
for step in (1, 2, 3):
    report(step, 3, {{"loss": 1 / step}})
(checkpoint / "runs").mkdir()
(checkpoint / "runs/events.out.tfevents.1.host").write_bytes({framed(scalar(3, "train/lr", 0.5))!r})
import shutil
"""
)


def telling(project: ProjectFolder) -> None:
    """The training's code holds a copy of the file that is shipped, and uses it."""
    project.write("code/tuneguard_metrics.py", Path(integration.__file__).read_text())
    project.write("code/train.py", TELLING)


def kept(project: ProjectFolder, run: str) -> list[Any]:
    path = project.path / f".tuneguard/runs/{run}/metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_training_says_how_far_it_is(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    telling(project)

    assert project("run", "--run", "042") == 0

    assert "Trained  step 3 of 3  loss 0.3333" in capsys.readouterr().out
    said = [{name: each[name] for name in each if name != "time"} for each in kept(project, "042")]
    assert {"step": 2, "steps": 3, "loss": 0.5} in said
    assert {"step": 3, "train/lr": 0.5} in said
    assert sorted(path.name for path in (project.path / ".tuneguard/runs/042").iterdir()) == [
        "metrics.jsonl",
        "run.json",
        "train.log",
    ]
    assert provenance_of(project, "042").chosen.metrics


def test_the_pipeline_file_switches_it_off(project: ProjectFolder) -> None:
    telling(project)
    project.write("tuneguard.yaml", PIPELINE.replace("  scratch: 1Gi\n", "  scratch: 1Gi\n  metrics: off\n"))

    assert project("run", "--run", "042", "--quiet") == 0

    assert not (project.path / ".tuneguard/runs/042/metrics.jsonl").exists()
    assert not provenance_of(project, "042").chosen.metrics
