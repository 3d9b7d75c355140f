"""Other weights than those that were signed, scanned and measured are to be loaded in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from steps import Promotion, verdicts

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox


def trained_with(project: ProjectFolder, lines: str) -> Promotion:
    """A promotion of run 042, whose training also ran `lines`, after it wrote an honest checkpoint."""
    script = (project.path / "code/train.py").read_text()
    project.write("code/train.py", f"{script}\n{lines}\n")
    assert project("run", "--run", "042", "--quiet") == 0
    promotion = Promotion(project)
    assert promotion.copy() == 0
    assert promotion.verify() == 0
    return promotion


@pytest.mark.parametrize("shard", ["../base/model.safetensors", "/srv/models/other.safetensors"])
def test_attack_an_index_that_leads_to_weights_beside_the_folder(
    project: ProjectFolder, shard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = trained_with(
        project,
        "(checkpoint / 'model.safetensors').rename(checkpoint / 'model-1.safetensors')\n"
        "(checkpoint / 'model.safetensors.index.json').write_text("
        f"""'{{"metadata": {{}}, "weight_map": {{"w": "model-1.safetensors", "x": "{shard}"}}}}')""",
    )

    assert promotion.scan() == 1

    said = capsys.readouterr().out
    assert "TG-CFG-PATH" in said
    assert shard in said
    assert promotion.decide("--step", "scan", "refused") == 1


def test_attack_an_adapter_whose_base_is_fetched_by_name(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = trained_with(
        project,
        "(checkpoint / 'adapter_config.json').write_text("
        """'{"peft_type": "LORA", "base_model_name_or_path": "someone/llama"}')""",
    )

    assert promotion.scan() == 1
    assert "loads someone/llama, and nothing fixes which bytes that is" in capsys.readouterr().out


OTHER = {
    "a pickle": "(checkpoint / 'pytorch_model.bin').write_bytes(b'\\x80\\x02}q\\x00.')",
    "a variant": "shutil.copy(base / 'model.safetensors', checkpoint / 'model.fp16.safetensors')",
    "Mistral's name": "shutil.copy(base / 'model.safetensors', checkpoint / 'consolidated.safetensors')",
    "a folder": "shutil.copytree(base, checkpoint / 'original')",
    "shards": (
        "shutil.copy(base / 'model.safetensors', checkpoint / 'model-00001-of-00001.safetensors')\n"
        "(checkpoint / 'model.safetensors.index.json').write_text("
        """'{"metadata": {}, "weight_map": {"w": "model-00001-of-00001.safetensors"}}')"""
    ),
    "an adapter": (
        "shutil.copy(base / 'model.safetensors', checkpoint / 'adapter_model.safetensors')\n"
        "(checkpoint / 'adapter_config.json').write_text("
        """'{"peft_type": "LORA", "base_model_name_or_path": "/tuneguard/base"}')"""
    ),
}


@pytest.mark.parametrize("lines", OTHER.values(), ids=OTHER)
def test_attack_other_weights_ride_along_with_the_measured_ones(
    project: ProjectFolder, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = trained_with(project, lines)
    assert promotion.scan() == 0
    capsys.readouterr()

    assert promotion.evaluate_really() == 1  # before anything is loaded

    said = capsys.readouterr()
    assert "save one set of weights" in said.err
    assert ("other fault" in said.err) == (lines in (OTHER["shards"], OTHER["an adapter"]))
    assert "G-EVALUATION" in said.out + said.err
    promotion.evaluate()  # and where an evaluator does not look
    assert promotion.decide() == 1
    assert "G-EVALUATION" in capsys.readouterr().out


def test_attack_an_evaluation_of_a_part_of_the_model(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = trained_with(project, "")
    assert promotion.scan() == 0
    promotion.evaluate(files=())

    assert promotion.decide() == 1
    assert "does not name the files that it measured" in capsys.readouterr().out


def test_a_checkpoint_in_a_folder_of_its_own_is_named_in_the_output_and_in_the_verdict(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = trained_with(
        project,
        "(checkpoint / 'checkpoint-20').mkdir()\n"
        "for path in [*base.iterdir(), checkpoint / 'trainer_state.json']:\n"
        "    shutil.copy(path, checkpoint / 'checkpoint-20' / path.name)",
    )
    assert promotion.scan() == 0
    promotion.evaluate()
    capsys.readouterr()

    assert promotion.decide() == 0

    said = "is a checkpoint of its own, whose weights were not measured"
    assert said in capsys.readouterr().out
    [verdict] = verdicts(project)
    [reason] = verdict["predicate"]["https://tuneguard.dev/verdict"]["reasons"]
    assert "checkpoint-20" in reason
    assert said in reason
