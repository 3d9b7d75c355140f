"""What a machine offers to runs and promotions, and how to fix what it lacks.

A check is one function that returns a `Check` or raises an error of ours, named in `CHECKS`. It asks nobody,
reaches no network and leaves nothing behind.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import snapshot
from tuneguard.display import counted, rfc3339, shown
from tuneguard.training import controls
from tuneguard.trust.template import DEVELOPMENT_ROLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneguard.project.project import Project
    from tuneguard.sandbox.controls import Control


class State(StrEnum):
    """How a check ended. Only `missing` keeps a run or a promotion from working."""

    OK = "ok"
    WEAKENED = "weakened"
    MISSING = "missing"
    NOT_ASKED = "not-asked-for"


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found, and what to do about it."""

    state: State
    found: str
    mend: str | None = None


def sandbox(project: Project) -> Check:
    """A sandbox in which training code runs is built, by running a command that does nothing in it."""
    from tuneguard.sandbox.controls import MEMORY, PROCESSES
    from tuneguard.sandbox.find import backends, find_backend, probe

    del project
    reasons = {backend.name: probe(backend) for backend in backends()}
    works = [name for name, reason in reasons.items() if reason is None]
    if not works:
        find_backend()  # raises, with the kernel's reason and how to fix it
    broken = [f"{name} does not work: {reason}" for name, reason in reasons.items() if reason is not None]
    found = [f"works: {', '.join(works)}", *broken]
    weak = [
        f"{control.name}: {control.how}" for control in _unproven() if control.name not in (MEMORY, PROCESSES)
    ]
    if weak:
        found += weak
        return Check(State.WEAKENED, "; ".join(found), "run as root, or see docs/sandbox.md")
    return Check(State.OK, "; ".join(found))


def steps(project: Project) -> Check:
    """The steps of a plan give up the network, where they need none, and writing to what is not theirs."""
    del project
    asked = "import json; from tuneguard.sandbox.confine import confine; "
    asked += "print(json.dumps(confine(network=False, writable=())))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", asked], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    failed = (
        json.loads(done.stdout) if done.returncode == 0 else {"network and writes": "it could not be tried"}
    )
    if failed:
        found = "; ".join(f"{what} cannot be given up: {why}" for what, why in failed.items())
        return Check(State.WEAKENED, found, "a kernel with Landlock (5.13 or newer) and seccomp")
    return Check(State.OK, "give up the network and writing where they need neither")


def cgroups(project: Project) -> Check:
    """Memory and processes of a run are bounded by control groups; else each process is, by rlimits."""
    from tuneguard.sandbox.controls import MEMORY, PROCESSES

    del project
    weak = [
        f"{control.name}: {control.how}" for control in _unproven() if control.name in (MEMORY, PROCESSES)
    ]
    if not weak:
        return Check(State.OK, "memory and processes are bounded by control groups")
    return Check(
        State.WEAKENED, "; ".join(weak), "start tuneguard in a control group that this user may change"
    )


def gpus(project: Project) -> Check:
    """The NVIDIA GPUs that a run can be shown, by a CDI specification or by the driver's device nodes."""
    from tuneguard.sandbox.gpus import offered
    from tuneguard.sandbox.holders import why_not_alone

    del project
    offer = offered()
    if not offer.gpus and offer.driver is None and not offer.specifications:
        return Check(State.NOT_ASKED, "none; training and evaluation use the processor")
    by = ", ".join(offer.specifications) or offer.by
    found = [f"{gpu.model or 'GPU'} {gpu.uuid}{' (a part)' if gpu.part else ''}" for gpu in offer.gpus]
    found.append(f"by {by}, driver {offer.driver or 'unknown'}")
    if not offer.gpus or offer.faults:
        return Check(State.WEAKENED, "; ".join(found), "; ".join(offer.faults) or "nvidia-ctk cdi generate")
    taken = [(gpu.uuid, why) for gpu in offer.gpus if (why := why_not_alone(gpu.own)) is not None]
    found += [f"{uuid}: {why}" for uuid, why in taken]
    return Check(State.OK, "; ".join(found))


