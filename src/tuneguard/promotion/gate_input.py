"""The case that the gates judge: verification, the seals of the training data, shared rows.

`settings_for` lays the model's gates, the pipeline's and the flags over the policy's floor; each can only
tighten.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuneguard import files, limits, records
from tuneguard.attest import evidence
from tuneguard.attest.evidence import Piece
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.seal import Seal
from tuneguard.dataset import rows
from tuneguard.errors import TuneguardError, UsageError
from tuneguard.gates import engine
from tuneguard.gates.engine import Case, Overlap
from tuneguard.gates.provenance import tree_of
from tuneguard.gates.scan import GATE
from tuneguard.oci import manifest as oci
from tuneguard.project.promoted import verify_promoted
from tuneguard.project.sealed import INSIDE
from tuneguard.promotion import weights
from tuneguard.trust.policy import Promoted, SealedBy
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.findings import Finding
    from tuneguard.nodes import Node
    from tuneguard.project.project import Project
    from tuneguard.trust.claims import Claim, Sealed, Verification
    from tuneguard.trust.policy import Model


LATER = frozenset({"scan", "evaluation"})
"""Evidence that a promotion makes after it has verified a checkpoint."""


def settings_for(project: Project, model: str, flags: dict[str, Node]) -> dict[str, Any]:
    """The effective settings of every gate for a model.

    Raises:
        ConfigurationError: the pipeline or a flag is looser than the policy.
    """
    tighter = [project.pipeline.gates] if project.in_project else []
    return engine.settings(project.policy, project.policy.models.get(model), *tighter, flags)


def formats_for(project: Project, model: str) -> frozenset[str] | None:
    """The formats that policy and pipeline let a checkpoint of a model hold; None is any.

    Raises:
        ConfigurationError: the scan gate's own settings are wrong, or looser than the policy's.
    """
    tighter = [project.pipeline.gates] if project.in_project else []
    allowed: frozenset[str] | None = engine.settings_of(
        GATE, project.policy, project.policy.models.get(model), *tighter
    ).formats
    return allowed


def flags(min_accuracy: float | None, max_toxicity: float | None) -> dict[str, Node]:
    """The evaluation flags as a gates block, which is read as the pipeline's is."""
    wanted = {}
    if min_accuracy is not None:
        wanted["accuracy"] = {"min": min_accuracy}
    if max_toxicity is not None:
        wanted["toxicity"] = {"max": max_toxicity}
    if not wanted:
        return {}
    node = records.read_yaml(records.to_json({"evaluation": wanted}), "the command line")
    return dict(node.value)  # type: ignore[arg-type]


def verified(
    directory: Path,
    manifest: Manifest,
    project: Project,
    *,
    model: str,
    run: str | None,
    attempt: str | None,
    recorded: Mapping[str, tuple[str, ...]] | None,
    deferred: frozenset[str] = frozenset(),
    faults: Sequence[Finding] = (),
) -> Verification:
    """The evidence about the tree, as a candidate for promotion.

    `recorded` is what the ledger has of the attempt (`evidence_log.recorded`), None where no ledger is asked.
    """
    return verify(
        manifest,
        evidence.read(project.evidence_of(directory)),
        project.policy,
        Expectation(
            purpose="promote",
            now=datetime.now(UTC),  # not when the command began: evidence may be younger than that
            model=model,
            run=run,
            attempt=attempt,
            recorded=recorded,
            manifest_digest=oci.build(manifest).digest,
            repository=project.policy.models[model].repository,
            deferred=deferred,
        ),
        faults,
    )


def build(
    directory: Path,
    manifest: Manifest,
    verification: Verification,
    project: Project,
    *,
    model: str,
    attempt: str | None,
    settings: dict[str, Any],
) -> Case:
    """The case: the tree's weights, seals and row hashes of the data of the provenance, the base's seals."""
    rule = project.policy.models[model]
    trained = tuple(
        dependency.digest.get("dirHash", "")
        for claim in verification.counting(Provenance)
        for dependency in claim.body.data
    )
    named = [
        seal
        for claim in verification.counting(Provenance)
        for seal in sealers(tree_of(claim.body.base), "base", model, project)
    ]
    seals = {tree: sealers(tree, "dataset", model, project) for tree in trained}
    measured = {
        tree: sealers(tree, "evaluation", model, project) for tree in engine.measured_with(rule, verification)
    }
    overlaps = tuple(
        _overlap(tree, _counted(sealed), set_, _counted(judged_by), project)
        for tree, sealed in seals.items()
        for set_, judged_by in measured.items()
    )
    if rule.evaluation is not None and isinstance(rule.evaluation.set, SealedBy):
        named += [seal for sealed in measured.values() for seal in sealed]
        named += [seal for tree in seals for seal in sealers(tree, "evaluation", model, project)]
    return Case(
        policy=project.policy,
        model=rule,
        verification=verification,
        settings=settings,
        now=project.now,
        files=len(manifest.files),
        bytes=manifest.size,
        weights=weights.selected(directory, manifest),
        attempt=attempt,
        seals=(*(seal for sealed in seals.values() for seal in sealed), *named),
        overlaps=overlaps,
        promoted=frozenset(_promoted(verification, rule, project)),
    )


