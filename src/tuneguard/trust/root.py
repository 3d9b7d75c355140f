"""Where belief begins: the root's public key and the policy, and where on this machine they are.

The root is named on the command line, by the environment, by the machine or by the person's own
configuration, in this order, and nowhere else: never by the project, a tree, evidence or a registry
(TRUST.md rule 1). The first place that exists is the one; it is never skipped because it is wrong.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import limits, paste
from tuneguard.errors import UsageError, mendable
from tuneguard.files import cannot_look, printable, read_named
from tuneguard.signing.key import PublicKey
from tuneguard.trust.policy import Policy, load_signed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

SYSTEM_ROOT = Path("/etc/tuneguard/root.pub")
"""The machine's root, which its administrator put there."""
POLICY = "policy.yaml"
BUNDLE_SUFFIX = ".sigstore.json"
"""What a policy's signature is called: the policy's name and this."""


def home(env: Mapping[str, str] | None = None) -> Path:
    """The person's own configuration: ``$TUNEGUARD_HOME``, by default ``~/.config/tuneguard``.

    Raises:
        UsageError: the home folder is not known.
    """
    given = (os.environ if env is None else env).get("TUNEGUARD_HOME")
    if given:
        return Path(given)
    try:
        return Path.home() / ".config" / "tuneguard"
    except RuntimeError as error:
        raise UsageError("this user has no home folder", help="set TUNEGUARD_HOME to a folder") from error


def find_root(
    option: Path | None = None,
    env: Mapping[str, str] | None = None,
    *,
    system: Path = SYSTEM_ROOT,
) -> tuple[PublicKey, ...]:
    """The public keys of the root: those of ``--root``, ``$TUNEGUARD_ROOT``, the machine, or the home.

    Raises:
        UsageError: there is none, or the one that was named is missing or not a key.
        Refused: any user may write the file.
        CannotLook: it cannot be read.
    """
    env = os.environ if env is None else env
    named = option or (Path(env["TUNEGUARD_ROOT"]) if env.get("TUNEGUARD_ROOT") else None)
    if named is not None:
        return _read_root(named)
    places = (system, home(env) / "root.pub")
    for place in places:
        if _is_there(place):
            return _read_root(place)
    raise UsageError(
        f"no root key: neither {' nor '.join(printable(str(place)) for place in places)} exists",
        help="bring root.pub here by hand, or name it with --root or TUNEGUARD_ROOT; "
        "`tuneguard init` makes one for a new project",
    )


def _is_there(path: Path) -> bool:
    """Whether a name exists. An unknown answer is not "no": the next root might be another's."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise cannot_look(error, path) from error
    return True


@mendable()
def _read_root(path: Path) -> tuple[PublicKey, ...]:
    data = read_named(path, limits.KEY_BYTES, guarded="the root's key")
    return (PublicKey.from_pem(data, printable(str(path))),)


def find_policy(
    option: Path | None = None, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Path:
    """The policy's file: ``--policy``, ``$TUNEGUARD_POLICY``, or ``policy.yaml`` in the current folder.

    Raises:
        UsageError: there is none.
    """
    given = (os.environ if env is None else env).get("TUNEGUARD_POLICY")
    named = option or (Path(given) if given else None)
    path = named or (cwd or Path()) / POLICY
    if _is_there(path):
        return path
    raise UsageError(
        "no policy" if named is None else "no such policy",
        where=printable(str(path)),
        help="name it with --policy or TUNEGUARD_POLICY, or go to the project's folder",
    )


def load_policy(path: Path, roots: tuple[PublicKey, ...], *, now: datetime, loading: bool = False) -> Policy:
    """The policy in a file, by the bundle beside it; each of the two is read once.

    Its grace counts for `loading` alone.

    Raises:
        UsageError: one of the two files is missing.
        Refused, NotUnderstood, ConfigurationError: as `trust.policy.load_signed` states.
    """
    bundle = path.with_name(path.name + BUNDLE_SUFFIX)
    if _is_there(path) and not _is_there(bundle):  # where both are missing, the policy is what is missed
        raise UsageError(
            "the policy has no signature",
            where=printable(str(bundle)),
            help=paste.after("sign it with the root's key", "policy", "sign", path)
            + paste.after("; to judge it before that", "policy", "check", path, "--unsigned"),
        )
    return load_signed(
        read_named(path, limits.RECORD_BYTES),
        read_named(bundle, limits.BUNDLE_BYTES),
        roots,
        now=now,
        file=str(path),
        loading=loading,
    )
