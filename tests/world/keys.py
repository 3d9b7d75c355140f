"""Keys made on the spot: real signers that never touch a disk."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

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
