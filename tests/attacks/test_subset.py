"""A folder of a signed run is resumed from where it is what the run signed; no other file comes in."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import TRAIN, ProjectFolder, fresh_copy, grown
from steps import Promotion

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import Statement
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.sandbox

STEPS = """\
import os, pathlib, shutil, sys
base, checkpoint = map(pathlib.Path, sys.argv[3:5])
for number, name in ((10, "checkpoint-10"), (20, "checkpoint-20"), (2, "checkpoint-2")):
    (checkpoint / name).mkdir()
    for path in base.iterdir():
        shutil.copyfile(path, checkpoint / name / path.name)
    (checkpoint / name / "trainer_state.json").write_text('{"step": %d, "run": "%s"}' % (number, sys.argv[6]))
for path in base.iterdir():
    shutil.copy(path, checkpoint / path.name)
"""
RESUMES = """\
import json, os, pathlib, shutil, sys
base, checkpoint = map(pathlib.Path, sys.argv[3:5])
resume = pathlib.Path(os.environ["TUNEGUARD_RESUME"])
assert sys.argv[7] == f"--from={resume}", sys.argv
step = json.loads((resume / "trainer_state.json").read_text())["step"]
print("resumes at", step, sorted(os.listdir(resume)))
for path in base.iterdir():
    shutil.copy(path, checkpoint / path.name)
"""


@pytest.fixture(scope="module")
def made_steps(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Run 042 with three checkpoints, and 041, which failed and was kept; now the training resumes."""

    def grow(project: ProjectFolder) -> None:
        project.write("code/train.py", STEPS + "sys.exit(7)\n")
        assert project("run", "--run", "041", "--keep-intermediate") == 0
        project.write("code/train.py", STEPS)
        pipeline = (project.path / "tuneguard.yaml").read_text()
        project.write("tuneguard.yaml", pipeline.replace('"{run}"]', '"{run}", "--from={resume}"]'))
        assert project("run", "--run", "042") == 0
        project.write("code/train.py", RESUMES)

    return grown(made, tmp_path_factory, grow)


