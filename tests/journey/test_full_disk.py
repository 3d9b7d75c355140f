"""A disk that takes no more: one sentence, exit 3, nothing half-written, and with room again it goes on.

A limit on the size of files stands for the full disk: it needs no root, and fails at the same calls.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from kills import Killer, copied, home_of, left_over, manifest_of, sound, started, tags_of, version_of
from projects import MODEL, SEAL, ProjectFolder

from tuneguard.artifact.removal import remove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kills import Template
    from steps import Promotion

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
SIZES = (0, 60, 150, 700, 1_500, 3_000, 5_000, 9_000, 16_000)
"""Bytes that a file may have: too few for a weight file, a key, a bundle, a policy, a ledger."""


def full(
    killer: Killer, template: Template | None, *command: str, sizes: tuple[int, ...] = SIZES
) -> Iterator[ProjectFolder]:
    """Copies in which the command failed for want of room, at one bound after another."""
    failed = 0
    for size in sizes:
        project = copied(template, killer.room / str(size))
        code, said = limited(project, size, *command)
        if code:
            failed += 1
            assert code == 3, (size, said)
            assert is_one_sentence(said), (size, said)
            killer.patch.setenv("TUNEGUARD_HOME", str(home_of(project)))
            sound(project)
            yield project
        remove(project.path.parent)
    assert failed


def limited(project: ProjectFolder, size: int, *command: str) -> tuple[int, str]:
    """Run a command that can write no file of more than `size` bytes; how it ended, and its errors."""
    child = started(project, *command, shim=(sys.executable, "-c", LIMITED, str(size)))
    said = child.communicate()[1].decode()
    return child.returncode, said


def is_one_sentence(said: str) -> bool:
    """One error, which is no bug of ours and says where."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    return len(errors) == 1 and not any(word in said for word in ("Traceback", "bug in", "unnamed"))


def test_keygen(killer: Killer) -> None:
    command = ("keygen", "k.key", "--unsafe-no-passphrase")

    for project in full(killer, None, *command):
        assert list(project.path.iterdir()) == []
        assert project(*command) == 0


def test_init(killer: Killer) -> None:
    command = ("init", ".", "--name", MODEL, "--unsafe-no-passphrase", "--quiet")

    for project in full(killer, None, *command):
        assert list(project.path.iterdir()) == []
        assert left_over(project) == []
        assert project(*command) == 0
        assert version_of(project) == 1


@pytest.mark.parametrize("inside", [(), ("--inside",)])
def test_seal(killer: Killer, made: Template, inside: tuple[str, ...]) -> None:
    said = ("--as", "dataset", "--name", "n", *SEAL, "--evidence", "new", "--quiet")

    for project in full(killer, made, "seal", "data/train", *said, *inside):
        assert [path.name for path in (project.path / "data/train").iterdir()] == ["tickets.jsonl"]
        assert left_over(project) == []
        assert project("seal", "data/train", *said, *inside) == 0


def test_set_model(killer: Killer, made: Template) -> None:
    command = ("policy", "set-model", MODEL, "--base", "models/toxicity", "--quiet")

    for project in full(killer, made, *command):
        assert left_over(project) == []
        assert project(*command) == 0
        assert version_of(project) == 3


def test_a_run(killer: Killer, made: Template) -> None:
    for project in full(killer, made, "run", "--run", "042", "--quiet", sizes=(0, 700, 9_000)):
        assert left_over(project) == []
        assert project("run", "--run", "043", "--quiet") == 0
        sound(project)


def test_a_run_whose_log_can_grow_no_more(killer: Killer, made: Template) -> None:
    project = copied(made, killer.room / "one")
    killer.patch.setenv("TUNEGUARD_HOME", str(home_of(project)))
    project.write("code/train.py", 'for _ in range(1000): print("x" * 99)\n')

    code, said = limited(project, 40_000, "run", "--run", "042")

    assert code == 3
    assert is_one_sentence(said)
    assert "train.log" in said
    assert not (project.path / "runs/042.evidence").exists()
    assert left_over(project) == []
    sound(project)


@pytest.mark.parametrize("step", ["copy", "scan", "decide", "push", "record"])
def test_a_step_of_a_promotion(
    killer: Killer, before: tuple[Promotion, dict[str, Template]], step: str
) -> None:
    promotion, stages = before
    match step:
        case "copy":
            command = promotion.copy_command()
        case "record":
            command = promotion.command(step, "--pushed", manifest_of(ProjectFolder(stages[step][1])))
        case _:
            command = promotion.command(step)

    for project in full(killer, stages[step], *command):
        assert tags_of(project) == (["ft-042"] if step == "record" else [])
        # An attempt in which a judgement was recorded and could not be kept is not judged again.
        assert project(*command) in ((0, 1) if step in ("scan", "decide") else (0,)), step
        sound(project)


def test_pull(killer: Killer, made_pushed: Template) -> None:
    command = ("pull", "oci:registry:ft-042", "served", "--model", MODEL, "--quiet")

    for project in full(killer, made_pushed, *command):
        assert [path.name for path in project.path.iterdir() if "served" in path.name] == []
        assert project(*command) == 0
