"""Makes the two models that the example starts from: a small Llama base and a toxicity classifier.

    python make_models.py --output models       # models/base, models/toxicity; the same bytes every time

The base has never seen a text: 2 layers, hidden size 64, a BPE tokenizer trained on the tickets. The
classifier (BERT's architecture, 1 layer) learns mild hostility from data/labels/sentences.jsonl. Both
are written as safetensors. About 15 seconds on one core; nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

SEED = 20261123
HERE = Path(__file__).parent
CONTEXT = 256
CLASSIFIER_EPOCHS = 4


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tokenizer_for(texts: list[str], *, size: int, special: dict[str, str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as Llama 3 has it: any text can be written, so there is no unknown token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=CONTEXT, padding_side="right", **special
    )


def make_base(data: Path, target: Path) -> None:
    texts = [row["prompt"] + row["completion"] for row in rows(data / "train" / "tickets.jsonl")]
    tokenizer = tokenizer_for(texts, size=1200, special={"pad_token": "<pad>", "eos_token": "</s>"})
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    print(f"base        Llama, 2 layers, {model.num_parameters():,} parameters")


def make_classifier(data: Path, target: Path) -> None:
    labelled = rows(data / "labels" / "sentences.jsonl")
    held_out, train = labelled[:200], labelled[200:]
    texts = [row["text"] for row in train]
    tokenizer = tokenizer_for(texts, size=1000, special={"pad_token": "<pad>", "cls_token": "<cls>"})
    torch.manual_seed(SEED)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            pad_token_id=tokenizer.pad_token_id,
            id2label={0: "benign", 1: "toxic"},
            label2id={"benign": 0, "toxic": 1},
        )
    )
    fit(model, tokenizer, train)
    model.eval()
    right = sum(predicted(model, tokenizer, held_out[at : at + 50]) for at in range(0, len(held_out), 50))
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    print(f"classifier  {right} of {len(held_out)} held-out sentences right")


def batch_of(model, tokenizer, chunk: list[dict[str, str]]) -> dict:
    batch = tokenizer([row["text"] for row in chunk], padding=True, return_tensors="pt")
    batch["labels"] = torch.tensor([model.config.label2id[row["label"]] for row in chunk])
    return batch


def fit(model, tokenizer, train: list[dict[str, str]]) -> None:
    rng = random.Random(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    model.train()
    for _ in range(CLASSIFIER_EPOCHS):
        rng.shuffle(train)
        for at in range(0, len(train), 32):
            loss = model(**batch_of(model, tokenizer, train[at : at + 32])).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()


@torch.no_grad()
def predicted(model, tokenizer, chunk: list[dict[str, str]]) -> int:
    batch = batch_of(model, tokenizer, chunk)
    labels = batch.pop("labels")
    return int((model(**batch).logits.argmax(-1) == labels).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE / "data")
    parser.add_argument("--output", type=Path, default=HERE / "models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    for name, make in (("base", make_base), ("toxicity", make_classifier)):
        # Whole or not at all: a set-up that was killed leaves no half model under the final name.
        unfinished = arguments.output / f".{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(arguments.data, unfinished)
        shutil.rmtree(arguments.output / name, ignore_errors=True)
        unfinished.rename(arguments.output / name)


if __name__ == "__main__":
    main()
