"""Sign a scan that the step before made and left unsigned; the scanner's bytes are not read here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.attest.predicates import scan as scans
from tuneguard.display import shown
from tuneguard.facts import NoFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project import evidence_log
from tuneguard.promotion import unsigned

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.project.project import Project


def sign_scan(
    directory: Path, *, statement: Path, sha256: str, model: str, attempt: str, tree: str, project: Project
) -> Result[NoFacts]:
    """Sign the scan of the attempt's copy `directory` in the file `statement`; its verdict is the result's.

    Raises:
        NotUnderstood: the file holds no scan.
        Refused: it is another statement, or about another tree, model or attempt.
    """
    said, body = unsigned.take(statement, sha256, scans.PREDICATE, model=model, tree=tree, attempt=attempt)
    written = evidence_log.record(
        said,
        scans.KIND,
        project.signer(evidence_log.judge_role(project, "scanner")),
        project.evidence_of(directory),
        project,
        model=model,
        attempt=attempt,
        tree=tree,
        result=body.verdict,
    )
    return Result(
        command="sign-scan",
        verdict=Verdict(body.verdict),
        subjects=(Subject(shown(directory), tree),),
        outputs=(shown(written),),
        facts=NoFacts(),
        notes=project.remarks,
    )
