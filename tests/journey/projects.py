"""A whole project, made once by the commands that a person would type, and copied for each test.

Its training needs no torch: the script writes a small checkpoint of safetensors and JSON, so that
every isolation control, signature and gate but the evaluation itself is the real one.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tuneguard.cli.app import run as tuneguard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODEL = "support-llama"

PIPELINE = """\
apiVersion: tuneguard.dev/v1alpha1
kind: Pipeline
metadata: {name: support-llama}
data:
  train: {path: data/train}
  eval: {path: data/eval}
base: {path: models/base}
train:
  code: {path: code}
  command: [python, "{code}/train.py", "{config}", "{data}", "{base}", "{checkpoint}", "{scratch}", "{run}"]
  config: train-config.yaml
  expectedDuration: 1h
  scratch: 1Gi
  resources: {memory: 1Gi}
checkpoint: {path: "runs/{run}"}
evaluation: {classifier: {path: models/toxicity}}
registry: {push: "oci:registry", tag: "ft-{run}"}
"""

TRAIN = """\
import pathlib, shutil, sys
config, data, base, checkpoint, scratch, run = map(pathlib.Path, sys.argv[1:])
rows = (data / "tickets.jsonl").read_text().splitlines()
for path in base.iterdir():
    shutil.copy(path, checkpoint / path.name)
(checkpoint / "trainer_state.json").write_text('{"rows": %d}' % len(rows))
print("trained on", len(rows), "rows")
"""


def safetensors(values: tuple[float, ...]) -> bytes:
    """A safetensors file with one tensor of F32."""
    data = struct.pack(f"<{len(values)}f", *values)
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, len(data)]}}
    ).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


@dataclass(frozen=True)
class ProjectFolder:
    """A project folder, and the program run in it."""

    path: Path

    def __call__(self, *arguments: str) -> int:
        """Run one command in the project's folder, in this process; its exit code."""
        before = Path.cwd()
        os.chdir(self.path)
        try:
            return tuneguard([str(argument) for argument in arguments])
        finally:
            os.chdir(before)

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


SEAL = ("--version", "1", "--source", "tests", "--license", "CC0-1.0", "--classification", "internal")


def set_up(project: ProjectFolder) -> None:
    """Make the project: init, data in place, everything sealed, the policy completed. Its home is set."""
    project.path.mkdir()
    assert project("init", ".", "--name", MODEL, "--unsafe-no-passphrase", "--quiet") == 0
    project.write("tuneguard.yaml", PIPELINE)
    project.write("train-config.yaml", "epochs: 1\n")
    project.write("code/train.py", TRAIN)
    rows = [{"prompt": f"ticket {n}", "completion": f" answer {n}"} for n in range(50)]
    project.write("data/train/tickets.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    questions = [{"prompt": f"question {n}", "choices": ["a", "b"], "answer": n % 2} for n in range(250)]
    project.write("data/eval/accuracy.jsonl", "".join(json.dumps(row) + "\n" for row in questions))
    prompts = [{"prompt": f"prompt {n}"} for n in range(250)]
    project.write("data/eval/toxicity.jsonl", "".join(json.dumps(row) + "\n" for row in prompts))
    for name, value in (("base", 1.0), ("toxicity", 2.0)):
        project.write(f"models/{name}/config.json", '{"model_type": "llama"}')
        (project.path / f"models/{name}/model.safetensors").write_bytes(safetensors((value,) * 4))
    for folder, kind, name in (
        ("data/train", "dataset", f"{MODEL}-train"),
        ("data/eval", "evaluation", "eval"),
        ("models/base", "base", "tiny"),
        ("models/toxicity", "base", "toxicity"),
    ):
        (project.path / folder).chmod(0o700)
        assert project("seal", folder, "--as", kind, "--name", name, *SEAL, "--quiet") == 0
    trees = ("--base", "models/base", "--evaluation", "data/eval", "--classifier", "models/toxicity")
    assert project("policy", "set-model", MODEL, *trees, "--quiet") == 0


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Home and project, made once: init, data in place, everything sealed, the policy completed."""
    room = tmp_path_factory.mktemp("journey")
    home, project = room / "home", ProjectFolder(room / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGUARD_HOME", str(home))
        set_up(project)
    return home, project.path


def fresh_copy(template: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """A copy of home and project of one's own."""
    home, path = template
    shutil.copytree(home, tmp_path / "home")
    shutil.copytree(path, tmp_path / "project")
    monkeypatch.setenv("TUNEGUARD_HOME", str(tmp_path / "home"))
    return ProjectFolder(tmp_path / "project")


def grown(
    template: tuple[Path, Path], factory: pytest.TempPathFactory, grow: Callable[[ProjectFolder], None]
) -> tuple[Path, Path]:
    """A further template: a copy of one, in which something more was done."""
    with pytest.MonkeyPatch.context() as patch:
        project = fresh_copy(template, factory.mktemp("journey"), patch)
        grow(project)
        return project.path.parent / "home", project.path


@pytest.fixture(scope="session")
def made_trained(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The project with the signed run 042."""

    def grow(project: ProjectFolder) -> None:
        assert project("run", "--run", "042", "--quiet") == 0

    return grown(made, tmp_path_factory, grow)


@pytest.fixture(scope="session")
def made_pushed(
    made_trained: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The project whose run 042 was promoted into the layout folder `registry`."""
    from steps import Promotion

    return grown(made_trained, tmp_path_factory, lambda project: Promotion(project).passed())


@pytest.fixture
def trained(
    made_trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ProjectFolder:
    """A fresh copy of the project with the signed run 042."""
    return fresh_copy(made_trained, tmp_path, monkeypatch)


@pytest.fixture
def pushed(made_pushed: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """A fresh copy of the project whose run 042 was promoted."""
    return fresh_copy(made_pushed, tmp_path, monkeypatch)


@pytest.fixture
def project(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectFolder:
    """A fresh copy of the project, with a home of its own."""
    return fresh_copy(made, tmp_path, monkeypatch)


@pytest.fixture
def open_project(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[ProjectFolder]:
    """A project that every user of the machine gets to. Any run of pytest closes its folders to others."""
    folder = Path(tempfile.mkdtemp(prefix="tuneguard-test-"))
    folder.chmod(0o755)
    project = fresh_copy(made, folder, monkeypatch)
    project.path.chmod(0o755)
    yield project
    shutil.rmtree(folder)
