"""What a checkpoint was made from, as its provenance states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from tuneguard.facts import Ingredient, Lineage
from tuneguard.trust.policy import Promoted, SealedBy

if TYPE_CHECKING:
    from tuneguard.attest.predicates.provenance import Dependency, Provenance
    from tuneguard.trust.policy import Model


def lineage(provenance: Provenance, model: Model | None = None) -> Lineage:
    """What a checkpoint was made from, as its provenance states.

    With the policy's `model`, also whether it lists each input; None where it takes any.
    """
    made_from = [*provenance.data, provenance.base, provenance.code, provenance.config]
    return Lineage(
        run=provenance.run,
        model=provenance.model,
        kind=provenance.chosen.kind,
        parent=provenance.chosen.parent,
        started=provenance.details.metadata.started,
        finished=provenance.details.metadata.finished,
        command=tuple(provenance.chosen.command),
        builder=provenance.details.builder.id,
        isolation=provenance.observed.isolation,
        level=provenance.observed.level,
        unsafe=tuple(provenance.chosen.unsafe),
        base_scan=dict(provenance.observed.base_scan),
        made_from=tuple(
            Ingredient(
                role=each.role,
                name=each.name,
                version=each.version,
                digest=dict(each.digest),
                listed=_listed(each, model),
                git=each.annotations.git,
            )
            for each in made_from
        ),
    )


def _listed(dependency: Dependency, model: Model | None) -> bool | UnsetType | None:
    if model is None:
        return UNSET
    if dependency.role == "data":
        return any(rule.name == dependency.name for rule in model.data)
    listed: tuple[str | SealedBy | Promoted, ...] | None = {
        "base": model.bases,
        "code": model.code,
        "config": model.config,
    }[dependency.role]
    for each in listed or ():
        named = (
            each.name if isinstance(each, SealedBy) else each.model if isinstance(each, Promoted) else None
        )
        if named == dependency.name:
            return True
    used = [*dependency.digest.values()]
    return None if listed is None else used in [[each] for each in listed]
