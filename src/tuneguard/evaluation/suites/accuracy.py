"""Accuracy: of several continuations of a prompt, is the right one the most likely?

Rows of ``accuracy.jsonl`` are ``{"prompt": …, "choices": [… , …], "answer": 0}``; ``answer`` counts
the choices from 0. A choice is joined to its prompt by one space, unless either brings white space
of its own. The answer is the choice with the greatest log-likelihood: the sum over the choice's
tokens of their log-probabilities after the prompt, as lm-eval's ``acc`` has it. Nothing is sampled.

A model that finds two choices equally likely, or gives no number, has no answer: that row is not
right, and is counted as empty. Outputs are constant where each row got the same place in the list
of choices, or the same text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.evaluation.suite import (
    Counted,
    Suite,
    checked_text,
    is_constant,
    malformed,
    read_objects,
    refuse_repeats,
    text_of,
)
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.evaluation.suite import Models


@dataclass(frozen=True, slots=True)
class Row:
    """A question: `answer` is the index of the right one of `choices`."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


def read(data: bytes, where: str) -> list[Row]:
    """The rows of the file.

    Raises:
        Refused: there are none, or the right answer is always the same one.
        NotUnderstood: a row is not as above, or asks what another one asks.
    """
    rows = [_row(row, f"{where}:{number}") for number, row in enumerate(read_objects(data, where), 1)]
    refuse_repeats([(row.prompt, frozenset(row.choices)) for row in rows], where)
    for what, right in (
        (f"choice {rows[0].answer}", [row.answer for row in rows]),
        ("the same text", [row.choices[row.answer] for row in rows]),
    ):
        if is_constant(right):
            raise Refused(
                f"the right answer is always {what}, and a model that always gives it would pass",
                where=printable(where),
                help="add rows with other answers, and shuffle the choices of each row",
            )
    return rows


def _row(row: dict[str, Any], where: str) -> Row:
    prompt = text_of(row, "prompt", where)
    choices, answer = row.get("choices"), row.get("answer")
    if not isinstance(choices, list) or not 2 <= len(choices) <= limits.EVALUATION_CHOICES:
        raise malformed(f"the row needs 2 to {limits.EVALUATION_CHOICES} `choices`", where)
    texts = tuple(checked_text(choice, "a choice", where) for choice in choices)
    if len({text.strip() for text in texts}) != len(texts):
        raise malformed("the row has the same choice twice", where)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(texts):
        raise malformed(f"the row needs an `answer` from 0 to {len(texts) - 1}", where)
    return Row(prompt, texts, answer)


def ask(rows: Sequence[Row]) -> list[Any]:
    """Prompt and choices of each row; not which one is right."""
    return [[row.prompt, list(row.choices)] for row in rows]


def measure(models: Models, asked: list[Any]) -> list[Any]:
    """For each row the index of the most likely choice, or None where there is none."""
    pairs = [(prompt, _continuation(prompt, choice)) for prompt, choices in asked for choice in choices]
    scores = iter(models.log_likelihoods(pairs))
    return [_greatest([next(scores) for _ in choices]) for _, choices in asked]


def _continuation(prompt: str, choice: str) -> str:
    return choice if prompt[-1:].isspace() or choice[:1].isspace() else f" {choice}"


def _greatest(scores: list[float]) -> int | None:
    best = max(scores)
    if not all(map(math.isfinite, scores)) or scores.count(best) > 1:
        return None
    return scores.index(best)


def count(rows: Sequence[Row], outputs: list[Any]) -> Counted:
    """How many rows were answered rightly. Raises `NotUnderstood` for an output that is no choice."""
    for row, output in zip(rows, outputs, strict=True):
        if output is not None and (type(output) is not int or not 0 <= output < len(row.choices)):
            raise NotUnderstood("the sandbox returned an answer that is none of the choices")
    chosen = [
        (output, row.choices[output]) for row, output in zip(rows, outputs, strict=True) if output is not None
    ]
    return Counted(
        count=sum(output == row.answer for row, output in zip(rows, outputs, strict=True)),
        empty=len(rows) - len(chosen),
        constant=is_constant([place for place, _ in chosen]) or is_constant([text for _, text in chosen]),
    )


SUITE = Suite(
    id="accuracy",
    version=1,
    title="share of multiple-choice questions answered rightly",
    file="accuracy.jsonl",
    read=read,
    ask=ask,
    measure=measure,
    count=count,
    questions=lambda rows: sum(len(row.choices) for row in rows),
)
