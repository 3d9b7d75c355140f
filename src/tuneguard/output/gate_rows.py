"""The gates as rows of a table, and each number that they judged with its bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.gates import engine
from tuneguard.output.bars import Bar, bar
from tuneguard.output.report_values import Stand, State, figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.findings import Result

ORDER = ("provenance", "scan", "overlap", "evaluation")
"""The gates as the journey meets them; others come after."""


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate; ``stand`` says whether it passed, refused, or was not reached."""

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


def gates(result: Result) -> tuple[GateRow, ...]:
    """Every gate of a decision in the order of the journey; those that were not reached say so."""
    said = {gate["id"]: gate for gate in _said(result)}
    known = engine.gates()
    names = {*said, *known} if "gates" in result.facts else {*said}
    order = {name: index for index, name in enumerate(ORDER)}
    return tuple(
        _row(name, known[name].title if name in known else "", said.get(name))
        for name in sorted(names, key=lambda name: (order.get(name, len(order)), name))
    )


def measures(result: Result) -> tuple[Measure, ...]:
    """Every number that a gate judged."""
    return tuple(_measure(number) for gate in _said(result) for number in gate["numbers"])


def _said(result: Result) -> list[Mapping[str, Any]]:
    one = result.facts.get("gate")
    return [*result.facts.get("gates", ()), *([] if one is None else [one])]


def _row(name: str, title: str, said: Mapping[str, Any] | None) -> GateRow:
    if said is None:
        return GateRow(title, Stand(name, State.NONE, "not reached"))
    state = State.GOOD if said["verdict"] == "passed" else State.BAD
    stand = Stand(name, state, said["verdict"])
    return GateRow(title, stand, said["needed"], said["found"], tuple(said["by"]))


def _measure(number: Mapping[str, Any]) -> Measure:
    met = bool(number["met"])
    return Measure(
        label=number["label"],
        value=figure(number["value"]),
        interval=f"[{figure(number['low'])}, {figure(number['high'])}]",
        needed=f"{number['op']} {number['bound']:g}",
        counted=f"{number['count']:,} of {number['n']:,}",
        stand=Stand(number["label"], State.GOOD if met else State.BAD, "met" if met else "missed"),
        bar=bar(**{key: number[key] for key in ("value", "low", "high", "bound", "op")}),
    )
