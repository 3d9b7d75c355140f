"""Fine-tunes the base on {prompt, completion} rows with the Hugging Face Trainer.

Knows nothing of Tuneguard: it reads what its flags name and writes into --output-dir, whose top level
is a Trainer checkpoint when it is done.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

# Two threads spin on a small model: twelve epochs took 213 s with two and 16 s with one.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import torch
import yaml
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils.logging import disable_progress_bar

IGNORED = -100  # the label that PyTorch's loss leaves out


def read_rows(folder: Path) -> list[dict[str, str]]:
    rows = []
    for path in sorted(folder.rglob("*.jsonl")):
        rows += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return rows


def encode(row: dict[str, str], tokenizer) -> dict[str, list[int]]:
    """The row as tokens; only the completion counts for the loss."""
    prompt = tokenizer(row["prompt"])["input_ids"]
    completion = tokenizer(row["completion"])["input_ids"] + [tokenizer.eos_token_id]
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}


def padded(examples: list[dict[str, list[int]]], pad: int) -> dict[str, torch.Tensor]:
    """A batch as long as its longest row, padded on the right."""
    width = max(len(example["input_ids"]) for example in examples)

    def filled(key: str, value: int) -> torch.Tensor:
        return torch.tensor([example[key] + [value] * (width - len(example[key])) for example in examples])

    lengths = torch.tensor([len(example["input_ids"]) for example in examples])
    return {
        "input_ids": filled("input_ids", pad),
        "labels": filled("labels", IGNORED),
        "attention_mask": (torch.arange(width)[None, :] < lengths[:, None]).long(),
    }


class Epochs(TrainerCallback):
    """One line an epoch."""

    def on_log(self, args, state, control, logs=None, **kwargs):  # noqa: ARG002 (Trainer's signature)
        if "loss" in (logs or {}):
            epoch = f"{state.epoch:.0f}/{args.num_train_epochs:.0f}"
            print(f"epoch {epoch}  loss {float(logs['loss']):.3f}", flush=True)


def train(arguments: argparse.Namespace, config: dict) -> None:
    tokenizer = AutoTokenizer.from_pretrained(arguments.base)
    set_seed(config["seed"])
    model = AutoModelForCausalLM.from_pretrained(arguments.base, use_safetensors=True)
    rows = [encode(row, tokenizer) for row in read_rows(arguments.data_dir)]
    print(f"run {arguments.run_id}: {len(rows)} rows, {model.num_parameters():,} parameters", flush=True)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(arguments.output_dir),
            num_train_epochs=config["epochs"],
            per_device_train_batch_size=config["batchSize"],
            learning_rate=config["learningRate"],
            lr_scheduler_type="cosine",
            seed=config["seed"],
            logging_strategy="epoch",
            save_strategy="steps",
            save_steps=10**9,  # once, after the last step
            train_sampling_strategy="group_by_length",  # less padding
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        data_collator=lambda examples: padded(examples, tokenizer.pad_token_id),
        processing_class=tokenizer,
        callbacks=[Epochs],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    (checkpoint,) = arguments.output_dir.glob("checkpoint-*")
    for path in sorted(checkpoint.iterdir()):
        path.rename(arguments.output_dir / path.name)
    checkpoint.rmdir()
    print("saved", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--run-id", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    train(arguments, yaml.safe_load(arguments.config.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
