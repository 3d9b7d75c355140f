"""Keys made on the spot: real signers that never touch a disk."""

from __future__ import annotations

import base64
import hashlib
import json
import os

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from nacl.secret import SecretBox

from tuneguard.signing.key import KeyType
from tuneguard.signing.signers.file import FileSigner


def signer(type: KeyType = KeyType.P256) -> FileSigner:
    """A signer with a new key of `type`."""
    match type:
        case KeyType.P256:
            return FileSigner(ec.generate_private_key(ec.SECP256R1()))
        case KeyType.P384:
            return FileSigner(ec.generate_private_key(ec.SECP384R1()))
        case KeyType.ED25519:
            return FileSigner(ed25519.Ed25519PrivateKey.generate())


def no_passphrase(name: str) -> bytes:
    """A passphrase source for keys that must not need one."""
    raise AssertionError(f"asked for the passphrase of {name}")


_CHEAP = (1024, 8, 1)


def cosign_key(
    inside: bytes,
    passphrase: bytes,
    *,
    label: str = "ENCRYPTED SIGSTORE PRIVATE KEY",
    work: tuple[object, object, object] = _CHEAP,
    **changed: object,
) -> bytes:
    """A key file in cosign's form around `inside`, cheap to open; `changed` replaces whole members."""
    salt, nonce = os.urandom(32), os.urandom(24)
    n, r, p = work
    document = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": r, "p": p}, "salt": _text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _text(nonce)},
        "ciphertext": "",
    }
    if work == _CHEAP:  # any other is not to be computed, neither here nor by whoever reads it
        key = hashlib.scrypt(passphrase, salt=salt, n=1024, r=8, p=1, dklen=32)
        document["ciphertext"] = _text(SecretBox(key).encrypt(inside, nonce).ciphertext)
    text = _text(json.dumps({**document, **changed}).encode())
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
