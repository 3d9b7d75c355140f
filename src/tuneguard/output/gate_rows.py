"""The gates as rows of a table, and each number that they judged with its bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.display import figure
from tuneguard.facts import DecideFacts, EvaluateFacts
from tuneguard.findings import Verdict
from tuneguard.gates import engine
from tuneguard.output.bars import Bar, bar
from tuneguard.output.report_values import Stand, State

if TYPE_CHECKING:
    from tuneguard.facts import Facts, GateFacts, Number
    from tuneguard.findings import Result

ORDER = ("provenance", "scan", "overlap", "evaluation")
"""The gates as the journey meets them; others come after."""


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate; ``stand`` is whether it passed, refused, or was not reached."""

    title: str
    stand: Stand
    needed: str = ""
    found: str = ""
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """A share that a gate judged, with its interval, its bound and the picture of them."""

    label: str
    value: str
    interval: str
    needed: str
    counted: str
    stand: Stand
    bar: Bar

    @property
    def words(self) -> str:
        """What the picture shows."""
        return (
            f"{self.label} {self.value}, interval {self.interval}, needed {self.needed}: {self.stand.words}"
        )


def gates(result: Result[Facts]) -> tuple[GateRow, ...]:
    """Every gate of a decision in the order of the journey; marked where they were not reached."""
    said = {gate.id: gate for gate in _gates(result.facts)}
    known = engine.gates()
    names = {*said, *known} if isinstance(result.facts, DecideFacts) else {*said}
    order = {name: index for index, name in enumerate(ORDER)}
    return tuple(
        _row(name, known[name].title if name in known else "", said.get(name))
        for name in sorted(names, key=lambda name: (order.get(name, len(order)), name))
    )


def measures(result: Result[Facts]) -> tuple[Measure, ...]:
    """Every number that a gate judged."""
    return tuple(_measure(number) for gate in _gates(result.facts) for number in gate.numbers)


def _gates(facts: Facts) -> tuple[GateFacts, ...]:
    match facts:
        case DecideFacts():
            return facts.gates
        case EvaluateFacts():
            return () if facts.gate is None else (facts.gate,)
    return ()


def _row(name: str, title: str, said: GateFacts | None) -> GateRow:
    if said is None:
        return GateRow(title, Stand(name, State.NONE, "not reached"))
    state = State.GOOD if said.verdict is Verdict.PASSED else State.BAD
    return GateRow(title, Stand(name, state, said.verdict.value), said.needed, said.found, said.by)


def _measure(number: Number) -> Measure:
    return Measure(
        label=number.label,
        value=figure(number.value),
        interval=f"[{figure(number.low)}, {figure(number.high)}]",
        needed=f"{number.op} {number.bound:g}",
        counted=f"{number.count:,} of {number.n:,}",
        stand=Stand(
            number.label,
            State.GOOD if number.met else State.BAD,
            "met" if number.met else "missed",
        ),
        bar=bar(value=number.value, low=number.low, high=number.high, bound=number.bound, op=number.op),
    )
