"""Make keys: one pair for a role, or all that a new project needs."""

from __future__ import annotations

import os
from pathlib import Path

from tuneguard import files
from tuneguard.display import shown
from tuneguard.errors import UsageError
from tuneguard.facts import KeyFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.key_pair import pair
from tuneguard.project.project import Project
from tuneguard.signing import key
from tuneguard.signing.signer import open_signer


def keygen(
    path: str | Path, *, type: str = "p256", passphrase: bytes | None, project: Project | None = None
) -> Result[KeyFacts]:
    """Write a private key (mode 0600, encrypted unless `passphrase` is None) and its public key.

    Raises:
        UsageError: one of the two names is taken, the passphrase is empty, or `type` is not one.
        CannotLook: one of the two files cannot be written.
    """
    path, project = Path(path), project or Project()
    if type not in set(key.KeyType):
        raise UsageError(
            f"{files.printable(type)} is not a type of key", help="one of " + ", ".join(key.KeyType)
        )
    public = pair(path, type=key.KeyType(type), passphrase=passphrase)
    written = (path, path.with_suffix(".pub"))
    project.reporter.emit(
        "Made", f"{type} key  {shown(path)}", f"public: {shown(written[1])}", f"id: {public.keyid}"
    )
    return Result(
        command="keygen",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), public.keyid),),
        outputs=tuple(map(shown, written)),
        facts=KeyFacts(type=type, keyid=public.keyid),
        notes=() if passphrase else ("the key is not encrypted: who reads the file can sign",),
    )


def public_key(path: str | Path, *, project: Project | None = None) -> Result[KeyFacts]:
    """Write the public half of the key that ``--key`` names to the new file `path`.

    Raises:
        UsageError: the name is taken, no key is named, or the key cannot be used.
        CannotLook: the key cannot be reached.
    """
    path, project = Path(path), project or Project()
    uri = project.key_uri("")
    if uri is None:
        raise UsageError("no key is named", help="name it: --key URI")
    if os.path.lexists(path):
        raise UsageError("is there already", where=shown(path), help="choose another name")
    public = open_signer(uri, project.passphrase).public_key
    files.write_new(path, public.pem)
    project.reporter.emit("Wrote", f"{public.type} public key  {shown(path)}", f"id: {public.keyid}")
    return Result(
        command="public-key",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), public.keyid),),
        outputs=(shown(path),),
        facts=KeyFacts(type=str(public.type), keyid=public.keyid),
    )
