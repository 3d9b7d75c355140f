"""The backend for machines that trust bubblewrap with user namespaces and not everybody.

Ubuntu 24.04 and others deny unprivileged user namespaces to programs without an AppArmor profile.
``bwrap`` builds namespaces and root; the inner stage runs as its first process and does the rest.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.sandbox.launch import ENVIRONMENT, Launch
from tuneguard.sandbox.layout import HOST, UID
from tuneguard.sandbox.supervise import supervise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.sandbox.controls import Confinement, Outcome
    from tuneguard.sandbox.layout import Place

NAMESPACES = (
    *("--unshare-user", "--uid", str(UID), "--gid", str(UID)),
    *(
        "--unshare-pid",
        "--as-pid-1",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ),
    *("--hostname", HOST),
    *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
)


class Bubblewrap:
    """Isolation controls by ``bwrap``."""

    name = "bubblewrap"

    def run(self, confinement: Confinement) -> Outcome:
        """See `controls.Backend`."""
        return supervise(self.name, confinement, _launch, own=True)


def _launch(places: tuple[Place, ...], boot: tuple[str, ...]) -> Launch:
    program = shutil.which("bwrap", path=ENVIRONMENT["PATH"])
    if program is None:
        raise UsageError("bubblewrap is not installed", help="install the package bubblewrap")
    arguments = [argument for place in places for argument in _arguments(place)]
    ending = ("--remount-ro", "/proc", "--remount-ro", "/", "--chdir", "/", "--")
    return Launch((program, *NAMESPACES, *arguments, *ending, *boot), builds_root=False)


def _arguments(place: Place) -> Iterator[str]:
    match place.kind:
        case "bind":
            option = "--dev-bind" if place.device else "--bind" if place.writable else "--ro-bind"
            yield from (option, place.source, place.target)
        case "tmpfs":
            if place.size is not None:
                yield from ("--size", str(place.size))
            yield from ("--perms", f"{place.mode:04o}", "--tmpfs", place.target)
        case "link":
            yield from ("--symlink", place.source, place.target)
        case "proc":
            yield from ("--proc", place.target)
