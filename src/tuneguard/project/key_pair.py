"""A new pair of keys in two files, the private one and the public one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.display import shown
from tuneguard.errors import UsageError
from tuneguard.signing import key
from tuneguard.signing.signer import needs_passphrase, open_signer

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.signing.key import PublicKey


def pair(path: Path, *, type: key.KeyType, passphrase: bytes | None) -> PublicKey:
    """Make a pair of keys, or finish one: who was killed after the private key left it alone.

    Raises:
        UsageError: one of the two names is taken by anything else.
    """
    public_path = key.public_path_of(path)
    if not path.is_file() or os.path.lexists(public_path):
        return key.make_pair(path, type=type, passphrase=passphrase)
    uri = os.path.abspath(path)
    public = None
    if needs_passphrase(uri) is (passphrase is not None):
        public = open_signer(uri, lambda _: passphrase or b"").public_key
    if public is None or public.type is not type:
        raise UsageError(
            "is there already, without its public half",
            where=shown(path),
            help="choose another name; or, if a keygen that was killed left it, remove it",
        )
    files.write_new(public_path, public.pem)
    return public
