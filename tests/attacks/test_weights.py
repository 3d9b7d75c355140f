"""Other weights than those that were signed, scanned and measured are to be loaded in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from steps import Promotion

if TYPE_CHECKING:
    from projects import Project

pytestmark = pytest.mark.sandbox


def trained_with(project: Project, lines: str) -> Promotion:
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
    project: Project, shard: str, capsys: pytest.CaptureFixture[str]
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
    assert promotion.decide("--stopped-at", "scan") == 1


def test_attack_an_adapter_whose_base_is_fetched_by_name(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    promotion = trained_with(
        project,
        "(checkpoint / 'adapter_config.json').write_text("
        """'{"peft_type": "LORA", "base_model_name_or_path": "someone/llama"}')""",
    )

    assert promotion.scan() == 1
    assert "loads someone/llama, and nothing says which bytes that is" in capsys.readouterr().out
