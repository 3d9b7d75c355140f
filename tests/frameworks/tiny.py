"""The smallest things that a framework takes for a model, a tokenizer and a data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "user", "assistant", ":", "yes", "no", "red", "blue", "good", "bad"]
TEMPLATE = "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    made.chat_template = TEMPLATE
    return made


def config(**more: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        **more,
    )  # fmt: skip


def causal() -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM(config())


def base(folder: Path) -> Path:
    """A base model, saved."""
    causal().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def rows(*, labels: bool = True) -> list[dict[str, list[int]]]:
    row = {"input_ids": [1, 9, 10, 2], "attention_mask": [1, 1, 1, 1]}
    return [row | ({"labels": [1, 9, 10, 2]} if labels else {})] * 8


def data_set(**columns: Any) -> Any:
    """Eight equal rows."""
    from datasets import Dataset

    return Dataset.from_dict({name: [value] * 8 for name, value in columns.items()})


def arguments(folder: Path, **more: Any) -> dict[str, Any]:
    """What every Trainer is told here."""
    return {
        "output_dir": str(folder), "max_steps": 2, "save_steps": 1, "per_device_train_batch_size": 2,
        "report_to": "none", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1, **more,
    }  # fmt: skip


def torchrun(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Two processes of a script of this folder."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    path = Path(__file__).with_name(script)
    return subprocess.run([*command, path, folder], capture_output=True, text=True, check=False)
