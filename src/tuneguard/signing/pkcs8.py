"""Encrypted PKCS#8 with a key derivation that costs memory.

``cryptography`` writes PBES2 with 2,048 rounds of PBKDF2, which a graphics card guesses at millions
a second. We write the same container with scrypt (RFC 7914 section 7) and AES-256-CBC (RFC 8018,
appendix B.2.5): openssl, ``model_signing`` and every reader of PKCS#8 open it.

CBC has no authentication: a changed file decrypts to something that is not a key, or to another key,
whose signatures nobody believes. The file keeps a secret; it vouches for nothing.
"""

from __future__ import annotations

import base64
import math
import os
import re
import textwrap
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tuneguard import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

# 128·N·r = 16 MiB and 0.2 s a guess. openssl's reader stops at 32 MiB, so more work goes into p.
_N, _R, _P = 1 << 14, 8, 5
_KEY_BYTES = 32
_DEPTH = 8

_PBES2 = bytes.fromhex("06092a864886f70d01050d")  # OID 1.2.840.113549.1.5.13
_SCRYPT = bytes.fromhex("06092b06010401da47040b")  # OID 1.3.6.1.4.1.11591.4.11
_AES_256_CBC = bytes.fromhex("060960864801650304012a")  # OID 2.16.840.1.101.3.4.1.42


def encrypt(private: bytes, passphrase: bytes) -> bytes:
    """`private` (DER PKCS#8) as PEM ``ENCRYPTED PRIVATE KEY`` under `passphrase`."""
    salt, vector = os.urandom(16), os.urandom(16)
    key = Scrypt(salt=salt, length=_KEY_BYTES, n=_N, r=_R, p=_P).derive(passphrase)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    sealed = encryptor.update(padder.update(private) + padder.finalize()) + encryptor.finalize()
    derivation = _sequence(_SCRYPT, _sequence(_octets(salt), _integer(_N), _integer(_R), _integer(_P)))
    scheme = _sequence(_PBES2, _sequence(derivation, _sequence(_AES_256_CBC, _octets(vector))))
    return _pem("ENCRYPTED PRIVATE KEY", _sequence(scheme, _octets(sealed)))


def costs_too_much(pem: bytes) -> bool:
    """Whether opening an encrypted key would take longer, or more memory, than any honest one does.

    The file's author chose the work. Its numbers stand in the header, before the encrypted part:
    rounds and a length for PBKDF2, N, r and p for scrypt. A header that cannot be read costs nothing:
    opening the key reports what is wrong with it.
    """
    found = re.search(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----(.*?)-----END", pem, re.DOTALL)
    try:
        der = base64.b64decode(found[1] if found else b"")
        header = next(content for _, content in _values(next(_values(der))[1]))
        numbers = tuple(_integers(header, 0))
    except (ValueError, IndexError, StopIteration):
        return False
    product = math.prod(numbers) if _SCRYPT in header else 0
    return product > limits.KEY_SCRYPT or any(number > limits.KEY_ROUNDS for number in numbers)


def _integers(der: bytes, depth: int) -> Iterator[int]:
    for tag, content in _values(der):
        if tag == 0x02:
            yield int.from_bytes(content, "big")
        elif tag == 0x30 and depth < _DEPTH:
            yield from _integers(content, depth + 1)


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The values of DER that lie side by side: tag and content."""
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & 0x80:
            count = size & 0x7F
            size = int.from_bytes(der[at : at + count], "big")
            at += count
        yield tag, der[at : at + size]
        at += size


def _pem(label: str, der: bytes) -> bytes:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))
