"""Promote a checkpoint: the orchestrator, which holds no key, has an engine run `tuneguard.promotion.plan`.

A refusal stops it; ``decide`` still runs after one, to sign a refused verdict with every reason. There is no
force flag.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import paste
from tuneguard.artifact import workdir
from tuneguard.display import shown
from tuneguard.engines import retell
from tuneguard.errors import UsageError
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import new_attempt
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.project.orchestrator import orchestrate
from tuneguard.project.project import Project
from tuneguard.promotion.plan import STAGES, promotion_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.engines.engine import EngineType, PlanOutcome


def promote(
    directory: str | Path,
    *,
    to: str,
    run: str,
    model: str | None = None,
    min_accuracy: float | None = None,
    max_toxicity: float | None = None,
    tightened: Sequence[str] = (),
    mount_from: str | None = None,
    engine: str | EngineType = "local",
    project: Project | None = None,
) -> Result:
    """Judge `directory` as the checkpoint of `run` and, if it passes, push it to the reference `to`.

    `min_accuracy` and `max_toxicity` can only tighten the policy; `tightened` are the same as words of the
    command line. `mount_from`: see `tuneguard.journey.push.push`.

    Raises:
        UsageError: outside a project, or the model cannot be told.
        TuneguardError: what a step ended in.
    """
    directory = Path(directory)
    project = project or Project()
    if not project.in_project:
        raise UsageError("promote needs a project", help="go to the project's folder, or name its --project")
    name = project.expected_model(to, model)
    _reach(to, mount_from, project)
    attempt = new_attempt()
    plan, volumes = promotion_plan(
        project,
        directory=directory,
        to=to,
        model=name,
        run=run,
        attempt=attempt,
        tightened=(*tightened, *_flags(min_accuracy, max_toxicity)),
        mount_from=mount_from,
    )
    place = partial(_place, project, attempt)
    outcome = orchestrate(plan, volumes, place=place, engine=engine, project=project)
    for each in outcome.ran.values():
        retell.raise_error(each)
    return _result(directory, to, outcome, name)


def _flags(min_accuracy: float | None, max_toxicity: float | None) -> tuple[str, ...]:
    given = (("--min-accuracy", min_accuracy), ("--max-toxicity", max_toxicity))
    return tuple(word for name, share in given if share is not None for word in (name, str(share)))


def _reach(to: str, mount_from: str | None, project: Project) -> None:
    """Where nothing can be pushed to, nothing is judged: an hour later would be late to hear it."""
    target = parse(to)
    source = None if mount_from is None else parse(mount_from)
    registry = open_registry(target, options=project.registries, mount_from=source)
    new = target.path is not None and not Path(target.path).exists()  # a folder is made by the push
    if target.tag is not None and not new:
        registry.resolve(target.tag)


def _place(project: Project, attempt: str) -> Path:
    """Where the copy lies while it is judged; what killed promotions left is removed.

    What was judged stays in the evidence, the ledger and the report.
    """
    room = project.state_directory("attempts")
    workdir.sweep((*room.iterdir(), *project.state_directory().glob("evaluate-*")))
    return room / attempt


def _result(directory: Path, to: str, outcome: PlanOutcome, model: str) -> Result:
    """One result over all steps: every reason once, the facts of the decision, the report's path."""
    outcomes = outcome.ran
    decided = retell.result("promote", outcomes["decide"]) if "decide" in outcomes else None
    found = dict.fromkeys(finding for each in outcomes.values() for finding in retell.findings(each))
    passed = outcome.stopped_at is None
    return Result(
        command="promote",
        verdict=Verdict.PASSED if passed else _worst(outcome),
        subjects=(Subject(shown(directory), _tree(outcome)),),
        findings=tuple(found),
        skipped=tuple(dict.fromkeys(item for each in outcomes.values() for item in retell.skipped(each))),
        evidence=() if decided is None else decided.evidence,
        outputs=(to, str(outcomes["push"].facts["manifest"])) if passed else (),
        facts={
            "model": model,
            "to": to,
            "stopped": _stopped_at(outcome),
            **({} if decided is None else decided.facts),
            "recorded": dict(retell.facts(outcomes["record"])) if "record" in outcomes else None,
        },
        notes=() if decided is None else decided.notes,
        next=_next(outcome, to, model),
    )


def _tree(outcome: PlanOutcome) -> str | None:
    tree = outcome.steps["copy"].facts.get("tree")
    return tree if isinstance(tree, str) else None


def _stopped_at(outcome: PlanOutcome) -> str | None:
    """The step at which it stopped; for one that signs, the step that judged."""
    name = outcome.stopped_at
    return None if name is None else STAGES.get(name, name)


def _worst(outcome: PlanOutcome) -> Verdict:
    """A refusal anywhere refuses; else somebody could not look."""
    verdicts = {each.result.get("verdict") for each in outcome.ran.values()}
    return Verdict.REFUSED if "refused" in verdicts else Verdict.NOT_UNDERSTOOD


def _next(outcome: PlanOutcome, to: str, model: str) -> str | None:
    if outcome.stopped_at is None:
        return paste.command("pull", to, "DIR", "--model", model)
    return {
        "verify": "restore the signed files, or train again under a new run id",
        "scan": "remove what was found at its source, and train again under a new run id",
        "evaluate": "train a better model, or look at what it answers",
    }.get(_stopped_at(outcome) or "", "read the reasons above; tuneguard explain RULE says more")
