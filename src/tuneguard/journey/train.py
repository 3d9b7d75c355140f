"""Train: one process that supervises the sandbox, waits until it is dead, hashes, and then signs.

::

    prepare    claim the run → snapshot data, base, code, configuration → verify them
    execute    sandbox → every process dead
    attest     hash the checkpoint → open the builder's key → provenance, signature

Nothing else writes provenance, and nothing writes it for a folder that this process did not make: what is
handed over from one part to the next stays in its memory. The key is opened only after the sandbox is dead
(principle 12, TRUST.md rules 7 to 13).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tuneguard.engines.local import ENGINE
from tuneguard.training.attest import attest
from tuneguard.training.execute import execute
from tuneguard.training.prepare import preparing

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import TrainFacts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project


def train(
    *,
    run: str,
    resume: Path | None = None,
    keep_intermediate: bool = False,
    unsafe_no_sandbox: bool = False,
    project: Project,
) -> Result[TrainFacts]:
    """Run the pipeline's training under `run` and sign its checkpoint.

    Raises:
        Refused: the run id or its folder is taken, an input is not what the policy asks for, a control
            is missing, or the training failed.
        UsageError: no sandbox works here, or no key is named.
    """
    with preparing(run, resume, project, unsafe_no_sandbox=unsafe_no_sandbox) as prepared:
        signed = attest(execute(prepared, project, keep_intermediate=keep_intermediate), ENGINE, project)
    later = (f"promotion will not pass: {obstacle}" for obstacle in prepared.obstacles)
    return dataclasses.replace(signed, notes=(*signed.notes, *later))
