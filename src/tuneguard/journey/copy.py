"""Copy a checkpoint for judging, and open an attempt: nobody else can write what is judged.

TRUST.md rules 16 and 18. The copy is owner-only and it is the copy that is hashed, never the
source. The attempt's number among all attempts for this tree is printed: retrying until lucky shows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.artifact import snapshot
from tuneguard.artifact import tree as trees
from tuneguard.artifact.pattern import Patterns
from tuneguard.attest import evidence
from tuneguard.display import counted, shown, size
from tuneguard.errors import Refused, UsageError
from tuneguard.facts import CopyFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import WHOLE, Event
from tuneguard.project import evidence_log
from tuneguard.promotion import gate_input as cases
from tuneguard.trust import parts
from tuneguard.trust.request import Question
from tuneguard.trust.verify import Expectation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.findings import Finding
    from tuneguard.ledger.store import SqliteStore
    from tuneguard.project.project import Project


def copy(
    directory: Path, *, attempt: str, model: str, run: str, subset: str | None = None, project: Project
) -> Result[CopyFacts]:
    """Copy `directory`, or the folder `subset` of it, into the attempt's folder of the project.

    The fact ``tree`` is the digest of the copy.

    Raises:
        ForbiddenTree: it holds what a tree cannot. No attempt is opened, and the findings name all that is
            wrong with the signed files as well.
    """
    if not attempt.isalnum():
        raise UsageError(f"{files.printable(attempt)} is not an attempt's id", help="32 hex digits")
    folder = project.state_directory("attempts") / attempt
    folder.mkdir(mode=0o700, exist_ok=True)  # the orchestrator made it, and holds it
    snapshot.remove(folder / "tree")  # of a step that was started before, and lost
    faults: list[Finding] = []
    source = directory if subset is None else directory / subset
    name = str(source)
    with trees.reported_together(faults, name):
        taken = snapshot.take(
            source, folder / "tree", reporter=project.reporter, faults=faults, keep=_chosen(project)
        )
        if faults:
            snapshot.remove(taken.path)
            seen = cases.verified(
                directory,
                taken.manifest,
                project,
                model=model,
                run=run,
                attempt=None,
                recorded=None,
                deferred=cases.LATER,
            )
            raise trees.forbidden(faults, name, seen.findings)
    if not taken.manifest.files:
        snapshot.remove(taken.path)
        raise UsageError(
            "`promote` in the pipeline file leaves no file", where=shown(source), help="leave out less"
        )
    digest = taken.manifest.digest
    whole = _whole(directory, taken.manifest, model, project)
    try:
        evidence_log.keep_manifest(taken.manifest, folder)
        if project.ledger is not None and not _is_open(project.ledger, attempt, digest):
            project.ledger.append(
                event=Event.ATTEMPT,
                command="promote",
                run=run,
                attempt=attempt,
                model=model,
                tree=digest,
                detail={} if whole is None else {WHOLE: whole},
            )
    except BaseException:
        snapshot.remove(taken.path)
        raise
    number = evidence_log.attempts_of(project, whole or digest)
    project.reporter.emit(
        "Copied",
        f"{shown(source)}  "
        f"{counted(len(taken.manifest.files), 'file')}, {size(taken.manifest.size)}  ({taken.how})",
    )
    return Result(
        command="copy",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(source), digest),),
        facts=CopyFacts(tree=digest, attempt=attempt, number=number, how=taken.how),
    )


def _chosen(project: Project) -> Callable[[str], bool] | None:
    """Which files the pipeline file has promoted; None for all of them."""
    chosen = project.pipeline.promote if project.in_project else None
    if chosen is None or not (chosen.include or chosen.exclude):
        return None
    include, exclude = Patterns(chosen.include), Patterns(chosen.exclude)
    return lambda path: (not chosen.include or include.cover(path)) and not exclude.cover(path)


def _whole(directory: Path, manifest: Manifest, model: str, project: Project) -> str | None:
    """The tree of the run that the copy is a part of: attempts count by it, whatever is left out."""
    expectation = Expectation(purpose="promote", now=project.now, model=model)
    question = Question(manifest.digest, manifest, project.policy, expectation)
    return min(parts.find(question, evidence.read(project.evidence_of(directory))), default=None)


def _is_open(ledger: SqliteStore, attempt: str, tree: str) -> bool:
    """Whether a step that was started before opened the attempt. A ledger is made by its first entry.

    Raises:
        Refused: it did so for another tree.
    """
    if not os.path.lexists(ledger.path):
        return False
    opened = next(iter(ledger.entries(event=Event.ATTEMPT, attempt=attempt)), None)
    if opened is not None and opened.tree != tree:
        raise Refused(
            f"the attempt {attempt} is open for another tree",
            help="find out who changed it, and promote again",
        )
    return opened is not None
