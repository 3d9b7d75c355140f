"""Sign a tree in OMS v1.0, so that `model_signing` and all that reads it can check its integrity."""

from __future__ import annotations

from pathlib import Path

from tuneguard.artifact import digest as hashing
from tuneguard.attest import evidence
from tuneguard.attest.predicates import oms
from tuneguard.errors import UsageError
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.journey.surroundings import Surroundings, counted, short, shown, size
from tuneguard.signing.certificate import chain_for


def sign(
    directory: str | Path,
    *,
    form: str = "oms",
    certificate: str | Path | None = None,
    chain: str | Path | None = None,
    here: Surroundings | None = None,
) -> Result:
    """Sign `directory` with the builder's key (or the one that ``--key`` names).

    `certificate` and `chain` (PEM files) name the signer by the key's certificate and the authorities above
    it.

    Proves integrity only: run, role and model are in a run's provenance, which this does not write.

    Raises:
        Refused: the tree holds what OMS verifiers ignore (``.gitattributes`` and its like).
        UsageError: an Ed25519 key, which OMS verifiers do not read; a certificate of another key; or a form
            that is not built.
    """
    directory = Path(directory)
    here = here or Surroundings()
    if form != "oms":
        raise UsageError(f"the form {form} is not built yet", help="use --form oms")
    if certificate is None and chain is not None:
        raise UsageError("a chain needs the certificate that it leads from", help="give --certificate too")
    signer = here.signer("builder")
    certificates = (
        ()
        if certificate is None
        else chain_for(signer.public_key, Path(certificate), None if chain is None else Path(chain))
    )
    manifest = hashing.hash_tree(directory, reporter=here.reporter)
    bundle = oms.sign(signer, directory.resolve().name, manifest, certificates=certificates)
    written = evidence.write(here.evidence_of(directory), oms.KIND, bundle)
    here.reporter.say(
        "Signed",
        f"{shown(directory)}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}",
        f"tree {short(manifest.digest)}",
    )
    return Result(
        command="sign",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        outputs=(shown(written),),
    )
