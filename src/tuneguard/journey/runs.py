"""The runs of a project, and the log of one: what a training printed, while it runs and afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.display import duration, local_time, short, shown
from tuneguard.errors import UsageError
from tuneguard.facts import LogsFacts, RunFacts, RunsFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.project import Project
from tuneguard.spec import valid_run_id
from tuneguard.training import metrics
from tuneguard.training.log_reader import LOG, LogReader
from tuneguard.training.record import Record, is_free, record_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVERY = 0.5
"""Seconds between two looks at a log that is followed."""


def runs(*, project: Project | None = None) -> Result[RunsFacts]:
    """Every run of the project, the newest last.

    Raises:
        UsageError: there is no project here.
    """
    project = project or Project()
    if not project.pipeline_file.is_file():
        help = "go to the project's folder, or name its --project"
        raise UsageError("there is no project", where=shown(project.pipeline_file), help=help)
    folder = project.state / "runs"
    found = [_facts(work) for work in (folder.iterdir() if folder.is_dir() else ()) if work.is_dir()]
    found.sort(key=lambda each: (each.started or "", each.run))
    width = max((len(each.run) for each in found), default=0)
    for each in found:
        project.reporter.emit(each.state, f"{each.run:<{width}}  {'  '.join(_parts(each))}")
    return Result(command="runs", verdict=Verdict.PASSED, facts=RunsFacts(runs=tuple(found)))


def logs(run: str, *, follow: bool = False, project: Project | None = None) -> Result[LogsFacts]:
    """What the training of `run` printed; with `follow` also what it prints until it is over.

    Raises:
        UsageError: there is no such run.
        CannotLook: its log cannot be read.
    """
    project = project or Project()
    work = project.state / "runs" / valid_run_id(run)
    if not (work / LOG).is_file():
        raise files.missing(shown(work / LOG), "no run of this name has a log here")
    count = 0
    for line in _lines(LogReader(work), _going_on(work, project) if follow else lambda: False):
        project.reporter.emit("", files.printable(line))
        count += 1
    project.reporter.status("")
    return Result(
        command="logs",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(work / LOG)),),
        facts=LogsFacts(run=run, lines=count),
    )


def _facts(work: Path) -> RunFacts:
    state = state_of(work)
    record = record_of(work) or Record(run=work.name)
    progress = metrics.progress(work)
    return RunFacts(
        run=files.printable(work.name),
        model=files.printable(record.model),
        state=state,
        kind=record.kind,
        started=record.started,
        seconds=record.seconds,
        step=progress.step,
        steps=progress.steps,
        loss=None if progress.loss is None else metrics.written(progress.loss),
        exit=record.exit,
        signal=record.signal,
        tree=record.tree,
    )


def _parts(facts: RunFacts) -> Iterator[str]:
    if facts.model:
        yield facts.model
    if facts.kind:
        yield facts.kind
    if facts.started:
        yield local_time(facts.started)
    if facts.seconds is not None:
        yield duration(facts.seconds)
    if facts.step is not None:
        yield f"step {facts.step:,}" + (f" of {facts.steps:,}" if facts.steps is not None else "")
    if facts.loss is not None:
        yield f"loss {facts.loss}" if isinstance(facts.loss, str) else f"loss {facts.loss:.4g}"
    if facts.signal is not None:
        yield f"signal {facts.signal}"
    elif facts.exit:
        yield f"exit {facts.exit}"
    if facts.tree:
        yield f"tree {short(facts.tree)}"


def _going_on(work: Path, project: Project) -> Callable[[], bool]:
    """Waits, shows how far the run is, and says whether it goes on."""

    def wait() -> bool:
        if is_free(work):
            return False
        project.reporter.status(str(metrics.progress(work)))
        time.sleep(EVERY)
        return True

    return wait


def _lines(log: LogReader, goes_on: Callable[[], bool]) -> Iterator[bytes]:
    """The lines of a log, what is printed while `goes_on` too, each as far as it is shown."""
    rest, over = b"", False
    while True:
        data = log.read()
        if not data:
            if over:
                break
            over = not goes_on()
            continue
        *lines, rest = (rest + data).split(b"\n")
        yield from (line[: limits.SHOWN_CHARACTERS] for line in lines)
        if len(rest) > limits.OUTPUT_LINE:
            yield rest[: limits.SHOWN_CHARACTERS]
            rest = b""
    if rest:
        yield rest[: limits.SHOWN_CHARACTERS]