def reflink(project: Project) -> Check:
    """Snapshots and copies share their blocks with the original, where the file system can do that."""
    folder = project.state if project.in_project and project.state.is_dir() else Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
        source.write(b"x" * 4096)
        source.flush()
        if not snapshot.share(source.fileno(), target.fileno()):
            return Check(
                State.WEAKENED,
                f"the file system of {shown(folder)} shares no blocks; snapshots are whole copies",
                "put the project on XFS or Btrfs",
            )
    return Check(State.OK, f"{shown(folder)} clones files")


def keys(project: Project) -> Check:
    """The roles' keys that are files can be read. None is unlocked; keys elsewhere are named, not asked."""
    from tuneguard.signing.signer import PLAIN_PATH, for_people, scheme_of

    if not project.in_project:
        return _NO_PROJECT
    named = {role: uri for role in DEVELOPMENT_ROLES if (uri := project.key_uri(role)) is not None}
    for uri in named.values():
        if scheme_of(uri) in (PLAIN_PATH, "file"):
            files.read_named(uri.removeprefix("file:"), limits.KEY_BYTES)
    if not named:
        return Check(State.MISSING, "no role has a key", "name one for each role: keys in tuneguard.yaml")
    return Check(State.OK, ", ".join(f"{role} {for_people(uri)}" for role, uri in named.items()))


def root(project: Project) -> Check:
    """The root's public key, by which the policy is believed, is on this machine."""
    from tuneguard.trust.root import find_root

    found = find_root(project.root_option)
    return Check(State.OK, ", ".join(f"key {key.keyid[:12]}" for key in found))


def policy(project: Project) -> Check:
    """The policy is signed by the root and in force."""
    if not project.in_project and project.policy_option is None and not Path("policy.yaml").exists():
        return _NO_PROJECT
    read = project.policy
    left = (read.expires - project.now).days
    found = f"expires {rfc3339(read.expires)}, in {counted(left, 'day')}"
    if read.development:
        return Check(State.WEAKENED, f"development policy: not for production; {found}", "see docs/policy.md")
    return Check(State.OK, found)


def ledger(project: Project) -> Check:
    """The project's ledger can be read. Whether it is unchanged is what ``ledger verify`` states."""
    from tuneguard.ledger.store import SqliteStore

    file = project.ledger_file
    if file is None:
        return _NO_PROJECT
    if not os.path.lexists(file):
        return Check(State.OK, "none yet: the first command that records something makes it")
    return Check(State.OK, f"{SqliteStore(file).head().size:,} entries")


def extras(project: Project) -> Check:
    """The optional dependencies: places where keys live, and what evaluates a model."""
    del project
    needs: dict[str, list[str]] = {}
    for line in metadata.requires("tuneguard") or ():
        found = re.match(r"([\w.-]+).*\bextra *== *['\"]([\w-]+)['\"]", line)
        if found:
            needs.setdefault(found[2], []).append(found[1])
    absent = [extra for extra, names in sorted(needs.items()) if not all(map(_is_installed, names))]
    present = [extra for extra in sorted(needs) if extra not in absent]
    said = "; ".join(
        f"{word} {', '.join(names)}" for word, names in (("installed:", present), ("not:", absent)) if names
    )
    if not absent:
        return Check(State.OK, said)
    state = State.WEAKENED if "evaluation" in absent else State.NOT_ASKED
    return Check(state, said, f"pip install 'tuneguard[{','.join(absent)}]'")


CHECKS: dict[str, Callable[[Project], Check]] = {
    check.__name__: check
    for check in (sandbox, steps, cgroups, gpus, reflink, keys, root, policy, ledger, extras)
}
"""Every check by its name, in the order of the table."""

RULES = {f"M-{name.upper()}": inspect.getdoc(check) or "" for name, check in CHECKS.items()}
"""The findings that `doctor` makes."""

_NO_PROJECT = Check(
    State.NOT_ASKED, "no project here", "go to the project's folder, or name it: --project FILE"
)


def _unproven() -> list[Control]:
    """The isolation controls that a command which does nothing did not have proven."""
    from tuneguard.sandbox.find import find_backend
    from tuneguard.sandbox.state import ControlState

    found = controls.tried(find_backend())
    return [control for control in found if control.state is not ControlState.PROVEN]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
