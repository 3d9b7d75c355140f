"""Sign a tree so that other tools can check its integrity: in OMS v1.0, or in cosign's manifest form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import digest as hashing
from tuneguard.artifact.tree import forbidden, reported_together
from tuneguard.attest import evidence
from tuneguard.attest.foreign import COSIGN_MANIFEST, COSIGN_SIGNATURE
from tuneguard.attest.predicates import oms
from tuneguard.display import counted, short, shown, size
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.facts import NoFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.project import Project
from tuneguard.signing.certificate import chain_for
from tuneguard.signing.key import KeyType
from tuneguard.trust import root

if TYPE_CHECKING:
    from tuneguard.artifact.manifest import Manifest
    from tuneguard.findings import Finding
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer

FORMS = ("oms", "cosign")


def sign(
    directory: str | Path,
    *,
    form: str = "oms",
    certificate: str | Path | None = None,
    chain: str | Path | None = None,
    project: Project | None = None,
) -> Result[NoFacts]:
    """Sign `directory` with the builder's key (or the one that ``--key`` names).

    `certificate` and `chain` (PEM files) name the signer by the key's certificate and the authorities above
    it; ``oms`` only. The form ``cosign`` writes ``manifest.json`` and ``manifest.json.sig`` into the
    directory.

    Proves integrity only: run, role and model are in a run's provenance, which this does not write.

    Raises:
        Refused: the tree holds what OMS verifiers ignore (``.gitattributes`` and its like), or is empty.
        UsageError: a form that is neither; a key that the form's verifiers do not read; a certificate of
            another key; a tree that is signed already.
    """
    directory = Path(directory)
    project = project or Project()
    if form not in FORMS:
        raise UsageError(
            f"{files.printable(form)} is not a form of signature", help="one of " + ", ".join(FORMS)
        )
    if certificate is None and chain is not None:
        raise UsageError("a chain needs the certificate that it leads from", help="give --certificate too")
    if certificate is not None and form != "oms":
        raise UsageError("a certificate goes along in the form oms only", help="leave --form out")
    signer = project.signer("builder")
    if form == "cosign":
        return _sign_for_cosign(directory, signer, project)
    certificates = (
        ()
        if certificate is None
        else chain_for(signer.public_key, Path(certificate), None if chain is None else Path(chain))
    )
    faults: list[Finding] = []
    with reported_together(faults, str(directory)):
        manifest = hashing.hash_tree(directory, reporter=project.reporter, faults=faults)
        oms.refuse_unsignable(manifest)
    if faults:
        raise forbidden(faults, str(directory))
    bundle = oms.sign(signer, directory.resolve().name, manifest, certificates=certificates)
    written = evidence.write(project.evidence_of(directory), oms.KIND, bundle)
    return _signed(directory, manifest, (written,), project)


def _sign_for_cosign(directory: Path, signer: Signer, project: Project) -> Result[NoFacts]:
    """Cosign's manifest form. The signature comes last: without it, the list is nothing, and is found again.

    The signature is DER, which ``cosign verify-blob`` and ``openssl dgst -verify`` both take.
    """
    if signer.public_key.type is not KeyType.P256:
        raise UsageError(
            f"a key of type {signer.public_key.type} does not suit both cosign and openssl",
            help="sign with an ECDSA key over P-256",
        )
    _check_mark(signer.public_key, project)
    manifest = hashing.hash_tree(directory, reporter=project.reporter)
    held = {file.path for file in manifest.files}
    manifest = manifest.without((COSIGN_MANIFEST,))
    if not manifest.files:
        raise Refused("the tree is empty, and an empty tree cannot be signed", help="check the path")
    listing, signature = directory / COSIGN_MANIFEST, directory / COSIGN_SIGNATURE
    data = manifest.to_cosign_manifest()
    if len(data) > limits.MANIFEST_BYTES:
        raise Refused("the tree has more files than a manifest.json may list", help="pack the small ones")
    begun = COSIGN_MANIFEST in held and files.read_bounded(listing, limits.MANIFEST_BYTES) == data
    if COSIGN_SIGNATURE in held or (os.path.lexists(listing) and not begun):
        raise UsageError(
            f"holds a {COSIGN_MANIFEST} already",
            where=shown(directory),
            help=f"to sign it anew, remove {COSIGN_MANIFEST} and {COSIGN_SIGNATURE} first",
        )
    made = signer.sign(data)
    if not signer.public_key.verify(made, data):
        raise CannotLook("the signer gave a signature that its own public key does not verify")
    if not begun:
        files.write_new(listing, data)
    files.write_new(signature, made)
    voided = (
        f"the evidence in {shown(project.evidence_of(directory))} is of the tree without these two files, "
        "and no longer fits: sign a copy for cosign, and promote the tree as it was"
    )
    notes = (voided,) if evidence.read(project.evidence_of(directory)) else ()
    return _signed(directory, manifest, (listing, signature), project, notes)


def _check_mark(key: PublicKey, project: Project) -> None:
    """A key that the policy at hand names for statements signs no raw bytes (TRUST.md rule 5).

    Raises:
        Refused: it is such a key.
    """
    try:
        root.find_policy(project.policy_option)
    except UsageError:  # no policy here names this key
        return
    if project.policy.signs_blobs(key) is False:
        raise Refused(
            "the policy believes this key about statements, and one key never signs both",
            help="sign with another key, which the policy may name with format: blob",
        )


def _signed(
    directory: Path,
    manifest: Manifest,
    written: tuple[Path, ...],
    project: Project,
    notes: tuple[str, ...] = (),
) -> Result[NoFacts]:
    project.reporter.emit(
        "Signed",
        f"{shown(directory)}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}",
        f"tree {short(manifest.digest)}",
    )
    return Result(
        command="sign",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        outputs=tuple(map(shown, written)),
        facts=NoFacts(),
        notes=notes,
    )
