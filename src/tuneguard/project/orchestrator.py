"""The orchestrator of a plan: it asks for passphrases, holds no key, and has an engine run the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.artifact import workdir
from tuneguard.engines.engine import EngineType, Session, engine_named
from tuneguard.project import options, passphrases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tuneguard.engines.engine import PlanOutcome
    from tuneguard.plan.step import Plan
    from tuneguard.project.project import Project


def orchestrate(
    plan: Plan,
    volumes: Mapping[str, Path],
    *,
    place: Callable[[], Path],
    engine: str | EngineType,
    project: Project,
) -> PlanOutcome:
    """Run `plan` on `engine`, a name or an engine itself.

    `place` is where a new folder goes that is there for as long as the plan runs; it is asked once the keys
    are known to be there.

    Raises:
        UsageError: there is no such engine; a key is not there, or a passphrase does not open it.
        Refused: the policy is expired, or does not believe a key now.
        CannotLook: a step could not be started, was killed, or ended without a result.
        Interrupted: the person stopped it.
    """
    chosen = engine_named(engine) if isinstance(engine, str) else engine
    roles = sorted(plan.roles)
    held = passphrases.collect(project, roles)
    folder = place()
    with workdir.working(folder) as hold:
        state = folder / "steps"
        state.mkdir(mode=0o700)
        session = Session(state, volumes, options.keys(project, plan.roles), held, keep=(hold,))
        return chosen.open(session).run(plan, project.reporter)
