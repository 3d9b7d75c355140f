"""No row of the training data is in the evaluation set.

A model that has seen the questions proves nothing by answering them. The row hashes of every data set
that the run was trained on are compared with those of the evaluation set; one row in both refuses,
and so do hashes that are missing or were not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.files import printable
from tuneguard.gates.engine import (
    Case,
    Gate,
    GateResult,
    fault,
    measured_with,
    no_settings,
    not_judged,
    nothing_to_tighten,
    signer,
)
from tuneguard.gates.provenance import holding, tree_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.attest.predicates.provenance import Provenance
    from tuneguard.findings import Finding
    from tuneguard.gates.engine import Overlap

_NEEDED = "no row both in the training data and in the evaluation set"


def judge(case: Case, settings: None) -> GateResult:
    """Judge the comparisons for each provenance that holds; one whose data is disjoint is enough."""
    del settings
    claims = holding(case)
    if not claims:
        return not_judged(case, GATE, _NEEDED)
    if case.model.evaluation is not None and not measured_with(case.model, case.verification):
        return GateResult(GATE.id, (), _NEEDED, "no evaluation that counts names its set", judged=False)
    judged = [(claim, tuple(_faults(case, claim.body))) for claim in claims]
    claim, findings = next((each for each in judged if not each[1]), judged[0])
    names = ", ".join(printable(each.name) for each in claim.body.data) or "no data"
    found = f"{names}: no row in both" if not findings else f"{names}: {len(findings)} reasons to refuse"
    return GateResult(GATE.id, findings, _NEEDED, found, (signer(claim),))


def _faults(case: Case, body: Provenance) -> Iterator[Finding]:
    sets = measured_with(case.model, case.verification)
    if not sets:
        yield fault(GATE, f"the policy names no evaluation set for {case.model.name} to compare rows with")
        return
    if not body.data:
        yield fault(GATE, "the run names no training data to compare rows with")
    compared = {(each.training, each.evaluation): each for each in case.overlaps}
    for data in body.data:
        for measured in sets:
            yield from _shared(printable(data.name), compared.get((tree_of(data) or "", measured)))


def _shared(name: str, overlap: Overlap | None) -> Iterator[Finding]:
    if overlap is None or overlap.shared is None:
        reason = "they were not compared" if overlap is None or not overlap.reason else overlap.reason
        yield fault(
            GATE,
            f"whether {name} and the evaluation set share rows is not known: {reason}",
            fix="bring both evidence folders along, with their rows-….bin files",
        )
    elif overlap.shared:
        yield fault(
            GATE,
            f"{name} and the evaluation set share {overlap.shared:,} rows",
            why="the model was trained on what it is measured with",
            fix="take these rows out of one of the two, and seal it again",
        )


GATE = Gate(
    "overlap", "not trained on the test", "provenance", no_settings("overlap"), nothing_to_tighten, judge
)
