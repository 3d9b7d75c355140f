"""Sign an evaluation that the step before measured and left unsigned, and judge it by the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.attest.predicates import evaluation as evaluations
from tuneguard.project import evidence_log
from tuneguard.promotion import gate_input, measured, unsigned

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import EvaluateFacts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


def sign_evaluation(
    directory: Path,
    *,
    statement: Path,
    sha256: str,
    model: str,
    attempt: str,
    tree: str,
    min_accuracy: float | None = None,
    max_toxicity: float | None = None,
    project: Project,
) -> Result[EvaluateFacts]:
    """Sign the counts over the attempt's copy `directory` in the file `statement`, and judge them.

    Raises:
        NotUnderstood: the file holds no evaluation.
        Refused: it is another statement, or about another tree, model or attempt.
        UsageError: a flag is looser than the policy.
    """
    settings = gate_input.settings_for(project, model, gate_input.flags(min_accuracy, max_toxicity))
    manifest = evidence_log.copied(directory, tree, attempt, project)
    said, _ = unsigned.take(statement, sha256, evaluations.PREDICATE, model=model, tree=tree, attempt=attempt)
    written = measured.sign(said, directory, tree, project, model=model, attempt=attempt)
    return measured.judged(
        "sign-evaluation",
        directory,
        manifest,
        written,
        project,
        model=model,
        attempt=attempt,
        settings=settings,
    )
