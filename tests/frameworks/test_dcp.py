"""torch.distributed.checkpoint, with one process and with two."""

from __future__ import annotations

import tiny


def _state():
    import torch

    model = tiny.causal()
    adam = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.tensor([[1, 7, 2]]), labels=torch.tensor([[1, 7, 2]])).loss.backward()
    adam.step()
    return {
        "model": model.state_dict(), "optimizer": adam.state_dict(), "step": torch.tensor(3), "epoch": 1,
        "args": {"lr": 1e-3, "names": ["a"]},
    }  # fmt: skip


def test_one_process(tmp_path, passes) -> None:
    import torch.distributed.checkpoint as dcp

    dcp.save(_state(), checkpoint_id=tmp_path / "sync", no_dist=True)
    dcp.async_save(_state(), checkpoint_id=tmp_path / "async", no_dist=True).result()

    assert (tmp_path / "sync/__0_0.distcp").read_bytes().count(b"PK\x05\x06") > 10
    passes("DCP", "`save` in one process: weights, optimizer, numbers and settings", tmp_path / "sync")
    passes("DCP", "`async_save` in one process", tmp_path / "async")


def test_safetensors_written_by_dcp(tmp_path, passes) -> None:
    import torch.distributed.checkpoint as dcp

    weights = {name: value for name, value in tiny.causal().state_dict().items() if name != "lm_head.weight"}
    one = dcp.HuggingFaceStorageWriter(path=str(tmp_path), fqn_to_index_mapping=dict.fromkeys(weights, 1))
    dcp.save(weights, storage_writer=one, no_dist=True)

    assert (tmp_path / "model.safetensors.index.json").exists()
    passes("DCP", "`HuggingFaceStorageWriter`", tmp_path)


def test_two_processes_of_fsdp2(tmp_path, passes) -> None:
    done = tiny.torchrun("fsdp.py", tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert {path.name for path in (tmp_path / "sync").iterdir()} == {
        ".metadata",
        "__0_0.distcp",
        "__1_0.distcp",
    }
    passes("FSDP2", "two processes under `torchrun --standalone`, `save`", tmp_path / "sync")
    passes("FSDP2", "two processes, `async_save`", tmp_path / "async")
    passes("FSDP2", "two processes, `HuggingFaceStorageWriter(save_distributed=True)`", tmp_path / "shards")
