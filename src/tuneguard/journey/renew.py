"""Renew a release: the tag goes on naming what it names, for another while, judged by nobody anew.

The verdict must still count under the policy of today, and the tag must name what its newest known release
states: a tag that was moved is never renewed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.display import short
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.facts import RenewFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import Event
from tuneguard.oci.manifest import read
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.project.project import Project
from tuneguard.promotion import releases
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.attest.evidence import Piece
    from tuneguard.oci.manifest import ModelManifest


def renew(reference: str, *, model: str | None = None, project: Project | None = None) -> Result[RenewFacts]:
    """Give the tag that `reference` names a new release pointer, signed with the promoter's key.

    Raises:
        UsageError: `reference` has no tag, nothing has it, or there is no key.
        Refused: no passed verdict counts any more, the tag went back, or it was never released.
        CannotLook: the registry cannot be read or written.
    """
    project = project or Project()
    name = project.expected_model(reference, model)
    source = parse(reference)
    tag = releases.tag_of(project, name, source)
    signer = releases.signer_of(tag, project)
    registry = open_registry(source, options=project.registries)
    manifest = read(registry.read_manifest(tag.name), str(source))
    if not manifest.is_derived:
        raise NotUnderstood("the manifest is not the one that its own files make", where=str(source))
    _check_verdict(manifest, tag, releases.attached(registry, manifest), project)
    release = releases.again(tag, manifest, registry, signer, project)
    if registry.resolve(tag.name) != manifest.digest:
        raise Refused(f"the tag {tag.name} was moved meanwhile", where=str(source), help="look at it again")
    if project.ledger is not None:
        project.ledger.append(
            event=Event.TAGGED,
            command="renew",
            model=name,
            tree=manifest.tree.digest,
            detail={"manifest": manifest.digest, "tag": tag.name, "release": releases.as_detail(release)},
        )
    project.reporter.emit(
        "Renewed",
        f"{reference}  {name}@sha256:{short(manifest.digest)}",
        f"release {release.sequence}, to {release.not_after}",
    )
    return Result(
        command="renew",
        verdict=Verdict.PASSED,
        subjects=(Subject(reference, manifest.tree.digest),),
        outputs=(reference, manifest.digest),
        facts=RenewFacts(
            manifest=manifest.digest,
            tree=manifest.tree.digest,
            release=release.sequence,
            not_after=release.not_after,
        ),
        notes=project.remarks,
    )


def _check_verdict(
    manifest: ModelManifest, tag: releases.Tag, pieces: Sequence[Piece], project: Project
) -> None:
    seen = verify(
        manifest.tree,
        pieces,
        project.policy,
        Expectation(
            purpose="load",
            now=project.now,
            model=tag.model,
            manifest_digest=manifest.digest,
            repository=tag.repository,
        ),
    )
    if not seen.passed:
        raise Refused(
            f"{short(manifest.digest)} is not what the policy lets through as {tag.model} any more",
            where=str(tag),
            help="promote a model to this tag",
            findings=seen.findings,
        )
