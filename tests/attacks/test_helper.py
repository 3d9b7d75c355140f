"""A process outside works with the training: it hands it the network, or carries out what it found."""

from __future__ import annotations

import os
from contextlib import chdir
from typing import TYPE_CHECKING

import pytest

from tuneguard.journey.train import train
from tuneguard.progress import SILENT
from tuneguard.project.project import Project
from world.helper import WAITING, helped

if TYPE_CHECKING:
    from collections.abc import Callable

    from projects import ProjectFolder

    from tuneguard.progress import Task

pytestmark = pytest.mark.sandbox

TRAIN = 'import os, sys\nopen(sys.argv[4] + "/config.json", "w").write(\'{"model_type": "llama"}\')\n'


class Listening:
    """A reporter that acts when the training says `word`."""

    def __init__(self, word: str, act: Callable[[], object]) -> None:
        self._word, self._act = word, act

    def emit(self, verb: str, text: str, *details: str) -> None:
        del verb, details
        if text == self._word:
            self._act()

    def status(self, text: str) -> None:
        """What the training says of its progress is nothing to it."""

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        return SILENT.task(verb, total=total, unit=unit)


@pytest.mark.parametrize("place", ["{checkpoint}", "{scratch}"])
def test_attack_a_helper_outside_that_hands_the_training_the_network(
    open_project: ProjectFolder, place: str
) -> None:
    """It looks in each folder that the training writes to, which the training has opened to everybody."""
    if os.geteuid() != 0:
        pytest.skip("needs root, which gives the training a user of its own")
    project = open_project
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace('"{run}"]', f'"{{run}}", "{place}"]'))
    project.write("code/train.py", TRAIN + WAITING)
    project.write("handed", "a file of the host").chmod(0o644)
    written = {
        "{checkpoint}": project.path / "runs/.042.partial/checkpoint",
        "{scratch}": project.path / ".tuneguard/runs/042/scratch",
    }[place]
    said = []

    def look() -> None:
        inside = "/tuneguard/" + place.strip("{}")
        said.append(helped(written, inside, project.path / "handed"))
        (written / "stop").touch()

    with chdir(project.path):
        result = train(run="042", project=Project(reporter=Listening("waiting", look)))

    assert [(each["met"], each["refused"]) for each in said] == [([], ["Permission denied"])]
    controls = result.facts.controls
    assert {controls[name].state for name in ("network", "filesystem")} == {"proven"}
    assert "was handed" not in (project.path / ".tuneguard/runs/042/train.log").read_text()


def test_attack_a_checkpoint_left_open_for_whoever_comes_after_the_training(
    open_project: ProjectFolder,
) -> None:
    """Everybody may write, one user by an access list: nobody may when the checkpoint has its place."""
    project = open_project
    project.write(
        "code/train.py",
        TRAIN
        + """
os.chdir(sys.argv[4])
os.mkdir("deep")
open("deep/tokenizer_config.json", "w").write("{}")
os.setxattr("config.json", "user.note", b"read me")
for path in (".", "deep", "config.json", "deep/tokenizer_config.json"):
    os.chmod(path, 0o777)
os.chmod("deep/tokenizer_config.json", 0)
""",
    )

    assert project("run", "--run", "042") == 0

    checkpoint = project.path / "runs/042"
    for path in (checkpoint, *checkpoint.rglob("*")):
        assert path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path
        assert os.listxattr(path) == [], path
    assert project("verify", "runs/042", "--for", "promote", "--model", "support-llama", "--run", "042") == 0
