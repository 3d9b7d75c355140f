"""The two plans: what a run and a promotion are made of, step by step.

A plan is data. The local engine runs it here; on a cluster the same steps become Jobs or
templates. `conduct` walks one and stops at the first step that does not pass.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.engines.step import Reference, Step, filled
from tuneguard.errors import UsageError
from tuneguard.signing.signer import for_people, holds_pin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.engines.step import Engine, Outcome, Words
    from tuneguard.progress import Reporter
    from tuneguard.project.project import Project


@dataclass(frozen=True, slots=True)
class Conducted:
    """What came of a plan: each step's outcome by its id, and where it stopped, if it did."""

    outcomes: dict[str, Outcome]
    stopped_at: str | None


def conduct(
    steps: Sequence[Step], engine: Engine, reporter: Reporter, *, last: str | None = None
) -> Conducted:
    """Run the steps in order; after one that does not pass, only the step `last`, which records why.

    The step `last` is told where the plan stopped by ``--stopped-at``.
    """
    outcomes: dict[str, Outcome] = {}
    stopped: str | None = None
    for step in steps:
        if stopped is not None and step.id != last:
            continue
        argv = filled(step, outcomes)
        if stopped is not None:
            argv = (*argv, "--stopped-at", stopped)
        outcome = engine.run(step, argv, lambda line: reporter.say(*line))
        outcomes[step.id] = outcome
        if stopped is not None:
            break
        if not outcome.passed:
            stopped = step.id
            if last is None or step.id == last or not _known(step, outcomes):
                break
    return Conducted(outcomes, stopped)


def _known(step: Step, outcomes: dict[str, Outcome]) -> bool:
    """Whether there is a tree to record a refusal about: the copy was made and hashed."""
    return "tree" in outcomes["copy"].facts if "copy" in outcomes else step.id != "copy"


def shared_options(project: Project) -> tuple[str, ...]:
    """The options that every step of a plan is given, as absolute paths."""
    return _paths(
        ("--project", project.pipeline_file if project.in_project else None),
        ("--policy", project.policy_option),
        ("--root", project.root_option),
    )


def ledger_options(project: Project) -> tuple[str, ...]:
    """The ledger, for a step that reads it or writes to it."""
    return () if project.ledger_option is None else ("--ledger", project.ledger_option)


def registry_options(project: Project) -> tuple[str, ...]:
    """How registries are reached, for a step that does."""
    hosts = [word for host in project.insecure_registries for word in ("--insecure-registry", host)]
    return (*_paths(("--registry-ca", project.registry_ca)), *hosts)


def _paths(*options: tuple[str, Path | None]) -> tuple[str, ...]:
    given = [(name, os.path.abspath(path)) for name, path in options if path is not None]
    return tuple(word for option in given for word in option)


def key_options(project: Project, role: str) -> tuple[str, ...]:
    """The key of the one role that a step holds.

    Raises:
        UsageError: its URI holds a PIN: everybody sees the arguments of a step.
    """
    uri = project.key_uri(role)
    if uri is not None and holds_pin(uri):
        raise UsageError(
            f"the key of the role {role} has its PIN in its URI, and steps are given the URI as an argument",
            where=for_people(uri),
            help="name a file with the PIN instead: pin-source=FILE; or leave it out, and it is asked for",
        )
    return () if uri is None else ("--key", f"{role}={uri}")


def run_plan(
    project: Project, *, run: str, resume: Path | None, extra: Sequence[str] = ()
) -> tuple[Step, ...]:
    """Train: one step, one process, which supervises the sandbox and signs after it is dead."""
    shared = (*shared_options(project), *ledger_options(project), *key_options(project, "builder"))
    argv = ["train", "--run", run, *shared, *extra]
    if resume is not None:
        argv += ["--resume", os.path.abspath(resume)]
    return (Step("train", tuple(argv), role="builder"),)


def promotion_plan(
    project: Project,
    *,
    directory: Path,
    reference: str,
    model: str,
    run: str,
    attempt: str,
    tightened: Sequence[str],
    mount_from: str | None = None,
) -> tuple[Step, ...]:
    """Copy → verify → scan → evaluate → decide → push → record, each over the same tree digest."""
    copy = str(project.state / "attempts" / attempt / "tree")
    source = os.path.abspath(directory)
    shared, ledger = shared_options(project), ledger_options(project)
    reading = (*shared, "--evidence", str(project.evidence_of(Path(source))))
    common = (*reading, *ledger)
    bound: Words = ("--attempt", attempt, "--tree", Reference("copy", "tree"), "--model", model)
    judge = {role: key_options(project, role) for role in ("scanner", "evaluator", "promoter")}
    scanner = "scanner" if judge["scanner"] else "promoter"
    evaluator = "evaluator" if judge["evaluator"] else "promoter"
    deciding: Words = ("--to", reference, "--run", run, *bound, *common, *judge["promoter"])
    pushing = (*registry_options(project), *(() if mount_from is None else ("--mount-from", mount_from)))
    recording: Words = ("--pushed", Reference("push", "manifest"), *key_options(project, "log"))
    return (
        Step("copy", ("copy", source, "--attempt", attempt, "--model", model, "--run", run, *common)),
        Step("verify", ("verify", copy, "--for", "promote", "--run", run, *bound, *reading)),
        Step("scan", ("scan", copy, "--sign", *bound, *common, *judge[scanner]), role=scanner),
        Step(
            "evaluate",
            ("evaluate", copy, *bound, *common, *judge[evaluator], *tightened),
            role=evaluator,
        ),
        Step("decide", ("decide", copy, *deciding, *tightened), role="promoter"),
        Step("push", ("push", copy, *deciding, *pushing), role="promoter"),
        Step("record", ("record", copy, "--run", run, *bound, *shared, *ledger, *recording), role="log"),
    )
