"""What every engine is: it runs a plan and returns the outcome of each step.

An engine is one module in this folder that binds ``ENGINE``. `tests/engines/` holds the contract that each
of them passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from tuneguard import discover
from tuneguard.errors import Interrupted, UsageError
from tuneguard.plan.step import At, Fact, File, Status, When

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tuneguard.plan.step import Plan, Step
    from tuneguard.progress import Reporter

FACTS_BYTES = 4096
"""What a step's facts take at most, as JSON: the size of a container's termination message."""


class State(StrEnum):
    """How a step ended."""

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    """It could not look, or ended without a result."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one step: its exit code, the facts that it handed on, and its full result as JSON fields.

    Facts and results are arguments and display, never grounds to pass: a step verifies what it needs to
    believe.
    """

    state: State
    code: int | None = None
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether steps that need this one may run."""
        return self.state is State.PASSED


SKIPPED = Outcome(State.SKIPPED)


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What came of a plan: the outcome of every step, in the plan's order."""

    steps: Mapping[str, Outcome]

    @property
    def stopped_at(self) -> str | None:
        """The first step that did not pass; None where all did."""
        return next((name for name, outcome in self.steps.items() if not outcome.passed), None)

    @property
    def ran(self) -> dict[str, Outcome]:
        """The outcomes of the steps that were not skipped."""
        return {name: each for name, each in self.steps.items() if each.state is not State.SKIPPED}


@dataclass(frozen=True, slots=True)
class Session:
    """What a plan does not state, since it is different on each machine.

    ``state`` is an owner-only folder for the steps' facts, files and results. ``volumes`` is where each
    volume of the plan lies here, ``keys`` the URI of each role's key, and ``passphrases`` the passphrase of
    each role whose key is encrypted. ``keep`` are descriptors that each step inherits: what they hold stays
    held while a step lives.
    """

    state: Path
    volumes: Mapping[str, Path]
    keys: Mapping[str, str] = field(default_factory=dict)
    passphrases: Mapping[str, bytes] = field(default_factory=dict)
    keep: tuple[int, ...] = ()


class Engine(Protocol):
    """Runs plans."""

    def run(self, plan: Plan, reporter: Reporter) -> PlanOutcome:
        """Run every step whose time comes; `reporter` gets each line that a step emits, when it does.

        Raises:
            CannotLook: a step could not be started.
            Interrupted: the person stopped the plan.
        """


@dataclass(frozen=True, slots=True)
class EngineType:
    """An engine by its name on the command line.

    ``builder`` is the id of the SLSA builder that it is, ``level`` the SLSA build level that it claims at
    most.
    """

    id: str
    builder: str
    level: str
    open: Callable[[Session], Engine]


def engines() -> dict[str, EngineType]:
    """Every engine by its name."""
    return discover.load(__package__, "ENGINE", EngineType, besides=frozenset({"engine"}))


def engine_named(name: str) -> EngineType:
    """The engine that ``--engine`` names.

    Raises:
        UsageError: there is no such engine.
    """
    known = engines()
    if name not in known:
        raise UsageError(f"there is no engine {name}", help="use one of " + ", ".join(known))
    return known[name]


def is_due(step: Step, outcomes: Mapping[str, Outcome]) -> bool:
    """Whether `step` runs, now that all that it needs have an outcome; otherwise it is skipped."""
    if step.when is When.PASSED:
        return all(outcomes[name].passed for name in step.needs)
    return all(each.name in outcomes[each.step].facts for each in step.references)


def filled(step: Step, outcomes: Mapping[str, Outcome], session: Session) -> list[str]:
    """The step's arguments as words: each reference as what it stands for on this machine.

    Raises:
        KeyError: a fact that the step did not hand on, or a volume that this machine does not have: a bug.
    """

    def word(argument: str | At | Fact | File | Status) -> str:
        match argument:
            case At(volume, subpath):
                return str(session.volumes[volume] / subpath) if subpath else str(session.volumes[volume])
            case Fact(name, fact):
                return str(outcomes[name].facts[fact])
            case File(name, file):
                return str(session.state / name / file)
            case Status(name):
                return str(outcomes[name].state)
        return argument

    return [word(argument) for argument in step.arguments]


def state_of(code: int, result: Mapping[str, Any]) -> State:
    """How a step ended, by its exit code and its result. Only exit code 0 with the verdict ``passed`` passes.

    Raises:
        Interrupted: the person stopped it.
    """
    if code == Interrupted.exit_code:
        raise interrupted(result)
    if code == 0:
        return State.PASSED if result.get("verdict") == "passed" else State.FAILED
    return State.REFUSED if code == 1 else State.FAILED


def interrupted(result: Mapping[str, Any]) -> Interrupted:
    """The error that an interrupted step wrote, where it had time for one."""
    match result:
        case {"error": {"problems": [{"what": str(what), "help": str(help)}, *_]}}:
            return Interrupted(what, help=help)
    return Interrupted("interrupted", help="nothing half-written is left; run it again")
