"""What the rules about configurations share: which objects are none, and the texts in a value."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.json_document import Object
    from tuneguard.scanner.rule import Context


def is_vocabulary(fact: Object, context: Context) -> bool:
    """Whether an object is a table of words and their numbers: there a key is a word and no setting."""
    if context.name in ("vocab.json", "added_tokens.json"):
        return fact.step is None
    return context.name == "tokenizer.json" and fact.step == ((None, "model"), "vocab")


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, at any depth, without keys."""
    waiting = deque([value])
    while waiting:
        value = waiting.popleft()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