def _promoted(verification: Verification, rule: Model, project: Project) -> Iterator[tuple[str, str]]:
    """The bases that are promoted models, verified again: by digest, for the files are not needed."""
    models = [each.model for each in rule.bases if isinstance(each, Promoted)]
    for claim in verification.counting(Provenance) if models else ():
        tree = tree_of(claim.body.base)
        pieces = [piece for folder in _folders("base", project) for piece in _pieces(folder)]
        for model in models:
            if tree is not None and verify_promoted(tree, pieces, model, project).passed:
                yield tree, model


def sealers(tree: str | None, kind: Sealed, model: str, project: Project) -> tuple[Claim[Seal], ...]:
    """The seals that count for a tree that the project's pipeline names; the files are not needed.

    Of several data sets, one's seals may lie beside another: a seal names its tree.
    """
    if tree is None:
        return ()
    judged_ = verify(
        tree,
        [piece for folder in _folders(kind, project) for piece in _pieces(folder)],
        project.policy,
        Expectation(purpose="train", now=project.now, model=model, sealed=kind),
    )
    return judged_.counting(Seal) if judged_.passed else ()


def _counted(seals: Sequence[Claim[Seal]]) -> Claim[Seal] | None:
    """A seal that names the hashes of the rows."""
    return next((seal for seal in seals if seal.body.rows is not None), None)


def _folders(kind: Sealed, project: Project) -> Iterator[Path]:
    """The pipeline's folder for sealed trees of a kind; nowhere where it names no classifier."""
    pipeline = project.pipeline
    if kind == "evaluation" and pipeline.data.eval is None:
        raise UsageError("the pipeline names no evaluation set", help="set data.eval.path in tuneguard.yaml")
    named = {
        "dataset": pipeline.data.sets,
        "evaluation": (pipeline.data.eval,),
        "base": (pipeline.base,),
        "classifier": (None if pipeline.evaluation is None else pipeline.evaluation.classifier,),
    }[kind]
    yield from (pipeline.resolve(each.path) for each in named if each is not None)


def _pieces(tree: Path) -> Sequence[Piece]:
    """Evidence beside a tree, and a seal inside it."""
    found = list(evidence.read(evidence.folder_of(tree)))
    inside = tree / INSIDE[2]
    if inside.is_file():
        found.append(Piece(INSIDE[2], files.read_bounded(inside, limits.BUNDLE_BYTES)))
    return found


def _overlap(
    training: str,
    sealed: Claim[Seal] | None,
    measured: str,
    judged_by: Claim[Seal] | None,
    project: Project,
) -> Overlap:
    """How many rows both have, by the hashes that the two seals name; why not, where they are missing."""
    try:
        mine = _rows(sealed, "dataset", project)
        theirs = _rows(judged_by, "evaluation", project)
    except TuneguardError as error:
        return Overlap(training, measured, None, str(error))
    if mine is None or theirs is None:
        missing = "training data" if mine is None else "evaluation set"
        return Overlap(
            training, measured, None, f"the {missing} has no counted rows under a seal that counts"
        )
    return Overlap(training, measured, rows.overlap(mine, theirs))


def _rows(seal: Claim[Seal] | None, kind: Sealed, project: Project) -> bytes | None:
    """The row hashes that a seal names, from whichever evidence folder of the kind holds them."""
    if seal is None or seal.body.rows is None:
        return None
    digest = seal.body.rows.digest.sha256
    folders = [evidence.folder_of(folder) for folder in _folders(kind, project)]
    for folder in folders[:-1]:
        with suppress(TuneguardError):
            return evidence.read_rows(folder, digest)
    return evidence.read_rows(folders[-1], digest) if folders else None
