"""The backend that every Linux has the parts of: ``unshare`` of util-linux, and our inner stage.

``unshare`` enters new user, mount, pid, network, IPC, UTS and cgroup namespaces and dies with its
child; the inner stage, first process of the pid namespace, builds the root in there
(`inside.root`). Inside, the uid is an ordinary one, mapped to that of whoever runs this: what is
written to a writable bind belongs to them. Needs Linux 5.12.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.sandbox.launch import ENVIRONMENT, Launch
from tuneguard.sandbox.supervise import supervise

if TYPE_CHECKING:
    from tuneguard.sandbox.layout import Place
    from tuneguard.sandbox.walls import Confinement, Outcome

NAMESPACES = ("--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup")


class Unshare:
    """Walls by util-linux's ``unshare``."""

    name = "unshare"

    def run(self, confinement: Confinement) -> Outcome:
        """See `walls.Backend`."""
        return supervise(self.name, confinement, _launch)


def _launch(places: tuple[Place, ...], boot: tuple[str, ...]) -> Launch:
    del places  # the inner stage builds them
    program = shutil.which("unshare", path=ENVIRONMENT["PATH"])
    if program is None:
        raise UsageError("unshare is not installed", help="install util-linux")
    return Launch((program, *NAMESPACES, "--fork", "--kill-child", "--", *boot), builds_root=True)
