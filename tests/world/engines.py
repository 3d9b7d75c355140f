"""Engines for tests: one that answers from a table, and a cluster that is in nobody's favour."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.engines.engine import (
    SKIPPED,
    EngineType,
    Outcome,
    PlanOutcome,
    Session,
    State,
    filled,
    is_due,
)
from tuneguard.engines.local import LocalEngine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.plan.step import Plan, Step
    from tuneguard.progress import Reporter, Task

NOWHERE = Session(Path("/nowhere"), {})
PASSED = Outcome(State.PASSED, 0)


class Scripted:
    """Steps end as `answers` says, the others pass with all their facts; keeps what each was given."""

    def __init__(self, answers: Mapping[str, Outcome] | None = None, session: Session = NOWHERE) -> None:
        self.answers = answers or {}
        self.session = session
        self.given: dict[str, list[str]] = {}

    def run(self, plan: Plan, reporter: Reporter) -> PlanOutcome:
        del reporter
        outcomes: dict[str, Outcome] = {}
        for step in plan.steps:
            if not is_due(step, outcomes):
                outcomes[step.name] = SKIPPED
                continue
            self.given[step.name] = filled(step, outcomes, self.session)
            passed = Outcome(State.PASSED, 0, {fact: f"{step.name}.{fact}" for fact in step.facts})
            outcomes[step.name] = self.answers.get(step.name, passed)
        return PlanOutcome(outcomes)


class Cluster(LocalEngine):
    """Runs what is due at once, the last step first; starts every step twice, and loses lines."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._lock = threading.Lock()

    def run(self, plan: Plan, reporter: Reporter) -> PlanOutcome:
        outcomes: dict[str, Outcome] = {}
        waiting = {step.name: step for step in plan.steps}
        running: dict[Future[Outcome], str] = {}
        with ThreadPoolExecutor(4) as pool:
            while waiting or running:
                ready = [step for step in waiting.values() if all(name in outcomes for name in step.needs)]
                for step in reversed(ready):
                    del waiting[step.name]
                    if is_due(step, outcomes):
                        running[pool.submit(self._twice, step, dict(outcomes), reporter)] = step.name
                    else:
                        outcomes[step.name] = SKIPPED
                if running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        outcomes[running.pop(future)] = future.result()
        return PlanOutcome({step.name: outcomes[step.name] for step in plan.steps})

    def _twice(self, step: Step, outcomes: Mapping[str, Outcome], reporter: Reporter) -> Outcome:
        """As a pod whose first container is lost after its work was done, and whose end nobody heard of."""
        if step.restartable:
            self._step(step, outcomes, Losing(reporter))
        return self._step(step, outcomes, Losing(reporter))


class Losing:
    """Loses every other line."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._count = 0

    def emit(self, verb: str, text: str, *details: str) -> None:
        self._count += 1
        if self._count % 2:
            self._reporter.emit(verb, text, *details)

    def task(self, verb: str, *, total: int | None, unit: str) -> Task:
        return self._reporter.task(verb, total=total, unit=unit)


CLUSTER = EngineType("cluster", "https://example.org/builders/cluster", "SLSA_BUILD_LEVEL_1", Cluster)
