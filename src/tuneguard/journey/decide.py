"""Decide: verification, every gate, one signed verdict.

A passed verdict is about the tree and of the OCI manifest that the tree makes; a refused one of the
tree alone, so that no tool that checks only a signature can take it for a pass (TRUST.md rules 21,
22). The verdict names the ledger's size and root at this moment.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import __version__
from tuneguard.artifact.tree import forbidden, reported_together
from tuneguard.attest.predicates import seal as seals
from tuneguard.attest.predicates import verdict as verdicts
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.statement import TreeSet
from tuneguard.display import rfc3339, shown
from tuneguard.facts import DecideFacts, Decision, PolicyUsed, SealUsed
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.gates import engine as gates
from tuneguard.gates.provenance import tree_of
from tuneguard.oci import manifest as oci
from tuneguard.project import evidence_log
from tuneguard.project.project import Project
from tuneguard.promotion import gate_input as cases
from tuneguard.promotion.lineage import lineage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.relied import Relied
    from tuneguard.findings import Finding
    from tuneguard.gates.engine import GateResult
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer
    from tuneguard.trust.claims import Part, Verification

BY_HAND = "by-hand"
"""The attempt that a verdict names when its steps were run one by one, outside a promotion."""
STEPS = ("verify", "scan", "evaluate")
"""The judging steps, in order: where a plan stopped, the later ones were not reached."""


def decide(
    directory: str | Path,
    *,
    to: str,
    run: str,
    model: str | None = None,
    attempt: str | None = None,
    tree: str | None = None,
    stopped_at: str | None = None,
    min_accuracy: float | None = None,
    max_toxicity: float | None = None,
    project: Project | None = None,
) -> Result[DecideFacts]:
    """Judge all evidence about `directory` and sign the verdict as the promoter.

    `stopped_at` names the step at which the promotion stopped: the verdict is then refused, and
    evidence of the steps that were not reached is not counted as a reason.

    Raises:
        Refused: the tree is another one than `tree`.
        ForbiddenTree: it holds what a tree cannot. Nothing is signed, and all that is wrong is reported.
        UsageError: a flag is looser than the policy, or there is no key.
    """
    directory, project = Path(directory), project or Project()
    name = project.expected_model(to, model)
    settings = cases.settings_for(project, name, cases.flags(min_accuracy, max_toxicity))
    unreached = _unreached(stopped_at)
    faults: list[Finding] = []
    with reported_together(faults, str(directory)):
        manifest = evidence_log.copied(directory, tree, attempt, project, faults)
        seen = cases.verified(
            directory,
            manifest,
            project,
            model=name,
            run=run,
            attempt=attempt,
            recorded=evidence_log.recorded(project, attempt),
            deferred=unreached,
        )
    if faults:
        raise forbidden(faults, str(directory), seen.findings)
    case = cases.build(directory, manifest, seen, project, model=name, attempt=attempt, settings=settings)
    said = tuple(
        result
        for result in gates.judge_all(case)
        if result.judged or not _waits(result, unreached, stopped_at)
    )
    findings = _distinct([*seen.findings, *(finding for result in said for finding in result.findings)])
    passed = stopped_at is None and seen.passed and all(result.verdict is Verdict.PASSED for result in said)
    signer = project.signer("promoter")
    written = _write(
        directory,
        manifest,
        seen,
        findings,
        signer,
        project,
        name=name,
        run=run,
        attempt=attempt,
        passed=passed,
    )
    part = _part(seen)
    number = evidence_log.attempts_of(project, manifest.digest if part is None else part.whole)
    if passed:
        project.reporter.emit(
            "Decided",
            "passed: " + ", ".join(sorted({c.kind for c in seen.claims})),
            f"attempt {number} of this tree",
        )
    return Result(
        command="decide",
        verdict=Verdict.PASSED if passed else Verdict.REFUSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        findings=tuple(findings),
        evidence=tuple(evidence_log.reference(claim) for claim in seen.claims),
        outputs=(shown(written),),
        facts=_facts(
            directory,
            manifest,
            seen,
            said,
            case,
            project,
            unreached,
            written,
            signer.public_key,
            run=run,
            number=number,
            passed=passed,
        ),
        notes=(*project.remarks, *seen.notes),
    )


def _unreached(stopped_at: str | None) -> frozenset[str]:
    """The kinds of evidence that no step made, because the plan stopped before it."""
    kinds = {"scan": "scan", "evaluate": "evaluation"}
    if stopped_at not in STEPS:
        return frozenset()
    later = STEPS[STEPS.index(stopped_at) + 1 :]
    return frozenset(kinds[step] for step in later)


def _waits(result: GateResult, unreached: frozenset[str], stopped_at: str | None) -> bool:
    return result.id in unreached or (stopped_at == "verify" and result.id != "provenance")


def _distinct(findings: Sequence[Finding]) -> list[Finding]:
    return list(dict.fromkeys(findings))


def _reason(finding: Finding) -> str:
    place = "" if finding.location is None else f"{finding.location.path}: "
    return f"{finding.rule}: {place}{finding.message}"


def _write(
    directory: Path,
    manifest: Manifest,
    seen: Verification,
    findings: Sequence[Finding],
    signer: Signer,
    project: Project,
    *,
    name: str,
    run: str,
    attempt: str | None,
    passed: bool,
) -> Path:
    head = None if project.ledger is None else project.ledger.head()
    policy = project.policy
    part = _part(seen)
    inputs = [(claim.file, claim.sha256) for claim in seen.claims]
    if part is not None:
        inputs.append((part.file, part.sha256))
    body = verdicts.Verdict.of(
        result="PASSED" if passed else "FAILED",
        model=name,
        run=run,
        attempt=attempt or BY_HAND,
        resource_uri=policy.models[name].repository,
        policy=verdicts.PolicyRef(policy.name, policy.version, policy.sha256, policy.profile),
        log=None if head is None else verdicts.Log(head.size, head.root),
        part=None if part is None else verdicts.Part(part.path, TreeSet(part.whole)),
        reasons=tuple(map(_reason, findings))[:1000],
        inputs=tuple(dict.fromkeys(inputs)),
        relied_on=_relied_on(seen, name, project) if passed else (),
        time=rfc3339(project.now),
        verifier=f"https://tuneguard.dev/verifier/{__version__}",
    )
    bound_for = oci.build(manifest).digest.removeprefix("sha256:") if passed else None
    return evidence_log.record(
        verdicts.statement(name, manifest.digest, body, bound_for),
        verdicts.KIND,
        signer,
        project.evidence_of(directory),
        project,
        model=name,
        attempt=attempt,
        tree=manifest.digest,
        result="passed" if passed else "refused",
        run=run,
    )


def _part(seen: Verification) -> Part | None:
    """The part of a run that the tree is, where no provenance that counts is about the tree itself."""
    made = {claim.subject for claim in seen.counting(Provenance)}
    if seen.digest in made:
        return None
    return next((part for tree, part in sorted(seen.parts.items()) if tree in made), None)


def _relied_on(seen: Verification, model: str, project: Project) -> tuple[Relied, ...]:
    """All whose evidence counts for the decision: about the tree, and the seals of what made and measured it.

    The provenance gate demands the seals of the data. Base, evaluation set and classifier stand in the policy
    by digest: their seals are named where they are found. Who sealed the base for the run is named too,
    unless somebody's seal over it counts now.
    """
    counted = [claim for met in seen.satisfied for claim in met.claims]
    earlier: list[Relied] = []
    for claim in seen.counting(Provenance):
        for each in claim.body.data:
            counted += cases.sealers(tree_of(each), "dataset", model, project)
        sealed = cases.sealers(tree_of(claim.body.base), "base", model, project)
        counted += sealed
        earlier += [each for each in claim.body.relied_on if each.kind != seals.KIND or not sealed]
    rule = project.policy.models[model].evaluation
    if rule is not None:
        for tree in gates.measured_with(project.policy.models[model], seen):
            counted += cases.sealers(tree, "evaluation", model, project)
        counted += cases.sealers(rule.classifier, "classifier", model, project)
    return (*evidence_log.relied_on(counted, project.policy), *earlier)


def _facts(
    directory: Path,
    manifest: Manifest,
    seen: Verification,
    said: Sequence[GateResult],
    case: gates.Case,
    project: Project,
    unreached: frozenset[str],
    written: Path,
    promoter: PublicKey,
    *,
    run: str,
    number: int,
    passed: bool,
) -> DecideFacts:
    """What the report shows: the lineage, the gates with their numbers, the isolation controls."""
    provenance = next((claim.body for claim in seen.counting(Provenance)), None)
    policy = project.policy
    return DecideFacts(
        run=run,
        evidence=shown(project.evidence_of(directory)),
        decided=Decision(
            file=written.name,
            result="PASSED" if passed else "FAILED",
            time=rfc3339(project.now),
            by=_who(promoter, project),
        ),
        tree=manifest.digest,
        manifest=oci.build(manifest).digest,
        files=len(manifest.files),
        bytes=manifest.size,
        attempt=case.attempt,
        attempts=number,
        gates=tuple(result.facts for result in said),
        unreached=tuple(sorted(unreached)),
        policy=PolicyUsed(
            name=policy.name,
            version=policy.version,
            sha256=policy.sha256,
            profile=policy.profile,
            file=policy.file,
        ),
        repository=case.model.repository,
        uncounted=tuple((skipped.path, skipped.reason) for skipped in seen.skipped),
        lineage=None if provenance is None else lineage(provenance, case.model),
        controls=() if provenance is None else provenance.observed.controls,
        seals=tuple(
            SealUsed(
                name=seal.body.name,
                version=seal.body.version,
                by=seal.identity,
                custodian=seal.custodian,
                tree=seal.subject,
            )
            for seal in case.seals
        ),
        keys=_keys(seen, promoter, project),
    )


def _who(key: PublicKey, project: Project) -> str | None:
    """Whose key it is, as the policy states; None where it names no such key."""
    known = (each for each in project.policy.identities.values() if each.key == key)
    return next((f"{each.name} ({each.custodian})" for each in known), None)


def _keys(seen: Verification, promoter: PublicKey, project: Project) -> dict[str, str]:
    """The keys of all who signed what the verdict rests on, in base64, for a reader who checks by hand."""
    names = {claim.identity for claim in seen.claims}
    signers = [
        each for name, each in project.policy.identities.items() if name in names or each.key == promoter
    ]
    return {f"{each.name} ({each.custodian})": each.key.base64 for each in signers}
