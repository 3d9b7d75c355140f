"""Of a tree without a fault, the installed Transformers takes the measured weights or none at all."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.artifact.digest import hash_tree
from tuneguard.promotion.weights import selected

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.torch

FILES: dict[str, Any] = {
    "model.safetensors": "x",
    "model.safetensors.index.json": {"metadata": {}, "weight_map": {"w": "part.safetensors"}},
    "part.safetensors": "x",
    "pytorch_model.bin": "x",
    "pytorch_model.bin.index.json": {"metadata": {}, "weight_map": {"w": "part.bin"}},
    "part.bin": "x",
    "model.fp16.safetensors": "x",
    "shard-00001-model-00001-of-00001.safetensors": "x",
}
NAMED = (None, "part.safetensors", "model.fp16.safetensors", "model.safetensors.index.json")
TOLD = tuple(itertools.product((None, "fp16"), (None, True, False)))


def taken(folder: Path, variant: str | None, safe: bool | None) -> set[str] | None:
    """The files of weights that Transformers would open; None where it finds none."""
    from transformers.distributed.checkpoint import get_distributed_checkpoint_dir
    from transformers.modeling_utils import _get_resolved_checkpoint_files

    if get_distributed_checkpoint_dir(str(folder), "", None, None) is not None:
        return {name for name in os.listdir(folder) if name.endswith(".safetensors")}
    config = json.loads((folder / "config.json").read_bytes())
    try:
        found, _ = _get_resolved_checkpoint_files(
            str(folder),
            variant=variant,
            gguf_file=None,
            use_safetensors=safe,
            user_agent=None,
            is_remote_code=False,
            transformers_explicit_filename=config.get("transformers_weights"),
        )
    except (OSError, ValueError):
        return None
    return {os.path.relpath(path, folder) for path in found or ()}


def test_transformers_takes_what_was_measured_or_nothing(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    passed = 0
    for size in range(len(FILES) + 1):
        for names in itertools.combinations(FILES, size):
            for named in NAMED:
                folder = tmp_path / f"{passed}"
                folder.mkdir(exist_ok=True)
                for old in folder.iterdir():
                    old.unlink()
                (folder / "config.json").write_text(
                    json.dumps({"transformers_weights": named} if named else {})
                )
                for name in names:
                    content = FILES[name]
                    text = content if isinstance(content, str) else json.dumps(content)
                    (folder / name).write_text(text)
                selection = selected(folder, hash_tree(folder))
                if selection.faults:
                    continue
                passed += 1
                for variant, safe in TOLD:
                    found = taken(folder, variant, safe)
                    assert found is None or found == set(selection.weights), (names, named, variant, safe)
                assert taken(folder, None, True) == set(selection.weights)

    assert passed == 5  # one file, shards, and three that the configuration names
