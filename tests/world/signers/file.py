"""The place where the file signer's keys live: a folder."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tuneguard.signing.key import KeyType, make_pair
from world.keys import cosign_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = b"correct horse"


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    uris = {}
    for type in KeyType:
        make_pair(folder / f"{type}.key", type=type, passphrase=PASSPHRASE)
        uris[f"encrypted {type}"] = str(folder / f"{type}.key")
        inside = load_pem_private_key((folder / f"{type}.key").read_bytes(), PASSPHRASE).private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        )
        (folder / f"cosign-{type}.key").write_bytes(cosign_key(inside, PASSPHRASE))
        uris[f"cosign's {type}"] = str(folder / f"cosign-{type}.key")
    make_pair(folder / "plain.key", passphrase=None)
    uris["unencrypted, by file URI"] = f"file://{folder}/plain.key"
    yield uris


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return str(folder / "nobody.key")
