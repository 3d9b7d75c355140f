"""Verify a promoted model that another run begins from: its verdict, and the provenance behind that verdict.

No tag and no pointer is followed: what counts is that the promoter's verdict is about exactly this tree. The
provenance must be one that the verdict names, of the run that it names. Both name everybody on whom that run
relied, those who made and promoted its own base too: one stolen key ends every generation that rests on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.project import evidence_log
from tuneguard.trust.claims import Expectation
from tuneguard.trust.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.attest.relied import Relied
    from tuneguard.findings import Finding
    from tuneguard.project.project import Project
    from tuneguard.trust.claims import Verification


def verify_promoted(
    tree: Manifest | str,
    pieces: Sequence[Piece],
    model: str,
    project: Project,
    faults: Sequence[Finding] = (),
) -> Verification:
    """Whether the tree is a promoted `model`, by the verdict that counts and the evidence that it names."""
    wanted = Expectation(purpose="base", now=project.now, model=model)
    seen = verify(tree, pieces, project.policy, wanted, faults)
    if not seen.passed:
        return seen
    run = evidence_log.verdict_of(seen).body.run
    wanted = Expectation(purpose="base", now=project.now, model=model, run=run)
    return verify(tree, evidence_log.behind_verdict(pieces, seen), project.policy, wanted, faults)


def relied_on(seen: Verification, project: Project) -> tuple[Relied, ...]:
    """All who vouched for a promoted model, and all on whom they relied."""
    earlier = [each for claim in seen.counting(Provenance) for each in claim.body.relied_on]
    verdict = evidence_log.verdict_of(seen).body
    return (*evidence_log.relied_on(seen.claims, project.policy), *verdict.relied_on, *earlier)
