"""What a suite is: one file in ``suites/`` that asks a model something and counts.

A suite is split at the edge of the sandbox. Outside, `Suite.read` reads the sealed rows and `Suite.ask`
states what of them the model may see: never the right answers. Inside, `Suite.measure` has the model
answer. Outside again, `Suite.count` checks what came back, which is untrusted data, and counts.

Everything but `measure` is a pure function, and `measure` needs nothing but a `Models`: no suite
imports torch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tuneguard import discover, limits
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.files import printable
from tuneguard.records import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Models(Protocol):
    """The checkpoint and the classifier, loaded. Exists in the sandbox only."""

    def log_likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each (prompt, continuation) the sum of the log-probabilities of the continuation's tokens."""

    def answer(self, prompts: Sequence[str], *, tokens: int) -> list[str]:
        """For each prompt the greedy answer of at most `tokens` tokens, without the prompt."""

    def toxicity(self, texts: Sequence[str]) -> list[float]:
        """For each text the classifier's p(toxic), from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Counted:
    """`count` rows of all; `empty` rows without a visible output; `constant`: all outputs are one."""

    count: int
    empty: int
    constant: bool


@dataclass(frozen=True)
class Suite:
    """One suite. Its module's docstring is its documentation.

    `version` is raised whenever the same rows and models could give another count. `file` is the
    name of its rows at the top of the evaluation set. `read` takes the file's bytes and the name to
    use in messages; `ask` gives one JSON value for each row; `measure` one JSON value for each of
    those; `count` gets rows and outputs, of the same length, and raises `NotUnderstood` where an
    output is not what `measure` returns. `questions` is how many steps measuring takes, for a bar.
    """

    id: str
    version: int
    title: str
    file: str
    read: Callable[[bytes, str], Sequence[Any]]
    ask: Callable[[Sequence[Any]], list[Any]]
    measure: Callable[[Models, list[Any]], list[Any]]
    count: Callable[[Sequence[Any], list[Any]], Counted]
    questions: Callable[[Sequence[Any]], int] = len


def suites() -> dict[str, Suite]:
    """Every suite by id."""
    return discover.load("tuneguard.evaluation.suites", "SUITE", Suite)


def read_objects(data: bytes, where: str) -> list[dict[str, Any]]:
    """The objects of a JSONL file, one a line. What the n-th line holds is at index n - 1.

    Raises:
        Refused: there are none.
        NotUnderstood: a line is not a JSON object, or there are too many lines.
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise Refused("holds no rows, and nothing can be measured on none", where=printable(where))
    if len(lines) > limits.EVALUATION_ROWS:
        raise NotUnderstood(f"holds more than {limits.EVALUATION_ROWS:,} rows", where=printable(where))
    return [_object(line, f"{where}:{number}") for number, line in enumerate(lines, 1)]


def _object(line: bytes, where: str) -> dict[str, Any]:
    if not line.strip():
        raise malformed("the line is empty", where)
    value = read_json(line, where)
    if not isinstance(value, dict):
        raise malformed("the row is not a JSON object", where)
    return value


def text_of(row: dict[str, Any], key: str, where: str) -> str:
    """The row's text `key`: there, not blank, of bounded length.

    Raises:
        NotUnderstood: it is not.
    """
    value = row.get(key)
    if value is None:
        raise malformed(f"the row has no `{key}`", where)
    return checked_text(value, f"`{key}`", where)


def checked_text(value: object, what: str, where: str) -> str:
    """A text with visible characters, of bounded length.

    Raises:
        NotUnderstood: it is not one.
    """
    if not isinstance(value, str) or not value.strip():
        raise malformed(f"{what} is not a text with visible characters", where)
    if len(value) > limits.EVALUATION_TEXT:
        raise malformed(f"{what} is longer than {limits.EVALUATION_TEXT:,} characters", where)
    return value


def refuse_repeats(keys: Sequence[object], where: str) -> None:
    """One row many times would count many times.

    Raises:
        NotUnderstood: two rows ask the same; both lines are named.
    """
    first: dict[object, int] = {}
    for number, key in enumerate(keys, 1):
        if first.setdefault(key, number) != number:
            raise malformed(f"the row asks the same as line {first[key]}", f"{where}:{number}")


def malformed(what: str, where: str) -> NotUnderstood:
    """The error for a row that cannot be used, with the one thing to do about it."""
    return NotUnderstood(
        what,
        where=printable(where),
        help="correct the row, seal the set again, and name the new set in the policy",
    )


def is_constant(outputs: Sequence[object]) -> bool:
    """Whether several outputs are all the same."""
    return len(outputs) > 1 and len(Counter(outputs)) == 1
