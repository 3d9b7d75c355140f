"""Which format reads which kind of content, and what stands inside a document that is more than it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import (
    gguf,
    image,
    jinja,
    json_document,
    log,
    notebook,
    numpy_array,
    onnx,
    pickle_file,
    safetensors,
    sentencepiece,
    tensorboard,
    text,
    toml_document,
    torch_zip,
    wandb,
    yaml_document,
)
from tuneguard.formats.facts import Fact, Inside, NotRead
from tuneguard.formats.json_document import Object
from tuneguard.formats.reader import Reader
from tuneguard.scanner.identify import Kind

Read = Callable[[Reader], Iterator[Fact]]


def _nothing_more(reader: Reader) -> Iterator[Fact]:
    """Content whose kind is all that there is to report."""
    reader.drain()
    yield from ()


def _template(reader: Reader) -> Iterator[Fact]:
    yield from jinja.read_template(text.read_whole(reader, 4 * limits.TEMPLATE_CHARACTERS))


def _document(read: Read, reader: Reader) -> Iterator[Fact]:
    left = limits.SCAN_TEMPLATES
    for fact in read(reader):
        yield fact
        if not isinstance(fact, Object):
            continue
        for key in ("chat_template", "chat_templates"):
            if key in fact.value:
                named = _named_templates(fact.value[key])
                left -= len(named)
                if left < 0:
                    raise NotUnderstood(f"holds over {limits.SCAN_TEMPLATES} chat templates")
                yield from _chat_templates(key, named)


def _named_templates(value: object) -> list[tuple[object, object]]:
    """One template, or several by their names, as tokenizers and processors keep them."""
    if isinstance(value, list):
        pairs = [item if isinstance(item, dict) else {"template": item} for item in value]
        return [(item.get("name"), item.get("template")) for item in pairs]
    return list(value.items()) if isinstance(value, dict) else [(None, value)]


def _chat_templates(key: str, named: list[tuple[object, object]]) -> Iterator[Fact]:
    for name, source in named:
        yield Inside(key if name is None else f"{key} {json_document.shown(str(name))}")
        if isinstance(source, str):
            yield from jinja.read_template(source)
        elif not isinstance(source, (int, float, type(None))):
            yield NotRead("its chat template is no text")
        yield Inside(None)


READERS: dict[Kind, Read] = {
    Kind.EMPTY: _nothing_more,
    Kind.ZIP: torch_zip.read,
    Kind.PICKLE: pickle_file.read,
    Kind.SAFETENSORS: safetensors.read,
    Kind.PROGRAM: _nothing_more,
    Kind.JSON: functools.partial(_document, json_document.read),
    Kind.YAML: functools.partial(_document, yaml_document.read),
    Kind.TOML: functools.partial(_document, toml_document.read),
    Kind.NOTEBOOK: notebook.read,
    Kind.TEMPLATE: _template,
    Kind.PYTHON: _nothing_more,
    Kind.SITE: _nothing_more,
    Kind.SCRIPT: _nothing_more,
    Kind.TEXT: text.read,
    Kind.LOG: log.read,
    Kind.HTML: text.read,
    Kind.EVENTS: tensorboard.read,
    Kind.WANDB: wandb.read,
    Kind.NUMPY: numpy_array.read,
    Kind.GGUF: gguf.read,
    Kind.ONNX: onnx.read,
    Kind.TOKENIZER: sentencepiece.read,
    Kind.PNG: image.read,
    Kind.JPEG: image.read,
    Kind.GIF: image.read,
    Kind.WEBP: image.read,
}
"""Kinds that are missing here are not understood."""
