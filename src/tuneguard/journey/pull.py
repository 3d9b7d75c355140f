"""Pull a model: believe the manifest, its verdict and every byte only once they are verified.

resolve → manifest → evidence → verify → release of the tag → fetch every file beside the target →
keep the evidence → rename. What is verified first is what the manifest states; every byte is then checked
against it while it arrives, and the folder must hold exactly what was written before it gets its name.
The name comes last: where it is, everything is. A refusal leaves nothing behind, and what a kill leaves
is removed by the next pull.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneguard import paste
from tuneguard.attest import evidence
from tuneguard.display import counted, short, shown, signer_named, size
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.facts import PullFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import Event
from tuneguard.oci.manifest import read
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.project import evidence_log
from tuneguard.project.evidence_log import reference as evidence_reference
from tuneguard.project.project import Project
from tuneguard.promotion import releases
from tuneguard.promotion.fetch import fetch, refuse_taken
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.attest.evidence import Piece
    from tuneguard.oci.client import Registry
    from tuneguard.oci.manifest import ModelManifest
    from tuneguard.oci.reference import Reference


def pull(
    reference: str,
    directory: str | Path,
    *,
    model: str | None = None,
    run: str | None = None,
    project: Project | None = None,
) -> Result[PullFacts]:
    """Fetch what `reference` names into the new folder `directory`, its evidence beside it.

    Raises:
        UsageError: the folder is there already, or the model is not clear.
        Refused: no passed verdict counts, no release that counts makes the tag name it, or bytes
            are not what the manifest states.
        CannotLook: the registry cannot be reached.
    """
    directory = Path(directory)
    project = (project or Project()).for_loading()
    name = project.expected_model(reference, model)
    source = parse(reference)
    target = Path(os.path.abspath(directory))
    refuse_taken(target)
    registry = open_registry(source, options=project.registries)
    manifest = _manifest(source, registry)
    pieces = releases.attached(registry, manifest)
    seen = verify(
        manifest.tree,
        pieces,
        project.policy,
        Expectation(
            purpose="load",
            now=project.now,
            model=name,
            run=run,
            manifest_digest=manifest.digest,
            repository=project.policy.models[name].repository,
        ),
    )
    if not seen.passed:
        raise Refused(
            f"{short(manifest.digest)} is not what the policy lets through as {name}",
            where=reference,
            help="pull a digest that was promoted, or promote this model",
            findings=seen.findings,
        )
    release, said = None, seen.notes
    if source.digest is None:
        tag = releases.tag_of(project, name, source)
        release, more = releases.follow(tag, manifest, pieces, project)
        said += more
    believed = evidence_log.behind_verdict(pieces, seen)
    _check_evidence(evidence.folder_of(target), believed)
    verdict = evidence_log.verdict_of(seen)
    note = partial(_note, project, run=verdict.body.run, model=name, manifest=manifest)
    note(Event.BEGUN)
    fetch(registry, manifest, believed, target, project)
    followed: dict[str, Any] = {} if release is None else {"release": releases.as_detail(release)}
    note(Event.DONE, **followed)
    project.reporter.emit(
        "Pulled",
        f"{reference}  {counted(len(manifest.layers), 'file')}, {size(manifest.tree.size)}",
        f"tree {short(manifest.tree.digest)}  "
        f"judged by {signer_named(verdict.identity, verdict.custodian)}, run {verdict.body.run}",
    )
    notes = [*project.remarks, *said]
    if release is not None:
        notes.append(f"release {release.sequence} of {release.tag}, to be renewed before {release.not_after}")
    return Result(
        command="pull",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.tree.digest),),
        evidence=tuple(evidence_reference(claim) for claim in seen.claims),
        outputs=(shown(directory),),
        facts=PullFacts(
            manifest=manifest.digest,
            tree=manifest.tree.digest,
            run=verdict.body.run,
            release=None if release is None else release.sequence,
            not_after=None if release is None else release.not_after,
        ),
        notes=tuple(notes),
        next=paste.command("verify", directory, "--for", "load", "--model", name),
    )


def _note(
    project: Project, event: Event, *, run: str, model: str, manifest: ModelManifest, **detail: Any
) -> None:
    """An entry of the ledger about this pull, where there is a ledger."""
    if project.ledger is not None:
        project.ledger.append(
            event=event,
            command="pull",
            run=run,
            model=model,
            tree=manifest.tree.digest,
            detail={"manifest": manifest.digest, **detail},
        )


def _manifest(source: Reference, registry: Registry) -> ModelManifest:
    wanted = source.digest or source.tag
    if wanted is None:
        raise UsageError("names neither a tag nor a digest", where=str(source), help="add :TAG or @sha256:…")
    manifest = read(registry.read_manifest(wanted), f"{source.name}@{wanted}")
    if source.digest is not None and manifest.digest != source.digest:
        raise Refused("the registry gave another manifest than the one asked for", where=str(source))
    if not manifest.is_derived:
        raise NotUnderstood(
            "the manifest is not the one that its own files make",
            where=str(source),
            help="another tool pushed it: name who signed it, --public-key FILE for one",
        )
    return manifest


def _check_evidence(folder: Path, believed: Sequence[Piece]) -> None:
    """The evidence folder is not there, or holds nothing but this very evidence: a killed pull left it.

    Raises:
        UsageError: there is other evidence.
    """
    expected = {evidence.file_name(piece.kind, piece.data): piece.sha256 for piece in believed}
    if any(expected.get(piece.name) != piece.sha256 for piece in evidence.read(folder)):
        raise UsageError("is there already", where=shown(folder), help="pull into a new folder")
