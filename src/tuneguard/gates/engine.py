"""Evidence in, pass or refuse out: every gate judges one case, and every reason is returned.

A gate is one file in this folder that binds ``GATE``. It decodes its own block of the policy,
lets a pipeline file and flags tighten it (never loosen it), and judges a `Case` without any IO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import discover
from tuneguard.findings import REFUSING, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tuneguard.findings import Finding
    from tuneguard.records import Node
    from tuneguard.trust.claims import Claim, Verification
    from tuneguard.trust.policy import Model, Policy


@dataclass(frozen=True, slots=True)
class Number:
    """A measured share with its interval against a bound: ``accuracy 0.94 [0.898, 0.965] ≥ 0.85``.

    `op` is ``≥`` for a minimum (then `low` is judged) and ``≤`` for a maximum (then `high` is).
    """

    label: str
    value: float
    low: float
    high: float
    bound: float
    op: str
    n: int
    count: int

    @property
    def met(self) -> bool:
        """Whether the interval's nearer end keeps the bound."""
        return self.low >= self.bound if self.op == "≥" else self.high <= self.bound


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many rows a training data set shares with the evaluation set, by their row hashes.

    `training` and `evaluation` are tree digests; `shared` is None where the hashes of either are
    missing, and `reason` then says why.
    """

    training: str
    evaluation: str
    shared: int | None
    reason: str | None = None


@dataclass(frozen=True)
class Case:
    """All that the gates judge: the policy's demands, what verification let count, and the tree.

    `seals` are the claims that verification for the purpose ``train`` returned for each data set
    that the run used; `overlaps` the row comparisons. `settings` are the effective ones by gate id.
    """

    policy: Policy
    model: Model
    verification: Verification
    settings: Mapping[str, Any]
    now: datetime
    files: int
    bytes: int
    attempt: str | None = None
    seals: tuple[Claim, ...] = ()
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True)
class GateResult:
    """What one gate said: what was needed, what was found, by whom, and each reason to refuse."""

    id: str
    findings: tuple[Finding, ...]
    needed: str
    found: str
    by: tuple[str, ...] = ()
    numbers: tuple[Number, ...] = ()
    judged: bool = True

    @property
    def verdict(self) -> Verdict:
        """Refused by a finding of medium or above, or when there was nothing to judge."""
        refused = not self.judged or any(finding.severity in REFUSING for finding in self.findings)
        return Verdict.REFUSED if refused else Verdict.PASSED


@dataclass(frozen=True)
class Gate:
    """One gate.

    `decode` reads the gate's block (None: it is absent) and raises `ConfigurationError` with every
    fault's place. `tighten` lays a second block over a floor, and raises `ConfigurationError` where
    that is looser. `judge` is pure. The docstring of the gate's module is its documentation.
    """

    id: str
    title: str
    decode: Callable[[Node | None], Any]
    tighten: Callable[[Any, Any], Any]
    judge: Callable[[Case, Any], GateResult]


def gates() -> dict[str, Gate]:
    """Every gate by id."""
    return discover.load("tuneguard.gates", "GATE", Gate, besides=frozenset({"engine"}))


def settings(policy: Policy, *tighter: Mapping[str, Node]) -> dict[str, Any]:
    """The effective settings by gate id: the policy's floor, tightened by each mapping in turn.

    Raises:
        ConfigurationError: a block is wrong or looser than the floor, or no gate has its name.
    """
    raise NotImplementedError


def judge_all(case: Case) -> tuple[GateResult, ...]:
    """What every gate says about the case, in the order of their ids."""
    raise NotImplementedError
