"""The backend that every Linux has the parts of: ``unshare`` of util-linux, and our inner stage.

``unshare`` enters new mount, pid, network, IPC, UTS and cgroup namespaces and dies with its child;
the inner stage, first process of the pid namespace, builds the root in there (`inside.root`).

An ordinary user enters a user namespace first; inside, the command has an ordinary uid that is
mapped to theirs, so what is written to a writable bind belongs to them. Root needs no user
namespace: the command runs under a uid that owns nothing, and what it is given is mounted with its
owner mapped to that uid. Needs Linux 5.12.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.sandbox.launch import ENVIRONMENT, Launch
from tuneguard.sandbox.supervise import supervise

if TYPE_CHECKING:
    from tuneguard.sandbox.controls import Confinement, Outcome
    from tuneguard.sandbox.layout import Place

NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child")
AS_USER = ("--user", "--map-root-user")
CAP_SYS_ADMIN = 1 << 21


class Unshare:
    """Isolation controls by util-linux's ``unshare``."""

    name = "unshare"

    def run(self, confinement: Confinement) -> Outcome:
        """See `controls.Backend`."""
        return supervise(self.name, confinement, _launch)


def _launch(places: tuple[Place, ...], boot: tuple[str, ...]) -> Launch:
    del places  # the inner stage builds them
    program = shutil.which("unshare", path=ENVIRONMENT["PATH"])
    if program is None:
        raise UsageError("unshare is not installed", help="install util-linux")
    drops = _is_privileged()
    user = () if drops else AS_USER
    return Launch((program, *user, *NAMESPACES, "--", *boot), builds_root=True, drops=drops)


def _is_privileged() -> bool:
    """Whether we may make namespaces as we are. Root of a container usually may not."""
    status = Path("/proc/self/status").read_text("ascii", "replace")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return os.geteuid() == 0 and found is not None and bool(int(found[1], 16) & CAP_SYS_ADMIN)
