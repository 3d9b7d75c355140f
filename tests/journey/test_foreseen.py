"""What is said before a training about the promotion of what it makes."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tuneguard.project.project import Project
from tuneguard.training import foreseen

if TYPE_CHECKING:
    from projects import ProjectFolder


def obstacles(project: ProjectFolder) -> list[str]:
    with contextlib.chdir(project.path):
        return list(foreseen.obstacles(Project.open()))


def edited(project: ProjectFolder, name: str, before: str, after: str) -> None:
    path = project.path / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_project_that_can_promote_hears_nothing(project: ProjectFolder) -> None:
    assert obstacles(project) == []


def test_a_classifier_that_is_missing_or_changed_is_said(project: ProjectFolder) -> None:
    folder = project.path / "models/toxicity"
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    (changed,) = obstacles(project)
    assert "models/toxicity is not the classifier that the policy names" in changed
    assert "tuneguard verify" in changed

    folder.chmod(0o700)
    shutil.rmtree(folder)
    (missing,) = obstacles(project)
    assert missing.startswith("the classifier is not there: nothing is at ")


def test_what_the_pipeline_does_not_name_is_said(project: ProjectFolder) -> None:
    edited(project, "tuneguard.yaml", "  eval: {path: data/eval}\n", "")
    edited(project, "tuneguard.yaml", "evaluation: {classifier: {path: models/toxicity}}\n", "")

    assert obstacles(project) == [
        "the pipeline names no evaluation set: set data.eval.path, or give promote's --eval-dataset",
        "the pipeline names no classifier: set evaluation.classifier.path",
    ]


def test_another_repository_than_the_models_is_said(project: ProjectFolder) -> None:
    edited(project, "tuneguard.yaml", "oci:registry", "registry.example/other/model")

    (found,) = obstacles(project)
    assert found.startswith("registry.push: support-llama belongs to ")


def test_a_suite_that_is_not_here_is_said(project: ProjectFolder) -> None:
    edited(project, "policy.yaml", "accuracy: 1", "humour: 1")
    assert project("policy", "sign", "--quiet") == 0

    assert (
        "the evaluation cannot be made: no suite is called humour: there are accuracy, toxicity"
        in obstacles(project)
    )


def test_a_policy_under_which_nothing_passes_is_said(project: ProjectFolder) -> None:
    edited(project, "policy.yaml", "[signature, provenance]", "[signature]")
    assert project("policy", "sign", "--quiet") == 0

    found = obstacles(project)
    assert any("demands a provenance that nobody can sign" in each and "P-UNMET" in each for each in found)


def test_too_little_disk_for_a_checkpoint_and_its_copy_is_said(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 100))

    (found,) = obstacles(project)
    assert found.startswith("100 B are free")
    assert "take 222 B" in found


def test_a_base_that_is_an_adapter_costs_no_run_id(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    base = project.path / "models/base"
    (base / "config.json").rename(base / "adapter_config.json")

    assert project("train", "--run", "042", "--unsafe-no-sandbox", "--quiet") == 1
    assert "adapter without its model" in capsys.readouterr().err
    assert not (project.path / ".tuneguard/runs/042").exists()


@pytest.mark.sandbox
def test_a_run_says_it_before_the_training_and_at_the_end(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.path / "models/toxicity"
    folder.chmod(0o700)
    shutil.rmtree(folder)

    assert project("run", "--run", "042") == 0

    said = capsys.readouterr().out
    first, training = said.index("promotion will not pass: the classifier"), said.index("   Training")
    assert first < training < said.rindex("note: promotion will not pass: the classifier")
