"""Promote a checkpoint: the conductor's part. It holds no key and runs the seven steps in order.

copy → verify → scan → evaluate → decide → push → record. A refusal stops it; ``decide`` still runs
after one, to sign a refused verdict with every reason. There is no force flag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.engines.local import LocalEngine
from tuneguard.errors import UsageError
from tuneguard.findings import Result
from tuneguard.journey import passphrases, plan, retell
from tuneguard.journey.surroundings import Surroundings
from tuneguard.ledger.entry import new_attempt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path



def promote(
    directory: Path,
    *,
    to: str,
    run: str,
    model: str | None = None,
    tightened: Sequence[str] = (),
    here: Surroundings | None = None,
) -> Result:
    """Judge `directory` as the checkpoint of `run` and, if it passes, push it to the reference `to`.

    `tightened` are the evaluation's flags (``--min-accuracy``, ``--max-toxicity``).

    Raises:
        UsageError: outside a project, or the model cannot be told.
        TuneguardError: what a step ended in.
    """
    here = here or Surroundings()
    if not here.in_project:
        raise UsageError("promote needs a project", help="go to the project's folder, or name its --project")
    name = expected_model(here, to, model)
    attempt = new_attempt()
    steps = plan.promotion_plan(
        here, directory=directory, reference=to, model=name, run=run, attempt=attempt, tightened=tightened
    )
    held = passphrases.collect(here, steps)
    try:
        conducted = plan.conduct(steps, LocalEngine(held), here.reporter, last="decide")
    finally:
        _clear(here, attempt)
    for outcome in conducted.outcomes.values():
        retell.raise_error(outcome)
    return _result(directory, to, conducted, name, here)


def expected_model(here: Surroundings, reference: str, model: str | None) -> str:
    """The model that the caller expects: named, or the policy's one model with that repository."""
    from tuneguard.oci.reference import parse

    if model is not None:
        if model not in here.policy.models:
            raise UsageError(
                f"the policy {here.policy.name} has no model {model}",
                help="name one of " + ", ".join(here.policy.models),
            )
        return model
    target = parse(reference)
    found = None if target.kind == "layout" else here.policy.model_for(target.repository)
    if found is None:
        raise UsageError(f"which model is meant by {reference} cannot be told", help="name it: --model NAME")
    return found.name
