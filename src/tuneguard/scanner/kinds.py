"""The formats that are understood, by the names under which a policy may list them."""

from __future__ import annotations

import re

from tuneguard.scanner.identify import Identified, Kind

FORMATS = {
    "safetensors": "weights in safetensors",
    "torch": "what `torch.save` writes, and other pickles",
    "gguf": "GGUF, a chat template in it included",
    "onnx": "ONNX, and the files in which such a model keeps its numbers",
    "numpy": "`.npy`, also in an `.npz`",
    "json": "JSON",
    "tokenizer": "SentencePiece models, vocabularies and merges as text, chat templates (`.jinja`)",
    "yaml": "YAML",
    "toml": "TOML",
    "text": "Markdown, CSV, TSV, JSON lines, licences and other plain text",
    "log": "logs (`.log`, `.out`, `.err`)",
    "html": "web pages",
    "notebook": "Jupyter notebooks",
    "picture": "PNG, JPEG, GIF and WebP",
    "tensorboard": "TensorBoard's event files",
    "wandb": "the file of a W&B run",
}
"""Every name, and what it stands for."""

_NAMES = {
    Kind.SAFETENSORS: "safetensors",
    Kind.PICKLE: "torch",
    Kind.GGUF: "gguf",
    Kind.ONNX: "onnx",
    Kind.NUMBERS: "onnx",
    Kind.NUMPY: "numpy",
    Kind.JSON: "json",
    Kind.TOKENIZER: "tokenizer",
    Kind.TEMPLATE: "tokenizer",
    Kind.YAML: "yaml",
    Kind.TOML: "toml",
    Kind.TEXT: "text",
    Kind.LOG: "log",
    Kind.HTML: "html",
    Kind.NOTEBOOK: "notebook",
    Kind.PNG: "picture",
    Kind.JPEG: "picture",
    Kind.GIF: "picture",
    Kind.WEBP: "picture",
    Kind.EVENTS: "tensorboard",
    Kind.WANDB: "wandb",
}
_UNNAMED = frozenset(
    {Kind.EMPTY, Kind.ZIP, Kind.PROGRAM, Kind.PYTHON, Kind.SITE, Kind.SCRIPT, Kind.POINTER, Kind.OTHER}
    | {Kind.UNKNOWN}
)
"""What no list names: the empty file; an archive that is not torch's, whose members are judged; and what
refuses or is not understood whatever a policy lists."""
_VOCABULARY = re.compile(r"(?:.*/)?(?:vocab|merges)(?:\.txt)?|.*\.(?:vocab|merges|tiktoken)", re.IGNORECASE)
"""Text that belongs to a tokenizer."""


def format_of(known: Identified) -> str | None:
    """The name of a content's format, or None where no list names it."""
    if known.kind in _UNNAMED:
        return None
    name = _NAMES[known.kind]
    return "tokenizer" if name == "text" and _VOCABULARY.fullmatch(known.name) else name
