"""Measures a checkpoint on a sealed evaluation set, in the sandbox, and returns raw counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tuneguard.progress import Reporter
    from tuneguard.sandbox.walls import Backend


@dataclass(frozen=True, slots=True)
class SuiteCounts:
    """What one suite counted: `count` of `n` outputs (right answers, or toxic ones).

    `n` counts only outputs that say something; `empty` is the number that did not, so that
    ``n + empty`` is the number of rows. `constant` says that all outputs were the same.
    `outputs_digest` is the SHA-256 in hex over the outputs as canonical JSON.
    """

    id: str
    version: int
    n: int
    count: int
    outputs_digest: str
    constant: bool
    empty: int


def evaluate(
    checkpoint: Path,
    evaluation_set: Path,
    classifier: Path,
    *,
    suites: Mapping[str, int],
    backend: Backend,
    minimum_rows: int = 1,
    deadline: float = 3600.0,
    memory: int | None = None,
    reporter: Reporter = SILENT,
) -> tuple[SuiteCounts, ...]:
    """The counts of each suite in `suites` (id → version), in the order of the ids.

    `checkpoint` and `classifier` are trees that were scanned clean; `deadline` is in seconds.
    """
    raise NotImplementedError