@pytest.fixture
def steps(made_steps: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    return fresh_copy(made_steps, tmp_path, monkeypatch)


def provenance_of(project: ProjectFolder, run: str) -> provenance.Provenance:
    for piece in evidence.read(project.path / f"runs/{run}.evidence"):
        if piece.kind == "provenance":
            payload = read_bundle(piece.data, piece.name).payload
            return provenance.PREDICATE.read(Statement.decode(payload, piece.name), piece.name)
    raise AssertionError("no provenance")


def test_a_run_resumes_from_a_checkpoint_in_another_runs_output(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert steps("run", "--run", "043", "--resume", "runs/042/checkpoint-20") == 0
    said = capfd.readouterr().out

    assert "resumes at 20 ['config.json', 'model.safetensors', 'trainer_state.json']" in said
    body = provenance_of(steps, "043")
    [parent] = body.definition.of_role("parent")
    assert (body.chosen.kind, body.chosen.parent) == ("final", "042")
    assert parent.digest == {"dirHash": hash_tree(steps.path / "runs/042/checkpoint-20").digest}
    assert parent.annotations.part is not None
    assert parent.annotations.part.path == "checkpoint-20"
    assert parent.annotations.part.of.dir_hash == hash_tree(steps.path / "runs/042").digest
    expected = ("--for", "promote", "--model", "support-llama", "--run", "043")
    assert steps("verify", "runs/043", *expected) == 0
    assert steps("trace", "runs/043") == 0
    assert "run 042, final" in capfd.readouterr().out


def test_a_run_resumes_from_a_checkpoint_of_a_run_that_failed_and_without_its_optimizer(
    steps: ProjectFolder,
) -> None:
    (steps.path / "runs/041/checkpoint-20/config.json").unlink()

    assert steps("run", "--run", "043", "--resume", "runs/041/checkpoint-20") == 0
    assert provenance_of(steps, "043").chosen.parent == "041"


def test_without_resume_the_argument_is_left_out(steps: ProjectFolder) -> None:
    steps.write("code/train.py", TRAIN + "assert len(sys.argv) == 7, sys.argv\n")

    assert steps("run", "--run", "043") == 0


def change_a_byte(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def recombine(folder: Path) -> None:
    shutil.copy(folder.parent / "checkpoint-10" / "trainer_state.json", folder / "trainer_state.json")


ATTACKS: dict[str, tuple[Callable[[Path], object], tuple[str, str]]] = {
    "a byte changed": (change_a_byte, ("V07", "model.safetensors")),
    "a file added": (lambda folder: (folder / "more.json").write_text("{}"), ("V09", "more.json")),
    "a file renamed": (
        lambda folder: (folder / "config.json").rename(folder / "generation_config.json"),
        ("V09", "generation_config.json"),
    ),
    "a file of another folder of the run": (
        lambda folder: shutil.copy(folder.parent / "config.json", folder / "other.json"),
        ("V09", "other.json"),
    ),
    "recombined from two checkpoints": (recombine, ("V07", "trainer_state.json")),
    "a checkpoint put inside": (
        lambda folder: shutil.copytree(folder.parent / "checkpoint-10", folder / "checkpoint-10"),
        ("V09", "checkpoint-10/config.json"),
    ),
    "a link": (lambda folder: (folder / "link").symlink_to("config.json"), ("T-SYMLINK", "link")),
    "an empty folder": (lambda folder: (folder / "empty").mkdir(), ("T-EMPTY-DIR", "empty")),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_resuming_from_a_folder_that_is_no_subset_of_the_run(
    steps: ProjectFolder, attack: str
) -> None:
    act, found = ATTACKS[attack]
    act(steps.path / "runs/042/checkpoint-20")
    out = ("--json", "--output", "result.json")

    assert steps("train", "--run", "043", "--resume", "runs/042/checkpoint-20", *out) == 1
    findings = json.loads((steps.path / "result.json").read_text())["findings"]
    assert found in {(each["rule"], each["location"]["path"]) for each in findings}
    assert not (steps.path / "runs/043.evidence").exists()


def test_attack_another_checkpoint_in_the_place_of_the_one_that_is_named(steps: ProjectFolder) -> None:
    """The name counts: what was signed as step 10 is not resumed from as step 20."""
    shutil.rmtree(steps.path / "runs/042/checkpoint-20")
    shutil.copytree(steps.path / "runs/042/checkpoint-10", steps.path / "runs/042/checkpoint-20")

    assert steps("run", "--run", "043", "--resume", "runs/042/checkpoint-20") == 1


def test_attack_a_folder_put_beside_the_checkpoints_of_a_run(steps: ProjectFolder) -> None:
    shutil.copytree(steps.path / "models/base", steps.path / "runs/042/checkpoint-30")
    shutil.copytree(steps.path / "runs/042/checkpoint-20", steps.path / "elsewhere")

    assert steps("run", "--run", "043", "--resume", "runs/042/checkpoint-30") == 1
    assert steps("run", "--run", "044", "--resume", "elsewhere") == 1


@pytest.mark.parametrize("role", ["builder", "promoter"])
def test_attack_a_list_of_files_that_no_provenance_is_about(steps: ProjectFolder, role: str) -> None:
    """Whoever may sign lists of files signs one of a poisoned tree, and puts it with the run's evidence."""
    change_a_byte(steps.path / "runs/042/checkpoint-20")
    signed = ("--evidence", "runs/042.evidence", "--key", f"{role}=keys/support-llama/{role}.key")
    assert steps("sign", "runs/042", "--role", role, *signed) in (0, 1, 2)

    assert steps("run", "--run", "043", "--resume", "runs/042/checkpoint-20") == 1


def allowing(project: ProjectFolder, subsets: str) -> None:
    """The policy lists subsets for the model."""
    before = (project.path / "policy.yaml").read_text()
    assert "    env: any\n" in before
    project.write("policy.yaml", before.replace("    env: any\n", f"    env: any\n    subsets: {subsets}\n"))
    assert project("policy", "sign", "--quiet") == 0


class PartPromotion(Promotion):
    """One attempt at promoting a folder of a run."""

    def __init__(self, project: ProjectFolder, run: str, subset: str) -> None:
        super().__init__(project, run)
        self.subset = subset

    def copy_command(self) -> tuple[str, ...]:
        return (*super().copy_command(), "--subset", self.subset, "--evidence", f"{self.source}.evidence")

    def judged(self) -> list[int]:
        codes = [self.copy(), self.verify(), self.scan()]
        self.evaluate()
        return [*codes, self.decide(), self.push()]


def test_attack_promoting_a_folder_of_a_run_where_the_policy_lists_none(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert PartPromotion(steps, "042", "checkpoint-20").judged() == [0, 1, 0, 1, 1]
    assert "no passed verdict counts" in "".join(capfd.readouterr())


def test_attack_promoting_a_folder_of_a_run_that_failed(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    allowing(steps, '[{path: "checkpoint-*"}]')

    assert PartPromotion(steps, "041", "checkpoint-20").judged() == [0, 1, 0, 1, 1]
    assert "is of class intermediate" in "".join(capfd.readouterr())
    assert steps("pull", "oci:registry:ft-041", "served", "--model", "support-llama") != 0


def test_a_folder_of_a_run_is_promoted_pulled_and_verified_offline_again(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    allowing(steps, '[{path: "checkpoint-*", exclude: [trainer_state.json]}]')
    promotion = PartPromotion(steps, "042", "checkpoint-20")
    assert promotion.judged() == [0, 0, 0, 0, 0]
    shutil.rmtree(steps.path / "runs")
    expected = ("--model", "support-llama", "--run", "042")

    assert steps("pull", promotion.reference, "served", *expected) == 0
    assert hash_tree(steps.path / "served").digest == promotion.tree
    assert steps("verify", "served", "--for", "load", *expected) == 0

    [signature] = (steps.path / "served.evidence").glob("signature-*")
    kept = signature.read_bytes()
    signature.unlink()
    capfd.readouterr()
    assert steps("verify", "served", "--for", "load", *expected) == 1
    assert "not shown to be that" in "".join(capfd.readouterr())
    signature.write_bytes(kept)
    change_a_byte(steps.path / "served")
    assert steps("verify", "served", "--for", "load", *expected) == 1


def test_attack_dropping_a_file_is_no_fresh_start(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    """Attempts count by the run's tree, whatever part of it is promoted and whatever is left out."""
    allowing(steps, '[{path: "checkpoint-*", exclude: [trainer_state.json]}]')
    numbers = []
    (steps.path / "runs/042.evidence").rename(steps.path / "kept.evidence")
    shutil.copytree(steps.path / "kept.evidence", steps.path / "runs/042.evidence")
    for leave_out in (False, True):
        promotion = PartPromotion(steps, "042", "checkpoint-20")
        if leave_out:
            (steps.path / "runs/042/checkpoint-20/trainer_state.json").unlink()
        assert promotion.copy() == 0
        numbers.append(json.loads((steps.path / "copy.json").read_text())["facts"]["number"])

    assert numbers == [1, 2]


def test_a_subset_that_is_no_path_of_a_tree_is_an_error(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    for subset in ("../041", "/etc", "", "a//b"):
        given = ("--to", "oci:registry:x", "--run", "042", "--subset", subset)
        assert steps("promote", "runs/042", *given) == 2
    assert "a subset's path" in "".join(capfd.readouterr())


def choosing(project: ProjectFolder, promote: str) -> None:
    """The pipeline file promotes a part."""
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", f"{pipeline}promote: {promote}\n")


def test_the_pipeline_leaves_out_what_the_policy_lets_be_left_out(steps: ProjectFolder) -> None:
    allowing(steps, '[{path: ".", exclude: ["checkpoint-*/**"]}]')
    choosing(steps, '{exclude: ["checkpoint-*/**"]}')
    promotion = Promotion(steps, "042")

    assert (promotion.copy(), promotion.verify()) == (0, 0)
    assert sorted(path.name for path in promotion.copy_path.rglob("*")) == [
        "config.json", "model.safetensors"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "promote",
    [
        '{exclude: ["checkpoint-*/**", config.json]}',
        '{include: ["checkpoint-10/model.safetensors", "checkpoint-20/config.json"]}',
        '{exclude: ["checkpoint-10/**"]}',
    ],
)
def test_attack_the_pipeline_leaves_out_what_the_policy_does_not_list(
    steps: ProjectFolder, promote: str
) -> None:
    allowing(steps, '[{path: ".", exclude: ["checkpoint-20/**"]}, {path: "checkpoint-*"}]')
    choosing(steps, promote)
    promotion = Promotion(steps, "042")

    assert (promotion.copy(), promotion.verify()) == (0, 1)


def test_a_pipeline_that_leaves_no_file_is_an_error(
    steps: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    choosing(steps, "{include: [none.json]}")

    assert steps(*Promotion(steps, "042").copy_command()) == 2
    assert "leaves no file" in "".join(capfd.readouterr())
