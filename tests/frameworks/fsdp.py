"""Run by torchrun: a model split by FSDP2 over the processes trains two steps and is saved by DCP."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import fully_shard

folder = Path(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(0)
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
for layer in model:
    fully_shard(layer)
fully_shard(model)
adam = torch.optim.AdamW(model.parameters())
for _ in range(2):
    model(torch.randn(4, 8)).square().mean().backward()
    adam.step()
    adam.zero_grad()
weights, optimizer = get_state_dict(model, adam)
whole = {"model": weights, "optimizer": optimizer, "step": 2, "args": {"lr": 1e-3}}
dcp.save(whole, checkpoint_id=folder / "sync")
dcp.async_save(whole, checkpoint_id=folder / "async").result()
dcp.save(
    weights, storage_writer=dcp.HuggingFaceStorageWriter(path=str(folder / "shards"), save_distributed=True)
)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
