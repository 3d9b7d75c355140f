"""Run by torchrun: Trainer trains one model in every process, two steps, and saves as it does."""

from __future__ import annotations

import sys
from pathlib import Path

import tiny
import torch
from transformers import Trainer, TrainingArguments

torch.set_num_threads(1)
told = TrainingArguments(**tiny.arguments(Path(sys.argv[1])))
trainer = Trainer(model=tiny.causal(), args=told, train_dataset=tiny.rows())
trainer.train()
assert told.world_size == 2
torch.distributed.destroy_process_group()
