"""Cases for the gates: a verified checkpoint of the company, with one thing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneguard.attest.predicates.seal import Seal
from tuneguard.evaluation.weights import Selection, select
from tuneguard.findings import Verdict
from tuneguard.gates import engine
from tuneguard.gates.engine import Case, Overlap
from tuneguard.trust.verify import verify
from world.company import (
    ATTEMPT,
    CHECKPOINT,
    CHECKPOINT_FILES,
    DATA,
    EVALUATION_SET,
    MODEL,
    NOW,
    evidence,
    expecting,
    policy,
    seal,
    tree,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.gates.engine import GateResult
    from tuneguard.trust.claims import Claim
    from tuneguard.trust.policy import Policy

DISJOINT = (Overlap(DATA.digest, EVALUATION_SET.digest, 0),)


def seals(*pieces: Piece, data: Manifest = DATA, under: Policy | None = None) -> tuple[Claim, ...]:
    """The seals that count over a data set."""
    expected = expecting(purpose="train", run=None, attempt=None)
    return verify(data, pieces, under or policy(), expected).counting(Seal)


def case(*changed: Piece, under: Policy | None = None, **facts: Any) -> Case:
    """The case of a promotion of CHECKPOINT, each changed piece in the place of its kind."""
    decided = under or policy()
    kinds = {piece.kind for piece in changed}
    pieces = [*changed, *(piece for piece in evidence() if piece.kind not in kinds)]
    expected = facts.pop("expectation", None) or expecting()
    given: dict[str, Any] = {
        "policy": decided,
        "model": decided.models[MODEL],
        "verification": verify(CHECKPOINT, pieces, decided, expected),
        "settings": engine.settings(decided, decided.models[MODEL]),
        "now": NOW,
        "files": len(CHECKPOINT.files),
        "bytes": CHECKPOINT.size,
        "weights": weights_of(CHECKPOINT_FILES),
        "attempt": ATTEMPT,
        "seals": seals(seal(), under=decided),
        "overlaps": DISJOINT,
    }
    return Case(**given | facts)


def weights_of(files: dict[str, str]) -> Selection:
    """What an evaluation measures of a tree with these paths and contents."""
    return select(tree(files), lambda path, most: files[path].encode()[:most])


def judged(gate: str, judging: Case) -> GateResult:
    """What one gate says."""
    return engine.gates()[gate].judge(judging, judging.settings[gate])


def passes(results: Sequence[GateResult]) -> bool:
    """Whether every gate passes."""
    return all(result.verdict is Verdict.PASSED for result in results)
