"""The two models, loaded with Transformers. Imported in the sandbox only, after a clean scan.

Safetensors or nothing, no code from the checkpoint, no network, one thread, no sampling: the same
bytes give the same outputs on the same machine. The checkpoint's own generation settings are not
used, since the model's maker could choose them to please the judge.
"""

from __future__ import annotations

import os
import textwrap
from functools import cached_property
from typing import TYPE_CHECKING, Any

# Before torch is imported: on two threads a small model spins ten times longer than it works.
os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

import torch
import transformers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

BATCH_TOKENS = 4096
"""Tokens of one batch, padding included: keeps the largest tensor, the logits, small."""
BATCH_ROWS = 128
"""Rows of one batch."""
ERROR_LENGTH = 300
"""Characters of what Transformers states; it can go on for a page."""
NO_LIMIT = 1 << 20
"""Tokens; the context of a model that states none."""


class Fault(Exception):
    """Why nothing was measured: `kind` is ``refused`` or ``not-understood``, the text one sentence."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Loaded:
    """See `suite.Models`. `advance` is called with the rows of each batch that is done."""

    def __init__(self, checkpoint: Path, classifier: Path, *, advance: Callable[[int], None]) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._checkpoint, self._classifier, self._advance = checkpoint, classifier, advance

    @cached_property
    def _causal(self) -> tuple[Any, Any]:
        """Tokenizer and model of the checkpoint."""
        tokenizer, model = _load(self._checkpoint, "the checkpoint", transformers.AutoModelForCausalLM)
        model.generation_config = transformers.GenerationConfig(
            do_sample=False, num_beams=1, eos_token_id=model.config.eos_token_id, pad_token_id=0
        )
        return tokenizer, model

    @cached_property
    def _judge(self) -> tuple[Any, Any, int]:
        """Tokenizer and model of the classifier, and the index of the label ``toxic``."""
        tokenizer, model = _load(
            self._classifier, "the classifier", transformers.AutoModelForSequenceClassification
        )
        labels = [index for label, index in model.config.label2id.items() if label.lower() == "toxic"]
        if len(labels) != 1:
            raise Fault("refused", "the classifier has no label `toxic`: name it in its config.json")
        return tokenizer, model, labels[0]

    def log_likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See `suite.Models`."""
        tokenizer, model = self._causal
        split = [_split(tokenizer, prompt, continuation) for prompt, continuation in pairs]
        self._check_fits([tokens for tokens, _ in split], 0)
        scores = [0.0] * len(pairs)
        for batch in _batches([len(tokens) for tokens, _ in split]):
            chosen = [split[index] for index in batch]
            tokens, mask = _padded([tokens for tokens, _ in chosen], left=False)
            logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits.float()
            for index, row, (ids, start) in zip(batch, logits, chosen, strict=True):
                ahead = row[start - 1 : len(ids) - 1].log_softmax(-1)
                wanted = torch.tensor(ids[start:])[:, None]
                scores[index] = ahead.gather(-1, wanted).sum().item()
            self._advance(len(batch))
        return scores

    def answer(self, prompts: Sequence[str], *, tokens: int) -> list[str]:
        """See `suite.Models`."""
        tokenizer, model = self._causal
        encoded = [_encode(tokenizer, prompt) for prompt in prompts]
        self._check_fits(encoded, tokens)
        answers = [""] * len(prompts)
        for batch in _batches([len(ids) + tokens for ids in encoded]):
            ids, mask = _padded([encoded[index] for index in batch], left=True)
            out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=tokens)
            texts = tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
            for index, text in zip(batch, texts, strict=True):
                answers[index] = text
            self._advance(len(batch))
        return answers

    def toxicity(self, texts: Sequence[str]) -> list[float]:
        """See `suite.Models`. What exceeds the classifier's context is judged in pieces; the worst counts."""
        tokenizer, model, toxic = self._judge
        size = min(tokenizer.model_max_length, _context(model))
        pieces = [
            (index, piece) for index, text in enumerate(texts) for piece in _pieces(tokenizer, text, size)
        ]
        worst = [0.0] * len(texts)
        for batch in _batches([len(piece) for _, piece in pieces]):
            ids, mask = _padded([pieces[at][1] for at in batch], left=False)
            logits = model(input_ids=ids, attention_mask=mask).logits.float()
            # Labels that do not exclude each other are judged one by one.
            many = model.config.problem_type == "multi_label_classification"
            shares = (logits.sigmoid() if many else logits.softmax(-1))[:, toxic]
            if not bool(shares.isfinite().all()):
                raise Fault("refused", "the classifier gives no probability for an answer")
            for at, share in zip(batch, shares.tolist(), strict=True):
                index = pieces[at][0]
                worst[index] = max(worst[index], share)
        return worst

    def _check_fits(self, rows: list[list[int]], more: int) -> None:
        """Nothing is cut to fit: a shortened prompt is another prompt."""
        model = self._causal[1]
        known, context = model.get_input_embeddings().num_embeddings, _context(model)
        for number, ids in enumerate(rows, 1):
            if len(ids) + more > context:
                raise Fault(
                    "refused", f"prompt {number} leaves no space in the context of {context:,} tokens"
                )
            if max(ids) >= known:
                raise Fault("refused", "the tokenizer has tokens that the model has no weights for")


