"""Rehearse a training: the isolation and the inputs of a run, a few steps, no run id, nothing signed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneguard.attest.predicates import oms
from tuneguard.display import counted, size
from tuneguard.errors import Refused
from tuneguard.facts import RehearseFacts
from tuneguard.findings import Result, Subject, judge
from tuneguard.project.project import Project
from tuneguard.scanner import engine
from tuneguard.training import claims, rehearsal
from tuneguard.training.execute import rehearsed
from tuneguard.training.prepare import preparing

if TYPE_CHECKING:
    from tuneguard.findings import Finding, Skipped
    from tuneguard.training.claims import Claimed


def rehearse(*, unsafe_no_sandbox: bool = False, project: Project | None = None) -> Result[RehearseFacts]:
    """Train for ten minutes at most as `run` would, and report what the real run lacks.

    The training finds ``TUNEGUARD_REHEARSE=1`` in its environment and takes a few steps. What it wrote is
    scanned and removed.

    Raises:
        Refused: an input is not what the policy asks for, or an isolation control is missing.
        UsageError: no sandbox works here.
    """
    project = project or Project()
    with preparing(None, None, project, unsafe_no_sandbox=unsafe_no_sandbox) as prepared:
        outcome, log = rehearsed(prepared, project)
        ended = tuple(rehearsal.reasons(outcome, log))
        complete = not ended
        files, written, found, skipped = _output(prepared.claimed, project, complete=complete)
    findings = (*ended, *found)
    project.reporter.emit(
        "Rehearsed",
        f"{project.pipeline.name}  {outcome.seconds:,.1f} s, {_memory(outcome.memory)}",
        f"wrote {counted(files, 'file')}, {size(written)}; nothing is signed, nothing is kept",
    )
    verdict = judge(findings, skipped)
    return Result(
        command="run",
        verdict=verdict,
        subjects=(Subject(project.pipeline.name),),
        findings=findings,
        skipped=skipped,
        facts=RehearseFacts(
            seconds=round(outcome.seconds, 1), memory=outcome.memory, files=files, size=written
        ),
        notes=(
            *project.remarks,
            *(f"promotion will not pass: {obstacle}" for obstacle in prepared.obstacles),
        ),
        next="tuneguard run" if verdict.exit_code == 0 else "fix what was found, and rehearse again",
    )


def _memory(peak: int | None) -> str:
    return "memory not counted here" if peak is None else f"{size(peak)} of memory at most"


def _output(
    claimed: Claimed, project: Project, *, complete: bool
) -> tuple[int, int, tuple[Finding, ...], tuple[Skipped, ...]]:
    """Files and bytes that were written, and what a run and a promotion would find wrong with them."""
    if not os.listdir(claimed.checkpoint):
        return 0, 0, (rehearsal.unsignable("the training wrote no checkpoint"),) if complete else (), ()
    try:
        manifest, _ = claims.hashed(claimed, project)
        oms.refuse_unsignable(manifest)
    except Refused as error:
        return 0, 0, (rehearsal.unsignable(str(error)), *error.findings), ()
    seen = engine.scan_tree(claimed.checkpoint, manifest, reporter=project.reporter)
    return len(manifest.files), manifest.size, seen.findings, seen.skipped
