"""Push a judged tree: every blob under the digest that was verified, the tag last.

Order (TRUST.md rule 25): blobs, manifest by digest, evidence, ledger ``done``, tag, ledger
``tagged``. A rerun reconciles from what the registry holds: what is there is not sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.attest import evidence
from tuneguard.errors import Refused
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.journey import judged
from tuneguard.journey.decide import reference
from tuneguard.journey.promote import expected_model
from tuneguard.journey.surroundings import Surroundings, short, shown
from tuneguard.ledger.entry import Event
from tuneguard.oci import manifest as oci
from tuneguard.oci.layout import open_registry
from tuneguard.oci.reference import parse
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from pathlib import Path



def push(
    directory: Path,
    *,
    to: str,
    model: str | None = None,
    run: str | None = None,
    attempt: str | None = None,
    tree: str | None = None,
    here: Surroundings,
) -> Result:
    """Push `directory`, which bears a passed verdict that counts, to the reference `to`.

    Raises:
        Refused: no passed verdict for this tree, model, repository; the reference is another
            repository than the model's; bytes changed since they were hashed.
        CannotLook: the registry cannot be read or written.
    """
    name = expected_model(here, to, model)
    target = parse(to)
    repository = here.policy.models[name].repository
    if target.kind != "layout" and target.repository != repository:
        raise Refused(
            f"{name} belongs to {repository}, not to {target.repository}",
            help="push to the policy's repository",
        )
    manifest = judged.bound(directory, tree, here)
    pieces = evidence.read(here.evidence_of(directory))
    built = oci.build(manifest)
    seen = verify(
        manifest,
        pieces,
        here.policy,
        Expectation(
            purpose="load",
            now=here.now,
            model=name,
            run=run,
            manifest_digest=built.digest,
            repository=repository,
        ),
    )
    if not seen.passed:
        raise Refused(
            f"no passed verdict counts for the tree {short(manifest.digest)}",
            where=shown(directory),
            help="promote it: tuneguard promote",
            findings=seen.findings,
        )
    entry = {"command": "push", "run": run, "attempt": attempt, "model": name, "tree": manifest.digest}
    if here.ledger is not None:
        here.ledger.append(event=Event.BEGUN, **entry, detail={"manifest": built.digest})
    registry = open_registry(target, create=True)
    sent = _send(directory, manifest, built, registry, here)
    attached = _attach(pieces, seen, built, registry)
    if here.ledger is not None:
        here.ledger.append(event=Event.DONE, **entry, result="judged", detail={"manifest": built.digest})
    if target.tag is not None:
        _tag(target, target.tag, built, registry)
        if here.ledger is not None:
            detail = {"manifest": built.digest, "tag": target.tag}
            here.ledger.append(event=Event.TAGGED, **entry, detail=detail)
    here.reporter.say(
        "Pushed",
        f"{name}@sha256:{short(built.digest)}  {sent} of {len(built.layers) + 1} blobs new, {attached} pieces of evidence",
    )
    return Result(
        command="push",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        evidence=tuple(reference(claim) for claim in seen.claims),
        outputs=(to, built.digest),
        facts={"manifest": built.digest, "tree": manifest.digest, "tag": target.tag, "blobs": sent},
        notes=here.remarks,
        next=f"tuneguard pull {to} DIR --model {name}",
    )
