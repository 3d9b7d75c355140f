"""cosign's own encrypted private keys: JSON in PEM, scrypt (RFC 7914), and NaCl's secretbox.

Sources: go-securesystemslib ``encrypted/encrypted.go`` (the JSON), sigstore ``pkg/cryptoutils`` and cosign
``pkg/cosign/keys.go`` (the labels: ``ENCRYPTED SIGSTORE PRIVATE KEY``, until 2022 ``ENCRYPTED COSIGN PRIVATE
KEY``). Inside is PKCS#8. Unlike an encrypted PKCS#8 file, the box has a MAC: a wrong passphrase is known.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tuneguard import limits
from tuneguard.errors import NotUnderstood, TuneguardError, UsageError
from tuneguard.records import read_json
from tuneguard.signing.remote import library

_KINDS = rb"ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY"
_FRAME = re.compile(rb"\s*-----BEGIN (" + _KINDS + rb")-----([A-Za-z0-9+/=\s]*)-----END \1-----\s*")
_SALT_BYTES, _KEY_BYTES, _NONCE_BYTES = 32, 32, 24
_MEMORY_BYTES = 512 * limits.MIB
"""What opening a key may take, 128·N·r (RFC 7914, section 2): cosign's own take 64 MiB."""


def is_cosign_key(pem: bytes) -> bool:
    """Whether a file is marked as such a key."""
    return re.search(rb"-----BEGIN " + _KINDS + rb"-----", pem) is not None


def check_installed() -> None:
    """The library that opens such keys is here.

    Raises:
        UsageError: it is not; with the command that installs it.
    """
    library("nacl.secret", "cosign")


def open_key(pem: bytes, passphrase: bytes, where: str) -> bytes:
    """The PKCS#8 DER of a key. An empty passphrase is one, as cosign has it.

    Raises:
        UsageError: the passphrase does not open it.
        NotUnderstood: it is not such a key, or opening it would take for ever.
    """
    salt, (n, r, p), nonce, box = _read(pem, where)
    if n * r * p > limits.KEY_SCRYPT or 128 * n * r > _MEMORY_BYTES:
        raise NotUnderstood("is encrypted so that opening it would take for ever", where=where)
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    key = Scrypt(salt=salt, length=_KEY_BYTES, n=n, r=r, p=p).derive(passphrase)
    try:
        return SecretBox(key).decrypt(box, nonce)
    except CryptoError:
        raise UsageError(
            "the passphrase does not open the key", where=where, help="try again with the right one"
        ) from None


def _read(pem: bytes, where: str) -> tuple[bytes, tuple[int, int, int], bytes, bytes]:
    """Salt, the work (N, r, p), nonce, and the box."""
    framed = _FRAME.fullmatch(pem)
    try:
        if framed is None:
            raise ValueError
        data = read_json(base64.b64decode(framed[2]), where, limit=limits.KEY_BYTES)
        kdf, cipher = data["kdf"], data["cipher"]
        n, r, p = (_positive(kdf["params"][name]) for name in ("N", "r", "p"))
        salt, nonce = _bytes(kdf["salt"]), _bytes(cipher["nonce"])
        box = _bytes(data["ciphertext"])
        names = kdf["name"], cipher["name"]
    except (ValueError, KeyError, TypeError, binascii.Error, TuneguardError):
        raise _not_one(where) from None
    power_of_two = n > 1 and not n & (n - 1)
    if names != ("scrypt", "nacl/secretbox") or not power_of_two:
        raise _not_one(where)
    if len(salt) != _SALT_BYTES or len(nonce) != _NONCE_BYTES:
        raise _not_one(where)
    return salt, (n, r, p), nonce, box


def _positive(value: Any) -> int:
    if type(value) is not int or not 0 < value < 1 << 31:
        raise ValueError
    return value


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)


def _not_one(where: str) -> NotUnderstood:
    return NotUnderstood(
        "is marked as a key in cosign's file format and is not one",
        where=where,
        help="make one with cosign generate-key-pair, or with tuneguard keygen",
    )
