"""How a backend starts the inner stage, and the values that the stage receives.

The inner stage (`inside.stage`) runs under the same interpreter, isolated, with nothing of ours in
its environment, its arguments or its memory but its own modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tuneguard
from tuneguard.errors import UsageError
from tuneguard.sandbox import layout

if TYPE_CHECKING:
    from tuneguard.sandbox.controls import Confinement

BOOT = "import sys; sys.path.append(sys.argv[1]); from tuneguard.sandbox.inside.stage import main; main()"
"""How the inner stage starts: our package, and the standard library before it."""

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
"""All that the launcher and the inner stage get: no variable of ours exists in the sandbox."""


class LaunchFailed(UsageError):
    """The launcher ended before the inner stage sent a message: this machine does not allow the backend."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a backend executes to start the inner stage, and what is left for that to do.

    ``builds_root``: the inner stage is to build the root and to take an ordinary uid;
    otherwise the launcher has done both. ``drops``: it has this machine's root's powers to
    do so, and is to run the command under a uid that owns nothing.
    """

    argv: tuple[str, ...]
    builds_root: bool
    drops: bool = False


Launcher = Callable[[tuple[layout.Place, ...], tuple[str, ...]], Launch]
"""From the places of the root and the inner stage's command to what is executed."""


def boot(folder: str, control: int, output: int) -> tuple[str, ...]:
    """The inner stage's command, where our package lies in `folder`."""
    isolated = (sys.executable, "-I", "-S", "-B", "-X", "utf8")
    return (*isolated, "-c", BOOT, folder, str(control), str(output))


def package_folder() -> str:
    """The folder that holds the ``tuneguard`` package."""
    return os.path.dirname(os.path.abspath(next(iter(tuneguard.__path__))))


def plan_of(
    confinement: Confinement,
    places: tuple[layout.Place, ...],
    outside: dict[str, Any],
    rlimits: list[tuple[str, int]],
    launch: Launch,
    process: int,
) -> dict[str, Any]:
    """What the inner stage, whose process id out here is `process`, receives: values only, as JSON."""
    environment = dict(confinement.environment)
    packages = [os.path.abspath(path) for path in confinement.packages]
    if packages:
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join([*packages, *([inherited] if inherited else [])])
    if confinement.gpus is not None:
        environment.update(confinement.gpus.edits.environment)
    shown = [place for place in places if place.kind == "bind" and not place.device]
    return {
        "root": [_operation(place) for place in places] if launch.builds_root else None,
        "nest": launch.builds_root,
        "drop": layout.DROPPED + process if launch.drops else None,
        "given": [os.path.realpath(bind.source) for bind in confinement.binds],
        "uid": layout.UID,
        "host": layout.HOST,
        "top": layout.top(places),
        "readonly": [place.target for place in shown if not place.writable],
        "writable": [place.target for place in shown if place.writable],
        "devices": sorted(
            place.target for place in places if place.device and place.target.startswith("/dev/")
        ),
        "rlimits": rlimits,
        "outside": outside,
        "command": list(confinement.command),
        "environment": environment,
        "workdir": confinement.workdir,
    }


def _operation(place: layout.Place) -> dict[str, Any]:
    names = ("kind", "target", "source", "writable", "device", "own", "size", "mode")
    return {name: getattr(place, name) for name in names} | {"identity": list(place.identity)}
