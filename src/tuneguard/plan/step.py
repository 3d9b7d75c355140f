"""A plan: the steps of a run or a promotion as pure data, which every engine can run.

A step is a ``tuneguard`` command that works alone. It names what it needs by where that lies (`At`), by an
earlier step's fact (`Fact`), file (`File`) or status (`Status`); an engine fills these in: paths and values
on one machine, volume mounts and parameters on a cluster. No text is searched for references.

    >>> from tuneguard.plan.step import At, Fact, Mount, Plan, Step
    >>> copy = Step("copy", "copy", (At("source"),), mounts=(Mount("source"),), facts=("tree",))
    >>> verify = Step("verify", "verify", ("{copy.tree}", "--tree", Fact("copy", "tree")), needs=("copy",))
    >>> [step.name for step in Plan((copy, verify)).steps]
    ['copy', 'verify']
    >>> Plan((verify,))
    Traceback (most recent call last):
    ...
    ValueError: the step verify needs copy, which is no step before it
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class When(StrEnum):
    """When a step runs, once all that it needs have ended."""

    PASSED = "passed"
    """All of them passed."""
    ALWAYS = "always"
    """However they ended, where every fact that the step refers to exists."""


class Service(StrEnum):
    """What a step reaches over the network."""

    REGISTRY = "registry"
    STORAGE = "storage"
    SIGNING = "signing"
    TIME = "time"
    LEDGER = "ledger"
    API = "api"


@dataclass(frozen=True, slots=True)
class At:
    """A path in a volume that the step mounts."""

    volume: str
    subpath: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """The value of a fact that an earlier step produced."""

    step: str
    name: str


@dataclass(frozen=True, slots=True)
class File:
    """A file in the state of a step: its own to write, or an earlier one's to read."""

    step: str
    name: str


@dataclass(frozen=True, slots=True)
class Status:
    """How an earlier step ended: ``passed``, ``refused``, ``failed`` or ``skipped``."""

    step: str


Argument = str | At | Fact | File | Status
Arguments = tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume, or what lies at `subpath` in it, that a step is given to read or to write."""

    volume: str
    subpath: str = ""
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class Resources:
    """What a step needs of a machine: processor cores, bytes of memory, GPUs. None means no request."""

    cpu: float | None = None
    memory: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a plan.

    ``name`` is unique in the plan. ``command`` is the ``tuneguard`` command, ``arguments`` what follows it.
    ``needs`` are the steps that have to end before; ``when`` is how. ``facts`` are the facts that the step
    writes to the file that ``--facts-file`` names. ``role`` is whose key it holds; None means no key.
    ``network`` is what it may reach; empty means no network. ``sandbox``: the step builds a sandbox
    of its own, which takes rights that an engine takes away from other steps. ``timeout`` are the seconds
    after which the engine ends it, None for no bound. ``restartable``: an engine may start it again
    after any end. ``image`` and ``resources`` are for engines that place steps.
    """

    name: str
    command: str
    arguments: Arguments = ()
    mounts: tuple[Mount, ...] = ()
    facts: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    when: When = When.PASSED
    role: str | None = None
    image: str | None = None
    resources: Resources = Resources()
    network: frozenset[Service] = frozenset()
    sandbox: bool = False
    timeout: float | None = None
    restartable: bool = True

    @property
    def references(self) -> Iterator[Fact]:
        """The facts of other steps among its arguments."""
        return (each for each in self.arguments if isinstance(each, Fact))


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in an order in which they can run.

    Raises:
        ValueError: two steps have one name; a step needs one that is not before it; an argument refers to a
            step that is not needed, to a fact that the step does not produce, or to a volume that is not
            mounted. Each is a bug of the plan.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        before: dict[str, Step] = {}
        for step in self.steps:
            if step.name in before:
                raise ValueError(f"two steps are called {step.name}")
            for name in step.needs:
                if name not in before:
                    raise ValueError(f"the step {step.name} needs {name}, which is no step before it")
            self._check(step, before)
            before[step.name] = step

    def _check(self, step: Step, before: dict[str, Step]) -> None:
        known = self.needed(step, before)
        mounted = {mount.volume for mount in step.mounts}
        for argument in step.arguments:
            if isinstance(argument, At):
                if argument.volume not in mounted:
                    raise ValueError(f"the step {step.name} does not mount {argument.volume}")
            elif isinstance(argument, str) or (isinstance(argument, File) and argument.step == step.name):
                continue
            elif argument.step not in known:
                raise ValueError(f"the step {step.name} refers to {argument.step}, which it does not need")
            elif isinstance(argument, Fact) and argument.name not in before[argument.step].facts:
                raise ValueError(f"the step {argument.step} has no fact {argument.name}")

    @staticmethod
    def needed(step: Step, steps: dict[str, Step]) -> frozenset[str]:
        """The names of all steps that `step` needs, and of those that these need."""
        found: set[str] = set()
        open_ = list(step.needs)
        while open_:
            name = open_.pop()
            if name not in found:
                found.add(name)
                open_ += steps[name].needs
        return frozenset(found)

    @property
    def roles(self) -> frozenset[str]:
        """Whose keys its steps hold."""
        return frozenset(step.role for step in self.steps if step.role is not None)
