"""What a training leaves in its output: nothing that was paid for is lost, and nothing comes in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import Statement
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

LEAVES = """\
import os, pathlib, shutil, socket, sys
config, data, base, checkpoint, scratch, run = map(pathlib.Path, sys.argv[1:])
for path in base.iterdir():
    shutil.copy(path, checkpoint / path.name)
os.chdir(checkpoint)
"""


def leaving(project: ProjectFolder, *lines: str) -> None:
    """The training writes a model, and then what the lines do in its output."""
    project.write("code/train.py", LEAVES + "\n".join(lines) + "\n")


def output_of(project: ProjectFolder, run: str) -> provenance.Output | None:
    for piece in evidence.read(project.path / f"runs/{run}.evidence"):
        if piece.kind == "provenance":
            payload = read_bundle(piece.data, piece.name).payload
            return provenance.PREDICATE.read(
                Statement.decode(payload, piece.name), piece.name
            ).observed.output
    raise AssertionError("no provenance")


def promotable(project: ProjectFolder, run: str) -> bool:
    return project("verify", f"runs/{run}", "--for", "promote", "--model", "support-llama", "--run", run) == 0


def test_a_link_an_empty_folder_and_a_hard_link_cost_no_training(
    project: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    leaving(
        project,
        "os.mkdir('step-2'); shutil.copy('model.safetensors', 'step-2/model.safetensors')",
        "os.symlink('step-2', 'latest')",
        "os.symlink(f'{checkpoint}/step-2', 'best')",
        "os.makedirs('logs/empty')",
        "os.link('config.json', 'step-2/config.json')",
    )

    assert project("run", "--run", "042") == 0
    said = capfd.readouterr().out

    assert promotable(project, "042")
    folder = project.path / "runs/042"
    weights = (folder / "model.safetensors").read_bytes()
    assert {(folder / name / "model.safetensors").read_bytes() for name in ("step-2", "latest", "best")} == {
        weights
    }
    assert not (folder / "logs").exists()
    output = output_of(project, "042")
    assert output is not None
    assert output.counts == {"empty-folder-dropped": 2, "hard-link-split": 1, "link-copied": 2}
    assert [each.path for each in output.changes if each.done == "link-copied"] == ["best", "latest"]
    assert "link copied: latest -> step-2" in said


def test_an_output_in_order_is_said_nothing_about(project: ProjectFolder) -> None:
    assert project("run", "--run", "042") == 0

    assert output_of(project, "042") is None


def test_attack_links_out_of_the_output_bring_nothing_in(project: ProjectFolder) -> None:
    """The supervisor reads as a user who may read more than the training could."""
    project.write("secret/key.json", json.dumps("swordfish"))
    log = project.path / ".tuneguard/runs/042/train.log"
    leaving(
        project,
        "print('swordfish is in the log as well')",
        "os.symlink('/etc/passwd', 'passwd')",
        f"os.symlink({str(project.path / 'secret/key.json')!r}, 'key.json')",
        "os.symlink('../../../secret', 'secret')",
        f"os.symlink({str(log)!r}, 'train.log')",
        "os.symlink('/proc/self/environ', 'environ')",
        "os.symlink('/proc/self/cwd', 'cwd')",
        "os.symlink('b', 'a'); os.symlink('a', 'b')",
    )

    assert project("run", "--run", "042") == 0

    kept = {path.name: path for path in (project.path / "runs/042").rglob("*")}
    assert sorted(kept) == ["config.json", "model.safetensors"]
    output = output_of(project, "042")
    assert output is not None
    assert output.counts == {"link-dropped": 8}


def test_attack_a_socket_and_a_pipe_left_in_the_output(project: ProjectFolder) -> None:
    leaving(project, "os.mkfifo('pipe')", "socket.socket(socket.AF_UNIX).bind('socket')")

    assert project("run", "--run", "042") == 0

    output = output_of(project, "042")
    assert output is not None
    assert output.counts == {"special-file-dropped": 2}


def excluding(project: ProjectFolder, *patterns: str) -> None:
    pipeline = project.path / "tuneguard.yaml"
    listed = json.dumps(patterns)
    pipeline.write_text(
        pipeline.read_text().replace('{path: "runs/{run}"}', f'{{path: "runs/{{run}}", exclude: {listed}}}')
    )


def test_what_the_pipeline_excludes_is_kept_beside_unsigned(
    project: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    excluding(project, "wandb/**", "*.log")
    leaving(
        project,
        "os.makedirs('wandb/run-1')",
        "open('wandb/run-1/history', 'w').write('loss')",
        "os.symlink('run-1', 'wandb/latest-run')",
        "open('train.log', 'w').write('epoch 1')",
    )

    assert project("run", "--run", "042") == 0
    said = capfd.readouterr()

    assert promotable(project, "042")
    beside = project.path / "runs/042.unsigned"
    assert (beside / "wandb/run-1/history").read_text() == "loss"
    assert (beside / "train.log").read_text() == "epoch 1"
    assert sorted(path.name for path in (project.path / "runs/042").iterdir()) == [
        "config.json", "model.safetensors"
    ]  # fmt: skip
    assert "2 files excluded by checkpoint.exclude, not signed: train.log, wandb/run-1/history" in (
        said.out + said.err
    ).replace("\n", " ").replace("  ", " ")


def test_a_rehearsal_puts_its_output_in_order_as_the_run_will(
    project: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    excluding(project, "wandb/**")
    leaving(
        project,
        "os.makedirs('wandb'); open('wandb/history', 'w').write('loss')",
        "os.symlink('config.json', 'latest.json')",
    )

    assert project("run", "--rehearse") == 0, capfd.readouterr()
    assert not (project.path / "runs").exists()


def test_attack_weights_excluded_behind_a_crowd_of_links(
    project: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was left out of the digest is named first in the provenance, the largest first."""
    excluding(project, "**/a*")
    leaving(
        project,
        "[os.symlink('nowhere', f'0-{n:05}') for n in range(3000)]",
        "[open(f'a-{n:05}', 'w').close() for n in range(2000)]",
        "shutil.copy('model.safetensors', 'adapter_model.safetensors')",
    )

    assert project("run", "--run", "042") == 0
    said = capfd.readouterr()

    output = output_of(project, "042")
    assert output is not None
    assert output.changes[0].path == "adapter_model.safetensors"
    assert output.counts == {"file-excluded": 2001, "link-dropped": 3000}
    assert len(output.changes) == 1000
    assert "file excluded: adapter_model.safetensors" in said.out


def test_attack_files_planted_where_excluded_ones_will_go(project: ProjectFolder) -> None:
    excluding(project, "wandb/**")
    project.write("runs/042.unsigned/wandb/history", "planted")

    assert project("run", "--run", "042") == 1


def test_a_folder_for_excluded_files_is_not_left_empty(project: ProjectFolder) -> None:
    excluding(project, "wandb/**")

    assert project("run", "--run", "042") == 0
    assert not (project.path / "runs/042.unsigned").exists()


@pytest.mark.parametrize("pattern", ["**", "*", "../x", "/etc/*", "a**", "[a]", ""])
def test_a_pattern_that_could_cover_everything_or_is_none_is_an_error(
    project: ProjectFolder, pattern: str
) -> None:
    excluding(project, pattern)

    assert project("run", "--run", "042") == 2
