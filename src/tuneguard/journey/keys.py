"""Make keys: one pair for a role, or all that a new project needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Result, Subject, Verdict
from tuneguard.journey.surroundings import Surroundings, shown
from tuneguard.signing import key

if TYPE_CHECKING:
    from pathlib import Path


def keygen(
    path: Path, *, type: str = "p256", passphrase: bytes | None, here: Surroundings | None = None
) -> Result:
    """Write a private key (mode 0600, encrypted unless `passphrase` is None) and its public key.

    Raises:
        UsageError: one of the two names is taken.
    """
    here = here or Surroundings()
    public = key.make_pair(path, type=key.KeyType(type), passphrase=passphrase)
    written = (path, path.with_suffix(".pub"))
    here.reporter.say(
        "Made", f"{type} key  {shown(path)}", f"public: {shown(written[1])}", f"id: {public.keyid}"
    )
    return Result(
        command="keygen",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), public.keyid),),
        outputs=tuple(map(shown, written)),
        facts={"type": type, "keyid": public.keyid},
        notes=() if passphrase else ("the key is not encrypted: who reads the file can sign",),
    )
