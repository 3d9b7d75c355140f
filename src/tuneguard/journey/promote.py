"""Promote a checkpoint: the orchestrator, which holds no key, has an engine run `tuneguard.promotion.plan`.

A refusal stops it; ``decide`` still runs after one, to sign a refused verdict with every reason. There is no
force flag.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from tuneguard import paste, result_codec
from tuneguard.artifact import workdir
from tuneguard.artifact.tree import fault_of_path
from tuneguard.attest import evidence
from tuneguard.display import shown
from tuneguard.errors import CannotLook, UsageError
from tuneguard.facts import OF, DecideFacts, Facts, PromoteFacts, RecordFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.ledger.entry import new_attempt
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.project.orchestrator import orchestrate
from tuneguard.project.project import Project
from tuneguard.promotion.plan import STAGES, promotion_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneguard.engines.engine import EngineType, PlanOutcome


def promote(
    directory: str | Path,
    *,
    to: str,
    run: str,
    model: str | None = None,
    min_accuracy: float | None = None,
    max_toxicity: float | None = None,
    subset: str | None = None,
    mount_from: str | None = None,
    engine: str | EngineType = "local",
    project: Project | None = None,
) -> Result[PromoteFacts]:
    """Judge `directory` as the checkpoint of `run` and, if it passes, push it to the reference `to`.

    `min_accuracy` and `max_toxicity` can only tighten the policy. `subset` is a folder of the run that is
    promoted in its place, where the policy allows it. `mount_from`: see
    `tuneguard.journey.push.push`.

    Raises:
        UsageError: outside a project, or the model is not clear.
        TuneguardError: what a step ended in.
    """
    directory = Path(directory)
    project = project or Project()
    if not project.in_project:
        raise UsageError("promote needs a project", help="go to the project's folder, or name its --project")
    fault = None if subset is None else fault_of_path(subset)
    if fault is not None:
        raise UsageError(f"a subset's path {fault}", help="name a folder of the run, such as checkpoint-20")
    evidence.check_outside(project.evidence_of(directory))
    name = project.expected_model(to, model)
    _reach(to, mount_from, project)
    project.check_repository(parse(to), name)
    attempt = new_attempt()
    plan, volumes = promotion_plan(
        project,
        directory=directory,
        to=to,
        model=name,
        run=run,
        attempt=attempt,
        overrides=_flags(min_accuracy, max_toxicity),
        subset=subset,
        mount_from=mount_from,
    )
    place = partial(_place, project, attempt)
    outcome = orchestrate(plan, volumes, place=place, engine=engine, project=project)
    return _result(directory, to, outcome, name)


def _flags(min_accuracy: float | None, max_toxicity: float | None) -> tuple[str, ...]:
    given = (("--min-accuracy", min_accuracy), ("--max-toxicity", max_toxicity))
    return tuple(word for name, share in given if share is not None for word in (name, str(share)))


def _reach(to: str, mount_from: str | None, project: Project) -> None:
    """A destination that cannot be pushed to ends the promotion before anything is judged."""
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
    parent = project.state_directory("attempts")
    workdir.sweep((*parent.iterdir(), *project.state_directory().glob("evaluate-*")))
    return parent / attempt


def _result(directory: Path, to: str, outcome: PlanOutcome, model: str) -> Result[PromoteFacts]:
    """One result over all steps: every reason once, the facts of the decision, the report's path."""
    results: dict[str, Result[Facts]] = {
        step: result_codec.decode(each.result, OF[step][0], each.code, f"the step {step}")
        for step, each in outcome.ran.items()
    }
    decided = results.get("decide")
    if decided is None or not isinstance(decided.facts, DecideFacts):
        raise CannotLook(f"the promotion stopped at {_stopped_at(outcome)}, and nothing was decided")
    recorded = results["record"].facts if "record" in results else None
    passed = outcome.stopped_at is None
    return Result(
        command="promote",
        verdict=Verdict.PASSED if passed else _worst(results.values()),
        subjects=(Subject(shown(directory), decided.facts.tree),),
        findings=tuple(dict.fromkeys(each for result in results.values() for each in result.findings)),
        skipped=tuple(dict.fromkeys(each for result in results.values() for each in result.skipped)),
        evidence=decided.evidence,
        outputs=(to, decided.facts.manifest) if passed else (),
        facts=PromoteFacts(
            model=model,
            to=to,
            stopped=_stopped_at(outcome),
            recorded=recorded if isinstance(recorded, RecordFacts) else None,
            **structs.asdict(decided.facts),
        ),
        notes=decided.notes,
        next=_next(outcome, to, model),
    )


def _stopped_at(outcome: PlanOutcome) -> str | None:
    """The step at which it stopped; for one that signs, the step that judged."""
    name = outcome.stopped_at
    return None if name is None else STAGES.get(name, name)


def _worst(results: Iterable[Result[Facts]]) -> Verdict:
    """A refusal anywhere refuses; else somebody could not look."""
    refused = any(result.verdict is Verdict.REFUSED for result in results)
    return Verdict.REFUSED if refused else Verdict.NOT_UNDERSTOOD


def _next(outcome: PlanOutcome, to: str, model: str) -> str | None:
    if outcome.stopped_at is None:
        return paste.command("pull", to, "DIR", "--model", model)
    return {
        "verify": "restore the signed files, or train again under a new run id",
        "scan": "remove what was found at its source, and train again under a new run id",
        "evaluate": "train a better model, or look at what it answers",
    }.get(_stopped_at(outcome) or "", "read the reasons above; for more: tuneguard explain RULE")
