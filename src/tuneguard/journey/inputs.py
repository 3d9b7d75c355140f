"""What goes into a run: data, base, code, configuration, perhaps a checkpoint to resume from.

Each is snapshotted first and judged in the snapshot, so that what was verified is what is mounted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import files, limits
from tuneguard.artifact import digest as hashing
from tuneguard.artifact import snapshot
from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance
from tuneguard.errors import Refused
from tuneguard.journey import judged
from tuneguard.journey.sealed import verify_sealed
from tuneguard.journey.surroundings import short, shown, size
from tuneguard.scanner import engine
from tuneguard.scanner.rule import ruleset_digest
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.journey.surroundings import Surroundings

INSIDE = "/tuneguard"
"""Where a run finds its things inside the sandbox, whatever they are called outside."""


@dataclass(frozen=True)
class Input:
    """One verified or hashed input of a run: its snapshot, what names it, where it appears inside."""

    role: str
    path: Path
    inside: str
    manifest: Manifest
    how: str
    dependency: provenance.Dependency


def gather(folder: Path, resume: Path | None, here: Surroundings) -> tuple[tuple[Input, ...], dict[str, Any]]:
    """Snapshot and judge, in the new folder `folder`, all that goes into a run.

    Returns the inputs and the result of our own scan of the base, made in its snapshot.

    Raises:
        Refused: an input is not what the policy asks for, or the base has findings.
        NotUnderstood: the scanner does not understand all of the base.
    """
    pipeline = here.pipeline
    folder.mkdir(mode=0o700)
    data = _sealed(pipeline.resolve(pipeline.data.train.path), folder / "data", "dataset", here)
    base = _sealed(pipeline.resolve(pipeline.base.path), folder / "base", "base", here)
    scanned = _scan_base(base, pipeline.resolve(pipeline.base.path), here)
    code = _hashed(pipeline.resolve(pipeline.train.code.path), folder / "code", "code", here)
    config = _configuration(pipeline.train.config, folder / "config", here)
    inputs = [data, base, code, config]
    if resume is not None:
        inputs.append(_resumed(resume, folder / "resume", here))
    return tuple(inputs), scanned


def still_the_same(inputs: tuple[Input, ...], here: Surroundings) -> None:
    """Hash again what was too large to copy and was bound in place: it must not have changed.

    Raises:
        Refused: it did.
    """
    for item in inputs:
        if item.how == "bind" and hashing.hash_tree(item.path, reporter=here.reporter) != item.manifest:
            raise Refused(
                f"the {item.role} changed during the run",
                help="find out who can write there; nothing was signed",
            )


def _scan_base(base: Input, source: Path, here: Surroundings) -> dict[str, Any]:
    """The run scans the base itself, before anything opens it (TRUST.md rule 9)."""
    found = engine.scan_tree(base.path, base.manifest, reporter=here.reporter)
    judged.check_clean(found, "base", source)
    here.reporter.say("Scanned", f"base  {found.files:,} files, {size(found.bytes)}, no findings")
    return {"verdict": "passed", "findings": len(found.findings), "ruleset": ruleset_digest()}


def _sealed(source: Path, target: Path, kind: str, here: Surroundings) -> Input:
    taken = snapshot.take(source, target, reporter=here.reporter)
    pieces = evidence.read(here.evidence_of(source) if here.evidence_option else evidence.folder_of(source))
    expectation = Expectation(purpose="train", now=here.now, model=here.pipeline.name, sealed=kind)  # type: ignore[arg-type]
    sealed = verify_sealed(taken.path, taken.manifest, pieces, here.policy, expectation)
    if not sealed.verification.passed:
        findings = sealed.verification.findings
        raise Refused(
            f"the {kind} is not what the policy asks for",
            where=shown(source),
            help="restore the sealed files, or have the steward look at them and seal them again",
            findings=findings,
        )
    body = sealed.seal.body
    here.reporter.say(
        "Verified",
        f"{kind} {body.name}@{body.version}  "
        f"{len(taken.manifest.files):,} files, {size(taken.manifest.size)}  ({taken.how})",
        f"tree {short(sealed.manifest.digest)}  sealed by {sealed.seal.identity} ({sealed.seal.custodian})",
    )
    return Input(
        role=kind,
        path=taken.path,
        inside=f"{INSIDE}/{'data' if kind == 'dataset' else kind}",
        manifest=taken.manifest,
        how=taken.how,
        dependency=provenance.Dependency(
            role="data" if kind == "dataset" else kind,
            name=body.name,
            version=body.version,
            digest={"dirHash": sealed.manifest.digest},
        ),
    )


def _hashed(source: Path, target: Path, role: str, here: Surroundings) -> Input:
    taken = snapshot.take(source, target, reporter=here.reporter)
    allowed = here.policy.models[here.pipeline.name].code
    _check_listed(role, taken.manifest.digest, allowed, source)
    here.reporter.say(
        "Hashed", f"{role}  {len(taken.manifest.files):,} files", f"tree {short(taken.manifest.digest)}"
    )
    dependency = provenance.Dependency(
        role=role, name=source.name, version=None, digest={"dirHash": taken.manifest.digest}
    )
    return Input(role, taken.path, f"{INSIDE}/{role}", taken.manifest, taken.how, dependency)


def _configuration(path: str | None, folder: Path, here: Surroundings) -> Input:
    """The configuration is one file: its snapshot is a folder that holds just it.

    Where the pipeline names none, it is the empty file ``none``, so that this too is recorded.
    """
    source = here.pipeline.resolve(path or "none")
    data = b"" if path is None else files.read_bounded(source, limits.RECORD_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    folder.mkdir(mode=0o700)
    files.write_new(folder / source.name, data, mode=0o444)
    _check_listed("config", digest, here.policy.models[here.pipeline.name].config, source)
    dependency = provenance.Dependency(
        role="config", name=source.name, version=None, digest={"sha256": digest}
    )
    return Input("config", folder, f"{INSIDE}/config", hashing.hash_tree(folder), "copy", dependency)


def _check_listed(role: str, digest: str, allowed: tuple[str, ...] | None, source: Path) -> None:
    if allowed is not None and digest not in allowed:
        raise Refused(
            f"the policy does not list this {role} ({short(digest)})",
            where=shown(source),
            help="restore what the policy lists, or ask the policy's owner to list it",
        )


def _resumed(source: Path, target: Path, here: Surroundings) -> Input:
    """An earlier checkpoint: only one that the builder signed for the run it names, scanned clean."""
    taken = snapshot.take(source, target, reporter=here.reporter)
    pieces = evidence.read(evidence.folder_of(source))
    seen = verify(
        taken.manifest,
        pieces,
        here.policy,
        Expectation(purpose="resume", now=here.now, model=here.pipeline.name),
    )
    if not seen.passed:
        raise Refused(
            "the checkpoint to resume from is not what the builder signed",
            where=shown(source),
            help="resume from a signed checkpoint, unchanged",
            findings=seen.findings,
        )
    scanned = engine.scan_tree(taken.path, taken.manifest, reporter=here.reporter)
    judged.check_clean(scanned, "checkpoint to resume from", source)
    parent = seen.counting("provenance")[0].body.run
    here.reporter.say("Verified", f"resumes from run {parent}", f"tree {short(taken.manifest.digest)}")
    dependency = provenance.Dependency(
        role="parent", name=parent, version=None, digest={"dirHash": taken.manifest.digest}
    )
    return Input("resume", taken.path, f"{INSIDE}/resume", taken.manifest, taken.how, dependency)
