"""Pull what another tool pushed and cosign signed: its bytes, and nothing that anybody judged.

manifest by digest → attached bundles → one is cosign's signature by whom the person named → fetch. The
answer is "integrity only": no run, no scan and no evaluation is behind such a signature (docs/adr/0011).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import limits, paste
from tuneguard.attest import evidence, foreign
from tuneguard.display import counted, short, shown, size
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.facts import PullForeignFacts
from tuneguard.files import printable
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse, same_repository
from tuneguard.project.expected_signer import Signer
from tuneguard.project.project import Project
from tuneguard.promotion.fetch import fetch, refuse_taken
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from tuneguard.oci.client import Registry
    from tuneguard.oci.manifest import ModelManifest
    from tuneguard.oci.reference import Reference
    from tuneguard.signing.key import PublicKey


def pull_foreign(
    reference: str,
    directory: str | Path,
    *,
    public_key: str | Path | None = None,
    certificate_root: str | Path | None = None,
    trusted_root: str | Path | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    project: Project | None = None,
) -> Result[PullForeignFacts]:
    """Fetch the files of `reference`, a digest, that `cosign sign` signed: integrity only, exit 4.

    Who signed is named as for `tuneguard.journey.verify.verify_foreign`.

    Raises:
        UsageError: no digest is named, the folder is there already, who signed is not named by one method,
            or the repository is one of the policy's models.
        Refused: no signature is by that signer over that manifest, or bytes are not what it states.
        NotUnderstood: the manifest's layers are not files.
        CannotLook: the registry cannot be reached.
    """
    directory = Path(directory)
    project = project or Project()
    signer = Signer.named(public_key, certificate_root, trusted_root, identity, issuer)
    source = parse(reference)
    target = Path(os.path.abspath(directory))
    refuse_taken(target)
    refuse_taken(evidence.folder_of(target))
    _refuse_own(source, project)
    judge = signer.judge(project.now)
    registry = open_registry(source, options=project.registries)
    digest = _digest(source, registry)
    manifest = oci.read_files(registry.read_manifest(digest), str(source))
    passed_over = _signed(registry, manifest, judge, str(signer))
    fetch(registry, manifest, (), target, project)
    tree = manifest.tree
    project.reporter.emit(
        "Pulled",
        f"{source}  {counted(len(manifest.layers), 'file')}, {size(tree.size)}",
        f"tree {short(tree.digest)}  every file is as {signer} signed it",
    )
    return Result(
        command="pull",
        verdict=Verdict.INTEGRITY_ONLY,
        subjects=(Subject(shown(directory), tree.digest),),
        outputs=(shown(directory),),
        facts=PullForeignFacts(
            manifest=manifest.digest, tree=tree.digest, purpose="integrity", uncounted=tuple(passed_over)
        ),
        notes=("integrity only: the signature names no run, no role and no model",),
        next=paste.command("scan", directory),
    )


def _refuse_own(source: Reference, project: Project) -> None:
    """A model of ours is pulled by its verdict: a signature alone would be a way round its gates."""
    if not project.in_project and project.policy_option is None:
        return
    models = project.policy.models.values()
    names = [model.name for model in models if same_repository(model.repository, source.name)]
    if names:
        raise UsageError(
            f"is the repository of the policy's model {names[0]}",
            where=str(source),
            help="pull it by its verdict: leave out who signed",
        )


def _digest(source: Reference, registry: Registry) -> str:
    """The manifest that is meant. A tag is no name for it: no signature covers a tag."""
    if source.digest is not None:
        return source.digest
    now = None if source.tag is None else registry.resolve(source.tag)
    raise UsageError(
        "a signature by cosign names a manifest, and none names the manifest of a tag",
        where=str(source),
        help="name the digest that the publisher gave you"
        + (f"; the tag means {now} now" if now else ": @sha256:…"),
    )


def _signed(
    registry: Registry, manifest: ModelManifest, judge: PublicKey | foreign.Vouches, signer: str
) -> list[str]:
    """See that one attached bundle is the signature; returns why others before it were not."""
    reasons: list[str] = []
    for data in client.bundles(
        registry, manifest.digest, files=limits.EVIDENCE_FILES, limit=limits.EVIDENCE_BYTES
    ):
        where = f"a bundle of {short(manifest.digest)}"
        try:
            fault = foreign.fault_of_cosign(read_bundle(data, where), manifest.digest, judge, where=where)
        except NotUnderstood as error:
            fault = error.what
        if fault is None:
            return reasons
        reasons.append(printable(fault))
    reported = "; ".join(dict.fromkeys(reasons)) or "no bundle is attached to it"
    raise Refused(
        f"is not signed by {signer}: {reported[:400]}",
        where=f"{registry.name}@{manifest.digest}",
        help="sign it with cosign 3, or with cosign 2 --new-bundle-format" if not reasons else None,
    )
