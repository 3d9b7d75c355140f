"""Which backend works here: found by using it, not by looking for it.

An installed program proves nothing: distributions ship ``unshare`` and deny user namespaces.
So each backend runs a command that does nothing under all its isolation controls. Where none can, the answer
is a refusal with the kernel's reason and how to fix it, never a run without isolation controls.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.errors import CannotLook, Interrupted, UsageError
from tuneguard.sandbox.bubblewrap import Bubblewrap
from tuneguard.sandbox.canaries import CannotPlaceCanaries
from tuneguard.sandbox.controls import Confinement
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.unshare import Unshare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.sandbox.controls import Backend

PROBE_SECONDS = 30.0
"""The time that a backend has to do nothing; a loaded machine takes a second."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A setting of a kernel that is known to forbid sandboxes, and the way past it."""

    setting: str
    forbids: str
    reason: str
    mend: str


OBSTACLES = (
    Obstacle(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor denies user namespaces to programs without a profile, as Ubuntu does since 24.04",
        "install bubblewrap and give it the AppArmor profile in docs/sandbox.md; "
        "or: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    Obstacle(
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "this kernel denies user namespaces to ordinary users",
        "sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    Obstacle(
        "/proc/sys/user/max_user_namespaces",
        "0",
        "this kernel allows no user namespaces at all",
        "sudo sysctl user.max_user_namespaces=15000",
    ),
)

CONTAINERS = ("/.dockerenv", "/run/.containerenv")
IN_CONTAINER = Obstacle(
    "",
    "",
    "a container engine's system call filter usually denies namespaces to what runs inside",
    "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined, or use a machine",
)
ELSE = Obstacle(
    "",
    "",
    "",
    "allow unprivileged user namespaces on this machine, on Linux 5.12 or newer, or install bubblewrap; "
    "see docs/sandbox.md",
)


def backends() -> tuple[Backend, ...]:
    """All backends, in the order in which they are tried.

    An ordinary user's best chance is bubblewrap, which distributions allow what they deny to others.
    Root may do all that ``unshare`` needs, and with it, unlike with bubblewrap, the command runs
    under a uid that owns nothing.
    """
    return (Unshare(), Bubblewrap()) if os.geteuid() == 0 else (Bubblewrap(), Unshare())


def find_backend(candidates: Sequence[Backend] | None = None) -> Backend:
    """The first backend that really runs a command under its isolation controls.

    Raises:
        UsageError: none does; the message has each one's reason, the help how to fix it.
    """
    reasons = []
    for backend in backends() if candidates is None else candidates:
        reason = probe(backend)
        if reason is None:
            return backend
        reasons.append(reason)
    obstacle = find_obstacle()
    because = [obstacle.reason] if obstacle.reason else []
    raise UsageError(
        f"no sandbox can be built here: {'; '.join([*reasons, *because])}",
        help=obstacle.mend,
    )


def probe(backend: Backend) -> str | None:
    """Do nothing under all isolation controls; the reason why that did not work, or None.

    Raises:
        Interrupted: the person stopped it, which proves nothing about the backend.
        CannotPlaceCanaries: there is no space for temporary files.
    """
    nothing = Confinement(
        command=(sys.executable, "-I", "-S", "-c", ""),
        binds=(),
        workdir="/tmp",  # noqa: S108 (the sandbox's own)
        environment=clean_environment(),
        deadline=PROBE_SECONDS,
        grace=0,
    )
    try:
        outcome = backend.run(nothing)
    except CannotPlaceCanaries:
        raise
    except (UsageError, CannotLook) as error:
        return str(error)
    if outcome.succeeded:
        return None
    if outcome.stopped == "interrupt":
        raise Interrupted("interrupted while trying the sandbox")
    ended = outcome.stopped or outcome.signal or outcome.code
    return f"{backend.name} needed {outcome.seconds:.0f} s to do nothing and ended with {ended}"


def find_obstacle(root: Path = Path("/")) -> Obstacle:
    """The setting of this machine that most likely stands in the way. `root` is for looking elsewhere."""
    for obstacle in OBSTACLES:
        try:
            value = (root / obstacle.setting.lstrip("/")).read_text("ascii").strip()
        except OSError:
            continue
        if value == obstacle.forbids:
            return obstacle
    if any((root / name.lstrip("/")).exists() for name in CONTAINERS):
        return IN_CONTAINER
    return ELSE
