"""Keys: how one is made, and how a signature is checked.

Three types, no options: ECDSA over P-256 with SHA-256, over P-384 with SHA-384, and Ed25519. A
public key is a value (its DER); two files that hold the same key in different encodings are equal.
Private keys stay behind a `tuneguard.signing.signer.Signer`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tuneguard import limits
from tuneguard.errors import ConfigurationError, NotUnderstood, Problem, UsageError, mendable
from tuneguard.files import printable, read_named, write_new
from tuneguard.signing.pkcs8 import encrypt

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

Usable = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
"""What ``cryptography`` calls the keys that we verify with."""
Secret = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
"""What ``cryptography`` calls the keys that we sign with."""


class KeyType(StrEnum):
    """The types of key that Tuneguard makes and believes."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"


_CURVES: dict[str, KeyType] = {"secp256r1": KeyType.P256, "secp384r1": KeyType.P384}
_HASHES: dict[KeyType, hashes.HashAlgorithm] = {
    KeyType.P256: hashes.SHA256(),
    KeyType.P384: hashes.SHA384(),
}
_ACCEPTED = "use ECDSA P-256 or P-384, or Ed25519 (`tuneguard keygen` makes them)"


@dataclass(frozen=True)
class PublicKey:
    """A public key by its DER SubjectPublicKeyInfo, always in the one canonical encoding.

    Raises:
        ConfigurationError: a key of another type.
        NotUnderstood: not a key, or not its canonical encoding (`from_spki` corrects that).
    """

    spki: bytes

    def __post_init__(self) -> None:
        if _spki(self._key) != self.spki:
            raise NotUnderstood("the public key is not in its canonical encoding")

    @classmethod
    def from_spki(cls, data: bytes, where: str | None = None) -> Self:
        """From DER. Raises `NotUnderstood` or `ConfigurationError`, both naming `where` as it is."""
        return cls(_spki(_load(data, where)))

    @classmethod
    def from_base64(cls, text: str, where: str | None = None) -> Self:
        """From base64 of the DER, as a policy holds it."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise NotUnderstood(
                "the public key is not base64",
                where=where,
                help="copy the `.pub` file's text without its frame",
            ) from None
        return cls.from_spki(data, where)

    @classmethod
    def from_pem(cls, data: bytes, where: str | None = None) -> Self:
        """From a PEM file, ``-----BEGIN PUBLIC KEY-----``."""
        if b"PRIVATE KEY-----" in data:
            raise ConfigurationError(
                [Problem("this is a private key", where, "name the `.pub` file beside it")]
            )
        if data.count(b"-----BEGIN ") > 1:
            raise ConfigurationError(
                [Problem("holds more than one key", where, "put each into its own file")]
            )
        try:
            key = serialization.load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise NotUnderstood(
                "is not a public key in PEM form",
                where=where,
                help=f"{_ACCEPTED}, or export with `openssl pkey -pubout`",
            ) from error
        return cls(_spki(_usable(key, where)))

    @cached_property
    def _key(self) -> Usable:
        return _load(self.spki, None)

    @property
    def type(self) -> KeyType:
        """Which of the three it is."""
        return _type_of(self._key)

    @property
    def keyid(self) -> str:
        """SHA-256 of the DER in hex: how we name a key to people."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def hint(self) -> str:
        """SHA-256 of the PEM in hex: the hint that ``model_signing`` demands. It chooses nothing."""
        return hashlib.sha256(self.pem).hexdigest()

    @property
    def base64(self) -> str:
        """Base64 of the DER, as a policy holds it."""
        return base64.b64encode(self.spki).decode()

    @property
    def pem(self) -> bytes:
        """The PEM file, as openssl writes it."""
        return self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (ECDSA: DER) over `message` is by this key.

        ECDSA signatures come in pairs, (r, s) and (r, n-s), and both verify: hardware and clouds write
        either. Nothing here counts signatures; what counts is who signed which bytes.
        """
        key = self._key
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(_HASHES[self.type]))
        except InvalidSignature:
            return False
        return True

    def verify_with_sha256(self, signature: bytes, message: bytes) -> bool:
        """`verify` for ECDSA with SHA-256, whatever the curve: as cosign 2 signs files with P-384 keys."""
        key = self._key
        if isinstance(key, ed25519.Ed25519PublicKey):
            return False
        try:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def sign_with(secret: Secret, message: bytes) -> bytes:
    """The signature over `message` with a key held in memory, as `PublicKey.verify` wants it."""
    if isinstance(secret, ed25519.Ed25519PrivateKey):
        return secret.sign(message)
    return secret.sign(message, ec.ECDSA(_HASHES[_type_of(secret.public_key())]))


def public_of(secret: Secret) -> PublicKey:
    """The public half."""
    return PublicKey(_spki(secret.public_key()))


@mendable()
def read_public(path: Path) -> PublicKey:
    """The public key in a PEM file.

    Raises:
        UsageError: it is not there.
        ConfigurationError: it holds no public key, a key of another type, or a private one.
    """
    return PublicKey.from_pem(
        read_named(path, limits.KEY_BYTES, guarded="the public key"), printable(str(path))
    )


def make_pair(path: Path, *, type: KeyType = KeyType.P256, passphrase: bytes | None) -> PublicKey:
    """Make a key pair: the private key at `path`, the public one beside it (``root.key``, ``root.pub``).

    The private file has mode 0600 and is encrypted PKCS#8, unless `passphrase` is None. The public
    file is written last and the private one taken back if that fails, so that no half is left.

    Raises:
        UsageError: one of the names is taken, or cannot be a private key's.
        CannotLook: one of them cannot be written.
    """
    public_path = public_path_of(path)
    for taken in (path, public_path):
        if os.path.lexists(taken):
            raise UsageError(
                "already exists",
                where=printable(str(taken)),
                help="choose another name: a lost key cannot be had back",
            )
    if passphrase is not None and not passphrase:
        raise UsageError("the passphrase is empty", help="type one, or pass --unsafe-no-passphrase")
    secret = _generate(type)
    public = public_of(secret)
    plain = secret.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_new(path, encrypt(plain, passphrase) if passphrase is not None else _plain_pem(secret), mode=0o600)
    try:
        write_new(public_path, public.pem, mode=0o644)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return public


def public_path_of(path: Path) -> Path:
    """Where the public half of the private key at `path` lies: ``a/root.key`` → ``a/root.pub``."""
    if path.suffix == ".pub":
        raise UsageError(
            "a private key's name cannot end in .pub",
            where=printable(str(path)),
            help="name it, for example, `root.key`",
        )
    return path.with_suffix(".pub")


def usable_secret(key: PrivateKeyTypes, where: str) -> Secret:
    """A private key of one of our types. Raises `ConfigurationError` for any other."""
    _usable(key.public_key(), where)
    assert isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey)
    return key


def _generate(type: KeyType) -> Secret:
    match type:
        case KeyType.P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()


def _plain_pem(secret: Secret) -> bytes:
    return secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load(data: bytes, where: str | None) -> Usable:
    try:
        key = serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NotUnderstood(
            "is not a public key in DER form (SubjectPublicKeyInfo)", where=where, help=_ACCEPTED
        ) from error
    return _usable(key, where)


def _usable(key: PublicKeyTypes, where: str | None) -> Usable:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    raise ConfigurationError([Problem(f"{_name(key)} keys are not accepted", where, _ACCEPTED)])


def _name(key: PublicKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def _type_of(key: Usable) -> KeyType:
    return KeyType.ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else _CURVES[key.curve.name]


def _spki(key: Usable) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
