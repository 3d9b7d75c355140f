"""Sign a tree in OMS v1.0, so that `model_signing` and all that reads it can check its integrity."""

from __future__ import annotations

from pathlib import Path

from tuneguard.artifact import digest as hashing
from tuneguard.attest import evidence
from tuneguard.attest.predicates import oms
from tuneguard.errors import UsageError
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.journey.surroundings import Surroundings, counted, short, shown, size


def sign(directory: str | Path, *, form: str = "oms", here: Surroundings | None = None) -> Result:
    """Sign `directory` with the builder's key (or the one that ``--key`` names).

    Proves integrity only: run, role and model are in a run's provenance, which this does not write.

    Raises:
        Refused: the tree holds what OMS verifiers ignore (``.gitattributes`` and its like).
        UsageError: an Ed25519 key, which OMS verifiers do not read; or a form that is not built.
    """
    directory = Path(directory)
    here = here or Surroundings()
    if form != "oms":
        raise UsageError(f"the form {form} is not built yet", help="use --form oms")
    manifest = hashing.hash_tree(directory, reporter=here.reporter)
    bundle = oms.sign(here.signer("builder"), directory.resolve().name, manifest)
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
