"""Whoever may write beside a folder puts another one, or a link, under its name at the right moment."""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from steps import Promotion

from tuneguard.errors import Refused, TuneguardError
from tuneguard.journey.train import train
from tuneguard.progress import SILENT
from tuneguard.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from projects import ProjectFolder

    from tuneguard.progress import Task

pytestmark = pytest.mark.sandbox

GREEDY = """\
import pathlib, sys
checkpoint = pathlib.Path(sys.argv[4])
(checkpoint / "config.json").write_text('{"model_type": "llama"}')
for path in checkpoint.rglob("*.key"):
    path.write_bytes(b"")
print("trained")
"""


class At:
    """A reporter that acts when a certain word is said: the moment that an attacker waits for."""

    def __init__(self, word: str, act: Callable[[], object]) -> None:
        self._word, self._act = word, act

    def emit(self, verb: str, text: str, *details: str) -> None:
        del details
        if self._word in (verb, text):
            self._act()

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        return SILENT.task(verb, total=total, unit=unit)

    def status(self, text: str) -> None:
        SILENT.status(text)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("runs/.042.partial/checkpoint", "is another file or folder"),
        ("runs/.042.partial", "no such file or folder"),
        ("runs/042", "is another folder than the one that this run made"),
    ],
)
def test_attack_the_checkpoints_folder_replaced_by_a_link_to_the_keys_before_the_training(
    project: ProjectFolder, place: str, found: str
) -> None:
    keys = Path(os.environ["TUNEGUARD_HOME"]) / "keys"
    replaced = project.path / place
    project.write("code/train.py", GREEDY)

    def swap() -> None:
        replaced.rename(project.path / "mine")
        replaced.symlink_to(keys)

    with chdir(project.path), pytest.raises(TuneguardError, match=found):
        train(run="042", project=Project(reporter=At("Training", swap)))

    assert all(path.stat().st_size for path in keys.rglob("*.key"))
    assert not (keys / "config.json").exists()


@pytest.mark.parametrize(
    ("place", "word"),
    [("runs/.042.partial/checkpoint", "trained"), ("runs/042", "trained"), ("runs/042", "Hashed")],
)
def test_attack_a_poisoned_folder_put_in_the_checkpoints_place_before_it_is_signed(
    project: ProjectFolder, place: str, word: str
) -> None:
    checkpoint = project.path / place
    project.write("code/train.py", GREEDY)

    def swap() -> None:
        checkpoint.rename(project.path / "mine")
        checkpoint.mkdir()
        (checkpoint / "config.json").write_text('{"model_type": "trojan"}')

    with chdir(project.path), pytest.raises(Refused, match="another folder than the one that this run made"):
        train(run="042", project=Project(reporter=At("trained", swap)))

    assert not (project.path / "runs/042.evidence").exists()


@pytest.mark.parametrize("name", ["", "attempts"])
def test_attack_the_folder_of_the_copies_led_to_a_place_where_others_write(
    trained: ProjectFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = trained.path / ".tuneguard" / name
    elsewhere = trained.path / "elsewhere"
    (elsewhere / "precious").mkdir(parents=True)
    if own.exists():
        own.rename(trained.path / "before")
    own.symlink_to(elsewhere)

    to = ("--to", "oci:registry:ft-042", "--model", "support-llama", "--run", "042")
    assert trained("promote", "runs/042", *to) == 1

    assert "a folder of this user's own" in capsys.readouterr().err
    assert (elsewhere / "precious").is_dir()
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]


def test_attack_copies_kept_where_everybody_writes(trained: ProjectFolder) -> None:
    (trained.path / ".tuneguard").chmod(0o777)

    assert Promotion(trained).copy() == 1
    assert "nobody else may write" in (trained.path / "copy.json").read_text()


def test_attack_an_attempts_id_that_leads_out_of_the_attempts(trained: ProjectFolder) -> None:
    assert trained("copy", "runs/042", "--attempt", "../../outside", "--model", "m", "--run", "042") == 2
    assert not (trained.path / "outside").exists()
