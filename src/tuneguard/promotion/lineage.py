"""What a checkpoint was made from, as its provenance says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneguard.attest.predicates.provenance import Dependency, Provenance
    from tuneguard.trust.policy import Model


def lineage(provenance: Provenance, model: Model | None = None) -> dict[str, Any]:
    """What a checkpoint was made from, as its provenance says.

    With the policy's `model`, also whether it lists each input; None where it takes any.
    """
    made_from = [*provenance.data, provenance.base, provenance.code, provenance.config]
    return {
        "run": provenance.run,
        "model": provenance.model,
        "class": provenance.chosen.kind,
        "parent": provenance.chosen.parent,
        "started": provenance.details.metadata.started,
        "finished": provenance.details.metadata.finished,
        "command": list(provenance.chosen.command),
        "builder": provenance.details.builder.id,
        "isolation": provenance.observed.isolation,
        "level": provenance.observed.level,
        "unsafe": list(provenance.chosen.unsafe),
        "base_scan": dict(provenance.observed.base_scan),
        "from": [
            {
                "role": each.role,
                "name": each.name,
                "version": each.version,
                "digest": each.digest,
                **_listed(each, model),
            }
            for each in made_from
        ],
    }


def _listed(dependency: Dependency, model: Model | None) -> dict[str, bool | None]:
    if model is None:
        return {}
    if dependency.role == "data":
        return {"listed": any(rule.name == dependency.name for rule in model.data)}
    digests = {"base": model.bases, "code": model.code, "config": model.config}[dependency.role]
    used = [*dependency.digest.values()]
    return {"listed": None if digests is None else used in [[each] for each in digests]}
