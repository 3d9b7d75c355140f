"""A step of the journey and what came of it; an engine runs one step, and that is all it does.

A plan is a list of steps. Every step is a ``tuneguard`` command that works alone. Steps hand on
digests and evidence, not objects: ``Reference("copy", "tree")`` among a step's arguments stands for the
value ``tree`` in the facts of the step ``copy``, which an engine on a cluster renders as a parameter. A
reference is a value of its own: no text is searched for one, whatever a folder is called.

    >>> from tuneguard.engines.step import Outcome, Reference, Step, filled
    >>> step = Step("verify", ("verify", "{copy.tree}", "--tree", Reference("copy", "tree")))
    >>> filled(step, {"copy": Outcome(0, {"facts": {"tree": "3f9c"}})})
    ('verify', '{copy.tree}', '--tree', '3f9c')
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSPHRASE_FD = "TUNEGUARD_PASSPHRASE_FD"  # noqa: S105 (the name of a variable)
"""Names the descriptor on which a step is handed its one passphrase."""
LINES_FD = "TUNEGUARD_LINES_FD"
"""Names the descriptor on which a step says its lines while it runs, each a JSON array of strings."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An argument that is known once an earlier step has run: the value `fact` that `step` handed on."""

    step: str
    fact: str


Words = tuple[str | Reference, ...]
"""Arguments of a step."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the journey.

    ``argv`` follows the program's name; ``role`` is whose key it holds, if any; ``deadline`` the seconds
    after which the engine ends it, None for no bound.
    """

    id: str
    argv: Words
    role: str | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step's process said: its exit code and the result it printed as JSON."""

    code: int
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Only exit code 0 with the verdict ``passed`` passes."""
        return self.code == 0 and self.result.get("verdict") == "passed"

    @property
    def facts(self) -> Mapping[str, Any]:
        """The values that this step hands on."""
        facts = self.result.get("facts")
        return facts if isinstance(facts, dict) else {}


Heard = Callable[[Sequence[str]], None]
"""Gets a line of a step: its verb, its text, and the lines below it."""


class Engine(Protocol):
    """Where steps run."""

    def run(self, step: Step, argv: Sequence[str], heard: Heard) -> Outcome:
        """Run one step to its end; `heard` gets each line that it says, when it says it.

        `argv` are the step's arguments, its references filled in.

        Raises:
            CannotLook: the step could not be started, or ended without a result.
            Interrupted: the person stopped it.
        """


def filled(step: Step, outcomes: Mapping[str, Outcome]) -> tuple[str, ...]:
    """The step's arguments with every reference replaced by what that step handed on.

    Raises:
        KeyError: a reference to a step that did not run or a fact that it did not give: a bug.
    """
    return tuple(
        str(outcomes[part.step].facts[part.fact]) if isinstance(part, Reference) else part
        for part in step.argv
    )
