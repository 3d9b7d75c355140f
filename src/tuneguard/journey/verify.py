"""Verify: who vouches for a tree, and does the policy believe them? Every fault, not the first."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, paste
from tuneguard.artifact import digest as hashing
from tuneguard.artifact.tree import reported_together
from tuneguard.attest import evidence
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.display import counted, local_time, short, shown, signer_named, size
from tuneguard.errors import UsageError
from tuneguard.facts import Uncounted, VerifyDataFacts, VerifyFacts, VerifyForeignFacts
from tuneguard.findings import Finding, Result, Subject, Verdict, judge
from tuneguard.oci import manifest as oci
from tuneguard.project import evidence_log, foreign_signature
from tuneguard.project.evidence_log import reference
from tuneguard.project.expected_signer import Signer
from tuneguard.project.project import Project
from tuneguard.project.sealed import readable_by_others, verify_sealed
from tuneguard.promotion.gate_input import LATER
from tuneguard.sandbox.state import ControlState
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.trust.claims import Claim, Purpose, Verification
    from tuneguard.typed import JsonStruct

PURPOSES = ("train", "promote", "load")
"""What a person verifies a tree for; steps of ours verify for others too."""


def verify_tree(
    directory: str | Path,
    *,
    purpose: Purpose | None = None,
    model: str | None = None,
    run: str | None = None,
    attempt: str | None = None,
    tree: str | None = None,
    project: Project | None = None,
) -> Result[VerifyFacts]:
    """Verify `directory` for ``train``, ``promote`` or ``load`` as the expected `model` (and `run`).

    For ``promote``, signature and provenance are demanded; scan and evaluation come later. Without
    an expected model, run or attempt the answer is "integrity only", which does not pass; a run or an
    attempt alone is one of the project's own model.

    Raises:
        UsageError: `purpose` is another one, there is no policy, or the policy has no such model.
        Refused: the tree is another one than `tree`.
    """
    directory = Path(directory)
    project = project or Project()
    if purpose is not None and purpose not in PURPOSES:
        raise UsageError(
            f"{files.printable(purpose)} is not a purpose of verify", help="one of " + ", ".join(PURPOSES)
        )
    if purpose == "load":
        project = project.for_loading()
    if model is not None or purpose is not None or run is not None or attempt is not None:
        model = _expected(project, model)
    wanted: Purpose = purpose or ("promote" if model is not None else "integrity")
    faults: list[Finding] = []
    with reported_together(faults, str(directory)):
        manifest = evidence_log.copied(directory, tree, attempt, project, faults)
        pieces = evidence.read(project.evidence_of(directory))
        expectation = Expectation(
            purpose=wanted,
            now=project.now,
            model=model,
            run=run,
            attempt=attempt,
            manifest_digest=oci.build(manifest).digest if wanted == "load" else None,
            repository=project.policy.models[model].repository if model is not None else None,
            deferred=LATER if wanted == "promote" else frozenset(),
        )
        if wanted == "train":
            sealed = verify_sealed(directory, manifest, pieces, project.policy, expectation, faults)
            seen = sealed.verification
        else:
            seen = verify(manifest, pieces, project.policy, expectation, faults)
    tell(manifest, seen, project)
    digest = None if faults else manifest.digest  # what holds a fault has none
    notes = [*project.remarks, *seen.notes]
    if seen.integrity_only and not seen.findings:
        notes.append("integrity only: who made it, in which run, as which model, was not asked (--model)")
    return Result(
        command="verify",
        verdict=seen.verdict,
        subjects=(Subject(shown(directory), digest),),
        findings=seen.findings,
        evidence=tuple(reference(claim) for claim in seen.claims),
        facts=VerifyFacts(tree=digest, purpose=wanted, model=model, uncounted=uncounted(seen)),
        notes=tuple(notes),
        next=paste.command("verify", directory, "--model", _a_model(project))
        if wanted == "integrity"
        else None,
    )


def _expected(project: Project, model: str | None) -> str:
    """The model that the caller expects; else the policy's only one, never one that the pipeline file picks.

    Raises:
        UsageError: the policy has no such model, or none is named.
    """
    if model is None and len(project.policy.models) > 1:
        raise UsageError(
            "the expected model is not named, and the policy has several", help="name it: --model NAME"
        )
    return evidence_log.expected(project, model)


def _a_model(project: Project) -> str:
    return project.pipeline.name if project.in_project else "NAME"


def uncounted(seen: Verification) -> Uncounted:
    """Evidence that does not count and does not matter: anybody can write some. File and reason."""
    return tuple((skipped.path, skipped.reason) for skipped in seen.skipped)


def tell(manifest: Manifest, seen: Verification, project: Project) -> None:
    """Report by whom and when: the line that a person looks for."""
    if seen.findings:
        return
    signed = [claim for claim in seen.claims if claim.kind in ("signature", "seal", "verdict")]
    first = signed[0] if signed else None
    made = seen.counting(Provenance)[:1]
    by = "" if first is None else f"  {_by(first)}" + (_when(made[0]) if made and first.time is None else "")
    details = [_made(claim) for claim in made]
    by = by or f"  {counted(len(manifest.files), 'file')}, {size(manifest.size)}"
    project.reporter.emit("Verified", f"tree {short(manifest.digest)}{by}", *details)


def _by(claim: Claim[JsonStruct]) -> str:
    """``sealed by alice (data-team), 2026-11-23 10:42 +01:00 claimed``."""
    return f"{_verb(claim)} by {signer_named(claim.identity, claim.custodian)}{_when(claim)}"


def _verb(claim: Claim[JsonStruct]) -> str:
    return {"signature": "signed", "seal": "sealed", "verdict": "judged"}[claim.kind]


def _when(claim: Claim[JsonStruct]) -> str:
    return "" if claim.time is None else f", {local_time(claim.time)} claimed"


def _made(claim: Claim[Provenance]) -> str:
    body = claim.body
    data = ", ".join(f"{item.name}@{item.version}" for item in body.data)
    proven = sum(1 for control in body.observed.controls if control.state is ControlState.PROVEN)
    base = f"{body.base.name}@{body.base.version}"
    controls = f"isolation controls {proven}/{len(body.observed.controls)} proven"
    return f"provenance: run {body.run}, data {data}, base {base}, {controls}"


def verify_foreign(
    directory: str | Path,
    *,
    signature: str | Path,
    public_key: str | Path | None = None,
    certificate_root: str | Path | None = None,
    trusted_root: str | Path | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    manifest: str | Path | None = None,
    allow_ignored: Sequence[str] = (),
    project: Project | None = None,
) -> Result[VerifyForeignFacts]:
    """Verify a foreign signature by one signer: integrity only, which never passes (exit 4).

    OMS, or cosign's manifest form: a ``manifest.json`` (in the folder, or named by `manifest`) with a
    signature over it.

    Who signed is named by one of three methods (OMS v1.0, section 4.1): ``public_key``; or
    ``certificate_root``,
    a PEM file of authorities, of whose certificates ``identity`` may name one; or ``trusted_root``,
    Sigstore's, with ``identity`` and ``issuer``. Beside ``certificate_root``, ``trusted_root`` has the
    authorities whose timestamps prove when a certificate signed.

    Raises:
        UsageError: no method is named, or parts of two, or a file named is no key, certificate or root.
        NotUnderstood: the signature is not a bundle of a form that we read.
    """
    directory = Path(directory)
    signature = Path(signature)
    project = project or Project()
    signer = Signer.named(public_key, certificate_root, trusted_root, identity, issuer)
    if not os.path.lexists(signature):
        raise files.missing(signature, "no such file")
    signed_by = signer.judge(project.now)
    faults: list[Finding] = []
    with reported_together(faults, str(directory)):
        tree = hashing.hash_tree(directory, reporter=project.reporter, faults=faults)
        found, _ = foreign_signature.compare(
            directory,
            tree,
            signature,
            signed_by,
            reporter=project.reporter,
            manifest=manifest,
            allow_ignored=allow_ignored,
        )
    found = (*faults, *found)
    refused = judge(found, ()) is Verdict.REFUSED
    if not refused:
        project.reporter.emit("Intact", f"tree {short(tree.digest)}  every file is as {signer} signed it")
    return Result(
        command="verify",
        verdict=Verdict.REFUSED if refused else Verdict.INTEGRITY_ONLY,
        subjects=(Subject(shown(directory), None if faults else tree.digest),),
        findings=found,
        facts=VerifyForeignFacts(purpose="integrity"),
        notes=() if refused else ("integrity only: the signature names no run, no role and no model",),
    )


@dataclass(frozen=True, slots=True)
class Pinned:
    """``NAME@VERSION`` as the caller pins a data set."""

    name: str
    version: str | None

    @classmethod
    def parse(cls, text: str | None) -> Pinned | None:
        """None stays None; a name alone pins no version."""
        if text is None:
            return None
        name, _, version = text.partition("@")
        return cls(name, version or None)


def verify_data(
    *,
    manifest: str | Path,
    checksums: str | Path,
    model: str | None = None,
    data: str | None = None,
    project: Project | None = None,
) -> Result[VerifyDataFacts]:
    """What the init container runs: the data set around `manifest`, before a byte is trained on.

    The tree is the manifest's folder. The policy and its root come from outside the data. Needs no
    project, writes nothing.

    Raises:
        UsageError: the two files are not the seal inside one folder, or no policy is found.
    """
    manifest = Path(manifest)
    checksums = Path(checksums)
    project = project or Project()
    folder = manifest.parent
    if checksums.parent.resolve() != folder.resolve() or (manifest.name, checksums.name) != (
        "manifest.json",
        "checksums.sha256",
    ):
        raise UsageError(
            "the manifest and the checksums are not one seal inside a folder",
            help="name manifest.json and checksums.sha256 of the same data folder",
        )
    name = model if model is not None else _only_model(project)
    pinned = Pinned.parse(data)
    faults: list[Finding] = []
    expectation = Expectation(
        purpose="train",
        now=project.now,
        model=evidence_log.expected(project, name),
        sealed="dataset",
        data_name=pinned.name if pinned else None,
        data_version=pinned.version if pinned else None,
    )
    with reported_together(faults, str(folder)):
        whole = hashing.hash_tree(folder, reporter=project.reporter, faults=faults)
        sealed = verify_sealed(folder, whole, (), project.policy, expectation, faults)
    seen = sealed.verification
    findings = (*seen.findings, *readable_by_others(folder))
    passed = seen.passed
    digest = None if faults else sealed.manifest.digest
    notes = list(project.remarks)
    if passed:
        body = sealed.seal.body
        pin = "" if pinned and pinned.version else " (unpinned)"
        project.reporter.emit(
            "Verified",
            f"data {body.name}@{body.version}{pin}  "
            f"{counted(len(sealed.manifest.files), 'file')}, {size(sealed.manifest.size)}",
            f"tree {short(sealed.manifest.digest)}  {_by(sealed.seal)}",
        )
    return Result(
        command="verify-data",
        verdict=Verdict.PASSED if passed else Verdict.REFUSED,
        subjects=(Subject(shown(folder), digest),),
        findings=findings,
        evidence=tuple(reference(claim) for claim in seen.claims),
        facts=VerifyDataFacts(
            pinned=pinned is not None and pinned.version is not None,
            tree=digest,
            uncounted=uncounted(seen),
        ),
        notes=tuple(notes),
    )


def _only_model(project: Project) -> str | None:
    names = list(project.policy.models)
    return names[0] if len(names) == 1 else None
