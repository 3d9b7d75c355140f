"""Which controls this machine can prove, tried before anything depends on it, and where a run would write.

What can be proven depends on who runs it and on the file systems: so the trial is a run of its own, with
nothing to do, under controls around new folders in the same places. `init` writes what comes of it into the
policy; a run compares it with the policy before it begins.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tuneguard.artifact import workdir
from tuneguard.errors import Interrupted
from tuneguard.sandbox.controls import Bind, Confinement
from tuneguard.sandbox.environment import clean_environment
from tuneguard.training.inputs import INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tuneguard.attest.predicates import provenance
    from tuneguard.sandbox.controls import Backend, Control
    from tuneguard.sandbox.shown import Shown

MEMORY, PROCESSES = 1 << 30, 64
"""The limits of a trial that is made for no run."""
_NAME = ".tuneguard-trial-"


def tried(
    backend: Backend,
    places: Iterable[Path] = (),
    *,
    memory: int = MEMORY,
    processes: int = PROCESSES,
    processors: float | None = None,
    gpus: Shown | None = None,
) -> tuple[Control, ...]:
    """The controls around a command that does nothing and could write in each of `places`, which are folders.

    Raises:
        Interrupted: the person stopped it.
        CannotLook: nothing can be written in one of the places, or an isolation control does not hold.
    """
    with ExitStack() as stack:
        binds = []
        for at, place in enumerate(places):
            workdir.sweep(place.glob(f"{_NAME}*"))
            ours = place / f"{_NAME}{secrets.token_hex(6)}"
            stack.enter_context(workdir.working(ours))
            written = ours / "written"
            written.mkdir(mode=0o700)
            binds.append(Bind(written, f"{INSIDE}/{at}", writable=True))
        outcome = backend.run(
            Confinement(
                command=(sys.executable, "-I", "-S", "-c", ""),
                binds=tuple(binds),
                workdir="/",
                environment=clean_environment(),
                deadline=60,
                memory=memory,
                processes=processes,
                processors=processors,
                gpus=gpus,
            )
        )
    if outcome.stopped == "interrupt":
        raise Interrupted("interrupted while trying the sandbox", help="nothing was begun: run it again")
    return outcome.controls


def describe(control: Control | provenance.Control) -> str:
    """An isolation control that is not proven, for people."""
    return f"isolation control {control.name} is {control.state}: {control.how}"
