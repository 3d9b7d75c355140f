"""Evidence in, pass or refuse out: every gate judges one case, and every reason is returned.

A gate is one file in this folder that binds ``GATE``; its docstring is what ``tuneguard explain
G-SCAN`` prints. It decodes its own block of the policy's ``gates``, lets a pipeline file and flags
tighten it (never loosen it), and judges a `Case` without any IO::

    effective = settings(policy, model, pipeline.gates, flags)       # the floors, tightened
    results = judge_all(Case(policy, model, verification, effective, …))
    passed = verification.passed and all(result.verdict is Verdict.PASSED for result in results)

A gate judges only claims that meet a requirement of the policy (`Verification.counting`), never a
file that merely lies there. Where several claims of a kind count, one that holds is enough.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import discover
from tuneguard.attest.predicates.evaluation import Evaluation
from tuneguard.errors import ConfigurationError, Problem
from tuneguard.facts import GateFacts
from tuneguard.files import printable
from tuneguard.findings import REFUSING, Finding, Location, Severity, Verdict
from tuneguard.nodes import shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from tuneguard.attest.predicates.seal import Seal
    from tuneguard.evaluation.weights import Selection
    from tuneguard.facts import Number
    from tuneguard.nodes import Node
    from tuneguard.trust.claims import Body, Claim, Verification
    from tuneguard.trust.policy import Model, Policy, SealedBy
    from tuneguard.typed import JsonStruct

AT_LEAST, AT_MOST = "≥", "≤"


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many rows a training data set shares with the evaluation set, by their row hashes.

    `training` and `evaluation` are tree digests; `shared` is None where the hashes of either are
    missing, and `reason` is then why.
    """

    training: str
    evaluation: str
    shared: int | None
    reason: str | None = None


