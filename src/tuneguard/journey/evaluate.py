"""Evaluate a checkpoint: is it good enough? Raw counts from the sandbox, signed; then the bound.

Only after a clean, signed scan of the same digest (principle 7), on the evaluation set and the
classifier that the policy names by digest, both snapshotted and judged first. Which weights are
measured is chosen here, by names, and the evidence lists them.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import paste
from tuneguard.artifact import snapshot, workdir
from tuneguard.artifact.tree import reported_together
from tuneguard.attest import evidence
from tuneguard.attest.predicates import evaluation as evaluations
from tuneguard.attest.predicates.scan import Scan
from tuneguard.display import rfc3339, short, shown
from tuneguard.errors import Refused, UsageError
from tuneguard.evaluation import model as measuring
from tuneguard.facts import EvaluateFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project import evidence_log
from tuneguard.project.project import Project
from tuneguard.project.sealed import verify_sealed
from tuneguard.promotion import gate_input as cases
from tuneguard.promotion import measured, unsigned, weights
from tuneguard.sandbox.find import find_backend
from tuneguard.scanner import engine as scanner
from tuneguard.trust.policy import described
from tuneguard.trust.verify import Expectation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.evaluation.weights import Selection
    from tuneguard.findings import Finding
    from tuneguard.trust.claims import Sealed
    from tuneguard.trust.policy import EvaluationRule, SealedBy


def evaluate(
    directory: str | Path,
    *,
    statement: str | Path | None = None,
    model: str | None = None,
    attempt: str | None = None,
    tree: str | None = None,
    eval_dataset: str | Path | None = None,
    min_accuracy: float | None = None,
    max_toxicity: float | None = None,
    project: Project | None = None,
) -> Result[EvaluateFacts]:
    """Measure `directory` and judge the bounds of the policy, tightened by pipeline and flags.

    With `statement`, the counts are left in that file as an unsigned in-toto statement and nothing is judged:
    no key is opened, and no ledger.

    Raises:
        UsageError: the policy names no evaluation for the model, or a flag is looser than it.
        Refused: no clean signed scan of this tree, or set or classifier are not the policy's.
    """
    project = project or Project()
    directory = Path(directory)
    eval_dataset = None if eval_dataset is None else Path(eval_dataset)
    name = evidence_log.expected(project, model)
    settings = cases.settings_for(project, name, cases.flags(min_accuracy, max_toxicity))
    rule = _rule(project, name)
    manifest = evidence_log.bound(directory, tree, project)
    selection = weights.selected(directory, manifest)
    weights.check_one_set(selection, directory)
    recorded = None if statement is not None else evidence_log.recorded(project, attempt)
    _demand_scan(directory, manifest, name, attempt, project, recorded)
    used, counts = _measure(directory, selection, rule, eval_dataset, name, project)
    body = evaluations.Evaluation.of(
        attempt=attempt,
        set_digest=used,
        classifier_digest=rule.classifier,
        suites=tuple(_suite(count) for count in counts),
        finished=rfc3339(datetime.now(UTC)),
        files=tuple(evaluations.Measured(file.path, file.sha256) for file in selection.measured),
    )
    said = evaluations.PREDICATE.statement(name, manifest.digest, body)
    if statement is not None:
        left = unsigned.leave(Path(statement), said)
        return Result(
            command="evaluate",
            verdict=Verdict.PASSED,
            subjects=(Subject(shown(directory), manifest.digest),),
            outputs=(shown(Path(statement)),),
            facts=EvaluateFacts(statement=left),
            notes=project.remarks,
        )
    written = measured.sign(said, directory, manifest.digest, project, model=name, attempt=attempt)
    return measured.judged(
        "evaluate", directory, manifest, written, project, model=name, attempt=attempt, settings=settings
    )


def _rule(project: Project, model: str) -> EvaluationRule:
    rule = project.policy.models[model].evaluation
    if rule is None:
        raise UsageError(
            f"the policy names no evaluation for {model}, and empty means no",
            where=project.policy.file,
            help=paste.command("policy", "set-model", model, "--evaluation", "DIR", "--classifier", "DIR"),
        )
    return rule


def _demand_scan(
    directory: Path,
    manifest: Manifest,
    model: str,
    attempt: str | None,
    project: Project,
    recorded: Mapping[str, tuple[str, ...]] | None,
) -> None:
    """Nothing is loaded before a scan of exactly these bytes was signed as clean."""
    seen = cases.verified(
        directory,
        manifest,
        project,
        model=model,
        run=None,
        attempt=attempt,
        recorded=recorded,
        deferred=frozenset({"evaluation"}),
    )
    clean = [claim for claim in seen.counting(Scan) if claim.body.verdict == Verdict.PASSED.value]
    if not clean:
        raise Refused(
            f"no clean scan of the tree {short(manifest.digest)} counts, so it is not loaded",
            where=shown(directory),
            help=paste.after("scan it first", "scan", directory, "--sign"),
        )


def _measure(
    directory: Path,
    selection: Selection,
    rule: EvaluationRule,
    dataset: Path | None,
    model: str,
    project: Project,
) -> tuple[str, tuple[measuring.SuiteCounts, ...]]:
    """The digest of the evaluation set, and the counts."""
    pipeline = project.pipeline
    if pipeline.evaluation is None:
        raise UsageError(
            "the pipeline names no classifier", help="set evaluation.classifier.path in tuneguard.yaml"
        )
    parent = project.state_directory()
    workdir.sweep(parent.glob("evaluate-*"))
    work = parent / f"evaluate-{secrets.token_hex(6)}"
    with workdir.working(work):
        source = dataset if dataset is not None else _set_of(project)
        rows, used = _judged_input(source, work / "set", "evaluation", rule.set, model, project)
        classifier, _ = _judged_input(
            pipeline.resolve(pipeline.evaluation.classifier.path),
            work / "classifier",
            "classifier",
            rule.classifier,
            model,
            project,
        )
        counts = measuring.evaluate(
            directory,
            rows,
            classifier,
            selection=selection,
            suites=rule.suites,
            backend=find_backend(),
            minimum_rows=rule.minimum_rows,
            parent=work,
            reporter=project.reporter,
        )
    return used, counts


def _set_of(project: Project) -> Path:
    named = project.pipeline.data.eval
    if named is None:
        raise UsageError(
            "the pipeline names no evaluation set", help="set data.eval.path, or give --eval-dataset"
        )
    return project.pipeline.resolve(named.path)


def _judged_input(
    source: Path, target: Path, kind: Sealed, rule: str | SealedBy, model: str, project: Project
) -> tuple[Path, str]:
    """A snapshot of the set or the classifier, and its digest: what the policy names, sealed and clean."""
    faults: list[Finding] = []
    with reported_together(faults, str(source)):
        taken = snapshot.take(source, target, reporter=project.reporter, faults=faults)
        pieces = evidence.read(evidence.folder_of(source))
        expectation = Expectation(purpose="train", now=project.now, model=model, sealed=kind)
        sealed = verify_sealed(taken.path, taken.manifest, pieces, project.policy, expectation, faults)
        if not sealed.verification.passed or (isinstance(rule, str) and sealed.manifest.digest != rule):
            raise Refused(
                f"the {kind} is not the one that the policy names "
                f"({short(rule) if isinstance(rule, str) else described(rule)})",
                where=shown(source),
                help="restore it, or have the policy's owner name the new one: tuneguard policy set-model",
                findings=sealed.verification.findings,
            )
    if kind == "classifier":
        found = scanner.scan_tree(taken.path, taken.manifest, reporter=project.reporter)
        evidence_log.check_clean(found, "classifier", source)
    return taken.path, sealed.manifest.digest


def _suite(count: measuring.SuiteCounts) -> evaluations.SuiteResult:
    return evaluations.SuiteResult(
        id=count.id,
        version=count.version,
        n=count.n,
        count=count.count,
        empty=count.empty,
        constant=count.constant,
        outputs_digest=count.outputs_digest,
    )
