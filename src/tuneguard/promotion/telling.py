"""Gates and numbers as people read them, and as the report and JSON carry them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneguard.gates.engine import GateResult, Number


def number(value: Number) -> str:
    """``accuracy 0.94 [0.898, 0.965] ≥ 0.85``."""
    interval = f"[{_figure(value.low)}, {_figure(value.high)}]"
    return f"{value.label} {_figure(value.value)} {interval} {value.op} {value.bound:g}"


def numbers(said: GateResult) -> str:
    """All numbers of a gate on one line, with how many rows each was counted over."""
    if not said.numbers:
        return said.found
    counts = ", ".join(str(value.n) for value in said.numbers)
    return "   ".join(number(value) for value in said.numbers) + f"   n={counts}"


def gate_fields(said: GateResult) -> dict[str, Any]:
    """A gate's result as JSON fields."""
    return {
        "id": said.id,
        "verdict": said.verdict.value,
        "needed": said.needed,
        "found": said.found,
        "by": list(said.by),
        "numbers": [{**dataclasses.asdict(value), "met": value.met} for value in said.numbers],
    }


def _figure(value: float) -> str:
    """Three digits after the point; four where the value is small, so that 0.0004 is not 0."""
    text = f"{value:.3f}" if value >= 0.01 or value == 0 else f"{value:.4f}"
    return text.rstrip("0").rstrip(".") or "0"