@dataclass(frozen=True)
class Case:
    """All that the gates judge: the policy's demands, what verification let count, and the tree.

    `files` and `bytes` are the tree's, `weights` is what of it an evaluation measures. `seals` are the
    claims that verification for the purpose ``train`` returned for each data set that the run used;
    `overlaps` the row comparisons; `promoted` the trees that are a promoted model now, each with its name.
    `settings` are the effective ones by gate id.
    """

    policy: Policy
    model: Model
    verification: Verification
    settings: Mapping[str, Any]
    now: datetime
    files: int
    bytes: int
    weights: Selection
    attempt: str | None = None
    seals: tuple[Claim[Seal], ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    promoted: frozenset[tuple[str, str]] = frozenset()

    def __post_init__(self) -> None:
        expected = self.verification.expectation
        if (expected.model, expected.attempt, expected.purpose) != (self.model.name, self.attempt, "promote"):
            msg = "the verification is not of this model, attempt and purpose"
            raise ValueError(msg)

    def sealed(self, tree: str | None, kind: str, rule: SealedBy) -> bool:
        """Whether a seal that counts makes a tree what the policy names by steward."""
        return tree is not None and any(
            (claim.subject, claim.body.kind) == (tree, kind) and rule.covers(claim.identity, claim.body.name)
            for claim in self.seals
        )

    def measures(self, tree: str | None) -> bool:
        """Whether a tree is an evaluation set of the policy."""
        rule = self.model.evaluation
        if rule is None or tree is None:
            return False
        return tree == rule.set if isinstance(rule.set, str) else self.sealed(tree, "evaluation", rule.set)


def measured_with(model: Model, verification: Verification) -> tuple[str, ...]:
    """The evaluation sets: the policy's, or where it names a steward, those that the evaluations state."""
    if model.evaluation is None:
        return ()
    if isinstance(model.evaluation.set, str):
        return (model.evaluation.set,)
    return tuple(dict.fromkeys(claim.body.set_digest for claim in verification.counting(Evaluation)))


@dataclass(frozen=True)
class GateResult:
    """What one gate found: what was needed, what was found, by whom, and each reason to refuse.

    `judged` is false where no claim of the kind counted, so that there was nothing to judge: that
    refuses, and verification reports the reason.
    """

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

    @property
    def facts(self) -> GateFacts:
        """The result without its findings, as reports and JSON show it."""
        return GateFacts(
            id=self.id,
            verdict=self.verdict,
            needed=self.needed,
            found=self.found,
            by=self.by,
            numbers=self.numbers,
        )


@dataclass(frozen=True)
class Gate:
    """One gate.

    `decode` reads the gate's block (None: it is absent) and raises `ConfigurationError` with every
    fault's place. `tighten` lays a second block, whose owner is an argument, over a floor, and raises
    `ConfigurationError` where that is looser. `judge` is pure. `kind` is the evidence that it cannot do
    without.
    """

    id: str
    title: str
    kind: str
    decode: Callable[[Node | None], Any]
    tighten: Callable[[Any, Any, str], Any]
    judge: Callable[[Case, Any], GateResult]

    @property
    def rule(self) -> str:
        """The rule of the gate's findings: what ``tuneguard explain`` knows it by."""
        return f"G-{self.id.upper()}"

    @property
    def text(self) -> str:
        """What it checks and why, for people: the docstring of its module."""
        return inspect.cleandoc(sys.modules[self.judge.__module__].__doc__ or "")


def gates() -> dict[str, Gate]:
    """Every gate by id."""
    return discover.load("tuneguard.gates", "GATE", Gate, besides=frozenset({"engine"}))


POLICYS, PIPELINES = "the policy's", "the pipeline's"
"""Whose a block is, as in messages. A flag may do what a pipeline file may."""


def settings(policy: Policy, model: Model | None, *tighter: Mapping[str, Node]) -> dict[str, Any]:
    """The effective settings by gate id: the policy's floor, tightened by each mapping in turn.

    The first to tighten it is the model's own entry in the policy.

    Raises:
        ConfigurationError: a block is wrong or looser than the floor, or no gate has its name; with
            every fault of all gates.
    """
    known = gates()
    own = {} if model is None else model.gates
    problems = [
        Problem(f"no gate is called `{shown(name)}`", node.where, suggestion(name, known.keys()))
        for block in (policy.gates, own, *tighter)
        for name, node in block.items()
        if name not in known
    ]
    effective: dict[str, Any] = {}
    for id, gate in known.items():
        try:
            effective[id] = settings_of(gate, policy, model, *tighter)
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return effective


def settings_of(gate: Gate, policy: Policy, model: Model | None, *tighter: Mapping[str, Node]) -> Any:
    """The effective settings of one gate, as `settings`.

    Raises:
        ConfigurationError: a block of this gate is wrong or looser than the floor.
    """
    effective = gate.decode(policy.gates.get(gate.id))
    layers = [({} if model is None else model.gates, POLICYS), *((each, PIPELINES) for each in tighter)]
    for block, owner in layers:
        if gate.id in block:
            effective = gate.tighten(effective, gate.decode(block[gate.id]), owner)
    return effective


def check(policy: Policy) -> None:
    """Every gate can read what the policy sets, for all models and for each, and no model loosens a floor.

    Raises:
        ConfigurationError: with the faults of the first model that has any.
    """
    for model in (None, *policy.models.values()):
        settings(policy, model)


def judge_all(case: Case) -> tuple[GateResult, ...]:
    """The result of every gate for the case, in the order of their ids."""
    return tuple(gate.judge(case, case.settings[id]) for id, gate in gates().items())


# --- What gates share ------------------------------------------------------------------------------


def no_settings(id: str) -> Callable[[Node | None], None]:
    """The `decode` of a gate that has nothing to set."""

    def decode(node: Node | None) -> None:
        if node is not None:
            help = "remove it: what this gate demands is fixed elsewhere in the policy"
            raise ConfigurationError([Problem(f"the gate {id} has no settings", node.where, help)])

    return decode


def nothing_to_tighten(floor: None, asked: None, owner: str) -> None:
    """The `tighten` of a gate that has nothing to set."""
    del floor, asked, owner


def not_judged(case: Case, gate: Gate, needed: str) -> GateResult:
    """The result where no claim of the gate's kind counts. Verification reports the reason."""
    asked = gate.kind in case.verification.unmet or gate.kind in case.verification.expectation.deferred
    findings = () if asked else (fault(gate, f"no {gate.kind} counts, so there is nothing to judge"),)
    return GateResult(gate.id, findings, needed, f"no {gate.kind} that counts", judged=False)


def fault(
    gate: Gate,
    message: str,
    *,
    severity: Severity = Severity.HIGH,
    path: str | None = None,
    why: str | None = None,
    fix: str | None = None,
) -> Finding:
    """A finding of a gate."""
    location = None if path is None else Location(printable(path))
    return Finding(gate.rule, severity, message, location, why, fix)


def refuses(findings: Sequence[Finding]) -> bool:
    """Whether one of them is of medium or above."""
    return any(finding.severity in REFUSING for finding in findings)


def ordered(claims: Sequence[Claim[Body]]) -> tuple[Claim[Body], ...]:
    """Claims in an order that does not hang on how the folder was listed; each file once."""
    once = {claim.sha256: claim for claim in claims}
    return tuple(once[sha256] for sha256 in sorted(once))


def signer(claim: Claim[JsonStruct]) -> str:
    """Who signed it, for people."""
    return f"{claim.identity} ({claim.custodian})"
