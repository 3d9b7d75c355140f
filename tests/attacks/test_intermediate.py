"""What a failed or killed training left is kept on request: to resume from, never to promote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from steps import Promotion

from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import Statement
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

WRITES = """\
import os, pathlib, shutil, sys
base, checkpoint = map(pathlib.Path, sys.argv[3:5])
for path in base.iterdir():
    shutil.copy(path, checkpoint / path.name)
"""
RESUMED = WRITES + "assert pathlib.Path(os.environ['TUNEGUARD_RESUME'], 'config.json').is_file()\n"


def provenance_of(project: ProjectFolder, run: str) -> provenance.Provenance:
    for piece in evidence.read(project.path / f"runs/{run}.evidence"):
        if piece.kind == "provenance":
            payload = read_bundle(piece.data, piece.name).payload
            return provenance.PREDICATE.read(Statement.decode(payload, piece.name), piece.name)
    raise AssertionError("no provenance")


@pytest.mark.parametrize(
    ("end", "ended"),
    [
        ("sys.exit(7)", provenance.Ended(exit_code=7)),
        ("os.kill(os.getpid(), 9)", provenance.Ended(signal=9)),
    ],
)
def test_a_failed_run_is_kept_with_its_exit_code_and_resumed_from(
    project: ProjectFolder, end: str, ended: provenance.Ended, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", WRITES + end)
    assert project("run", "--run", "041") == 1
    assert not (project.path / "runs/041.evidence").exists()

    assert project("run", "--run", "042", "--keep-intermediate") == 0
    said = capfd.readouterr().out

    body = provenance_of(project, "042")
    assert (body.chosen.kind, body.observed.ended) == ("intermediate", ended)
    assert "signed as intermediate" in said
    assert "next: tuneguard run --resume runs/042" in said
    project.write("code/train.py", RESUMED)
    assert project("run", "--run", "043", "--resume", "runs/042") == 0
    later = provenance_of(project, "043")
    assert (later.chosen.kind, later.chosen.parent, later.observed.ended) == ("final", "042", None)


def test_a_training_that_ran_out_of_memory_is_kept_with_that_note(project: ProjectFolder) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace("{memory: 1Gi}", "{memory: 128Mi}"))
    project.write("code/train.py", WRITES + "held = [bytearray(1 << 20) for _ in range(4096)]")

    assert project("run", "--run", "042", "--keep-intermediate") == 0

    ended = provenance_of(project, "042").observed.ended
    assert ended is not None
    assert ended.exit_code != 0


def test_a_run_that_ends_well_is_final_with_the_flag_too(project: ProjectFolder) -> None:
    assert project("run", "--run", "042", "--keep-intermediate") == 0

    body = provenance_of(project, "042")
    assert (body.chosen.kind, body.observed.ended) == ("final", None)


def test_attack_promoting_what_a_failed_run_left(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", WRITES + "sys.exit(7)")
    assert project("run", "--run", "042", "--keep-intermediate") == 0
    promotion = Promotion(project)

    assert promotion.copy() == 0
    assert promotion.verify() == 1
    assert "is of class intermediate" in "".join(capsys.readouterr())
    assert promotion.scan() == 0
    promotion.evaluate()
    assert promotion.decide() == 1
    assert "is of class intermediate" in "".join(capsys.readouterr())
    assert promotion.push() == 1
    assert "no passed verdict counts" in "".join(capsys.readouterr())
    assert project("pull", promotion.reference, "served", "--model", "support-llama") != 0
