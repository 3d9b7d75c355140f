"""Push a judged tree: every blob under the digest that was verified, the tag last.

Order (TRUST.md rule 25): blobs, manifest by digest, evidence, ledger ``done``, release pointer, tag,
ledger ``tagged``. To set a tag is the promoter's word, so their key signs the pointer; without a tag no key
is needed. A rerun reconciles from what the registry holds: what is there is not sent again.
"""

from __future__ import annotations

import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tuneguard import files, paste
from tuneguard.artifact.tree import forbidden, open_file, reported_together
from tuneguard.attest import evidence
from tuneguard.display import short, shown
from tuneguard.errors import Refused
from tuneguard.facts import PushFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import Event
from tuneguard.oci.client import attach
from tuneguard.oci.descriptor import digest_of
from tuneguard.oci.manifest import build, referrer
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.oci.transfer import all_of
from tuneguard.project import evidence_log
from tuneguard.project.evidence_log import reference
from tuneguard.project.project import Project
from tuneguard.promotion import releases
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.findings import Finding
    from tuneguard.oci.client import Registry
    from tuneguard.oci.manifest import Layer, ModelManifest
    from tuneguard.oci.reference import Reference


def push(
    directory: str | Path,
    *,
    to: str,
    model: str | None = None,
    run: str | None = None,
    attempt: str | None = None,
    tree: str | None = None,
    mount_from: str | None = None,
    project: Project | None = None,
) -> Result[PushFacts]:
    """Push `directory`, which bears a passed verdict that counts, to the reference `to`.

    Blobs of the repository `mount_from` on the same registry are not sent again.

    Raises:
        Refused: no passed verdict for this tree, model, repository; the reference is another
            repository than the model's; bytes changed since they were hashed.
        UsageError: there is a tag, and no key of the promoter's.
        CannotLook: the registry cannot be read or written.
    """
    project = project or Project()
    directory = Path(directory)
    name = project.expected_model(to, model)
    target = parse(to)
    source = None if mount_from is None else parse(mount_from)
    registry = open_registry(target, options=project.registries, mount_from=source)
    repository = project.check_repository(target, name)
    tag = None if target.tag is None else releases.tag_of(project, name, target)
    signer = None if tag is None else releases.signer_of(tag, project)
    faults: list[Finding] = []
    with reported_together(faults, str(directory)):
        manifest = evidence_log.copied(directory, tree, attempt, project, faults)
        pieces = evidence.read(project.evidence_of(directory))
        built = build(manifest)
        seen = verify(
            manifest,
            pieces,
            project.policy,
            Expectation(
                purpose="load",
                now=project.now,
                model=name,
                run=run,
                manifest_digest=built.digest,
                repository=repository,
            ),
        )
    if faults:
        raise forbidden(faults, str(directory), seen.findings)
    if not seen.passed:
        raise Refused(
            f"no passed verdict counts for the tree {short(manifest.digest)}",
            where=shown(directory),
            help="promote it: tuneguard promote",
            findings=seen.findings,
        )
    note = partial(_note, project, run=run, attempt=attempt, model=name, tree=manifest.digest)
    note(Event.BEGUN, manifest=built.digest)
    sent = _send(directory, manifest, built, registry, project)
    attached = _attach(evidence_log.behind_verdict(pieces, seen), built, registry)
    note(Event.DONE, manifest=built.digest)
    release = None
    if tag is not None and signer is not None:
        release = releases.issue(tag, built, registry, signer, project)
        _tag(target, tag.name, built, registry)
        note(Event.TAGGED, manifest=built.digest, tag=tag.name, release=releases.as_detail(release))
    project.reporter.emit(
        "Pushed",
        f"{name}@sha256:{short(built.digest)}  "
        f"{sent} of {len(built.layers) + 1} blobs new, {attached} pieces of evidence",
        *(
            ()
            if release is None
            else (f"release {release.sequence} of {release.tag}, to {release.not_after}",)
        ),
    )
    return Result(
        command="push",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        evidence=tuple(reference(claim) for claim in seen.claims),
        outputs=(to, built.digest),
        facts=PushFacts(
            manifest=built.digest,
            tree=manifest.digest,
            tag=target.tag,
            blobs=sent,
            release=None if release is None else release.sequence,
            not_after=None if release is None else release.not_after,
        ),
        notes=project.remarks,
        next=paste.command("pull", to, "DIR", "--model", name),
    )


def _note(
    project: Project,
    event: Event,
    *,
    run: str | None,
    attempt: str | None,
    model: str,
    tree: str,
    **detail: Any,
) -> None:
    """An entry of the ledger about this push, where there is a ledger."""
    if project.ledger is not None:
        project.ledger.append(
            event=event, command="push", run=run, attempt=attempt, model=model, tree=tree, detail=detail
        )


def _send(
    directory: Path, manifest: Manifest, built: ModelManifest, registry: Registry, project: Project
) -> int:
    """Blobs, then the manifest that names them; how many blobs were new.

    Each file is opened below the directory without following links, and the registry hashes what it
    is given: bytes that changed since they were judged are refused there, and nothing is stored.
    """
    with (
        files.directory(directory) as root,
        project.reporter.task("Pushing", total=manifest.size, unit="bytes") as task,
    ):

        def put(layer: Layer) -> bool:
            new = registry.put_blob(layer.digest, layer.size, partial(_open, root, layer.path))
            task.advance(layer.size)
            return new

        jobs = [(layer.size, partial(put, layer)) for layer in built.layers]
        sent = sum(all_of(jobs, registry))
    assert built.config is not None
    sent += registry.put_blob(digest_of(built.config), len(built.config), partial(io.BytesIO, built.config))
    registry.put_manifest(built.data)
    return sent


def _open(root: int, path: str) -> BinaryIO:
    return os.fdopen(open_file(root, path), "rb")


def _attach(believed: Sequence[Piece], built: ModelManifest, registry: Registry) -> int:
    """The verdict and what it was made on, as referrers of the manifest; other evidence stays here."""
    for piece in believed:
        attach(registry, referrer(built.descriptor, piece.data, name=piece.name))
    return len(believed)


def _tag(target: Reference, tag: str, built: ModelManifest, registry: Registry) -> None:
    """Read, write, read again: a lost race is reported, never overlooked (TRUST.md rule 23)."""
    registry.tag(tag, built.digest)
    found = registry.resolve(tag)
    if found != built.digest:
        raise Refused(
            f"the tag {tag} names {short(found or 'nothing')} just after it was set to {short(built.digest)}",
            where=str(target),
            help="somebody else set it at the same time: agree on tags, then push again",
        )