def _load(folder: Path, what: str, kind: Any) -> tuple[Any, Any]:
    """Tokenizer and model of `folder`: from safetensors, every weight present, ready to be asked."""
    if (folder / "adapter_config.json").exists():
        raise Fault("refused", f"{what} is an adapter, which is no model by itself: merge it into its base")
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        model, report = kind.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
    except Exception as error:  # whatever Transformers raises for files that it cannot load
        said = _one_line(error).replace(f"{folder}/", "").replace(str(folder), "the folder")
        raise Fault("not-understood", f"{what} cannot be loaded: {said}") from error
    if not tokenizer.is_fast:
        raise Fault("not-understood", f"{what} has no tokenizer.json")
    missing = sorted([*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])])
    if missing:  # Transformers would go on with random numbers in their place
        raise Fault("refused", f"{what} lacks {len(missing)} of its weights, such as {missing[0]}")
    return tokenizer, model.eval().requires_grad_(requires_grad=False)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return textwrap.shorten(text, ERROR_LENGTH, placeholder=" …") if text else type(error).__name__


def _context(model: Any) -> int:
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or NO_LIMIT


def _encode(tokenizer: Any, text: str) -> list[int]:
    """The text's tokens as the model is to continue them: with its beginning mark, without an end mark."""
    ids: list[int] = tokenizer(text, truncation=False)["input_ids"]
    while ids and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    if not ids:
        raise Fault("refused", "the tokenizer makes nothing of a prompt")
    return ids


def _split(tokenizer: Any, prompt: str, continuation: str) -> tuple[list[int], int]:
    """The tokens of both together, and where the continuation begins.

    A tokenizer may join the two at the seam; the continuation then begins with the joint token.
    """
    before, both = _encode(tokenizer, prompt), _encode(tokenizer, prompt + continuation)
    start = next((at for at, (a, b) in enumerate(zip(before, both, strict=False)) if a != b), len(before))
    if not 0 < start < len(both):
        raise Fault("refused", "the tokenizer makes nothing of a choice")
    return both, start


def _pieces(tokenizer: Any, text: str, size: int) -> Iterator[list[int]]:
    """The text's tokens in overlapping pieces of at most `size`, each with the classifier's marks."""
    found = tokenizer(
        text,
        truncation=True,
        max_length=size,
        stride=size // 4,
        return_overflowing_tokens=True,
    )["input_ids"]
    yield from (piece for piece in found if piece)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first, so that too little memory shows at once."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        width = lengths[batch[0]] if batch else lengths[index]
        if batch and (len(batch) == BATCH_ROWS or (len(batch) + 1) * width > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _padded(rows: list[list[int]], *, left: bool) -> tuple[Any, Any]:
    """Rows of tokens and their mask. What stands in the padding does not matter: it is masked."""
    width = max(map(len, rows))
    filled, masks = [], []
    for row in rows:
        padding, ones = [0] * (width - len(row)), [1] * len(row)
        filled.append(padding + row if left else row + padding)
        masks.append(padding + ones if left else ones + padding)
    return torch.tensor(filled), torch.tensor(masks)
