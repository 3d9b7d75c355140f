"""An evaluation that was measured: it is signed, and then judged by the gate, over evidence that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneguard.attest.predicates import evaluation as evaluations
from tuneguard.display import shown
from tuneguard.facts import EvaluateFacts
from tuneguard.findings import Result, Subject
from tuneguard.gates import engine as gates
from tuneguard.project import evidence_log
from tuneguard.promotion import gate_input

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.statement import Statement
    from tuneguard.project.project import Project


def sign(
    statement: Statement, directory: Path, tree: str, project: Project, *, model: str, attempt: str | None
) -> Path:
    """Sign the counts as the evaluator, or the promoter where no evaluator has a key."""
    return evidence_log.record(
        statement,
        evaluations.KIND,
        project.signer(evidence_log.judge_role(project, "evaluator")),
        project.evidence_of(directory),
        project,
        model=model,
        attempt=attempt,
        tree=tree,
        result="measured",
    )


def judged(
    command: str,
    directory: Path,
    manifest: Manifest,
    written: Path,
    project: Project,
    *,
    model: str,
    attempt: str | None,
    settings: dict[str, Any],
) -> Result[EvaluateFacts]:
    """The result of `command`: the evaluation gate's answer to the counts that were signed in `written`."""
    recorded = evidence_log.recorded(project, attempt)
    seen = gate_input.verified(
        directory, manifest, project, model=model, run=None, attempt=attempt, recorded=recorded
    )
    case = gate_input.build(
        directory, manifest, seen, project, model=model, attempt=attempt, settings=settings
    )
    said = gates.gates()["evaluation"].judge(case, settings["evaluation"])
    project.reporter.emit("Evaluated", str(said.facts))
    return Result(
        command=command,
        verdict=said.verdict,
        subjects=(Subject(shown(directory), manifest.digest),),
        findings=said.findings,
        outputs=(shown(written),),
        facts=EvaluateFacts(gate=said.facts),
        notes=project.remarks,
    )
