"""A key in a PEM file: a path, ``file:PATH`` or ``file:///PATH``.

PKCS#8, encrypted or not, the older ``EC PRIVATE KEY``, and cosign's own encrypted form. The path is taken
as it is written, without percent-decoding. The file is read once and the key kept in memory until the
process ends, which is why one process signs with one role only.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from tuneguard import limits
from tuneguard.errors import ConfigurationError, NotUnderstood, Problem, UsageError, mendable
from tuneguard.files import printable, read_named
from tuneguard.signing import cosign_key, pkcs8
from tuneguard.signing.key import PublicKey, Secret, public_of, sign_with, usable_secret
from tuneguard.signing.signer import PLAIN_PATH, PassphraseSource, SignerKind


class FileSigner:
    """Signs with a private key in memory."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._public_key = public_of(secret)

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`."""
        return sign_with(self._secret, message)

    def __repr__(self) -> str:
        return f"FileSigner({self._public_key.type}, {self._public_key.keyid[:12]})"


@mendable()
def open_file(uri: str, passphrase: PassphraseSource) -> FileSigner:
    """Read the key file that `uri` names, asking for its passphrase if it has one.

    Raises:
        UsageError: it is not there, it is a public key, or the passphrase is wrong.
        ConfigurationError: not a private key in PEM form, or of a type that we do not sign with.
        CannotLook: it cannot be read.
    """
    where, data = _read(uri)
    return open_pem(data, where, passphrase)


def open_pem(data: bytes, where: str, passphrase: PassphraseSource) -> FileSigner:
    """The key in a PEM text that was read from `where`.

    Raises as `open_file` does, but `NotUnderstood` for what is no private key: no person named the text.
    """
    if pkcs8.costs_too_much(data):
        raise NotUnderstood("is encrypted so that opening it would take for ever", where=where)
    cosigns = cosign_key.is_cosign_key(data)
    if cosigns:
        cosign_key.check_installed()  # before the passphrase is asked for
    secret = passphrase(where) if is_encrypted_pem(data) else None
    if secret is not None and not 0 < len(secret) + cosigns <= limits.PASSPHRASE_BYTES:
        raise UsageError(f"a passphrase has 1 to {limits.PASSPHRASE_BYTES:,} bytes", where=where)
    if cosigns:
        assert secret is not None
        return FileSigner(_inside(cosign_key.open_key(data, secret, where), where))
    try:
        key = load_pem_private_key(data, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if secret is not None:
            # A wrong passphrase mostly shows as bad padding, and now and then as bytes that are no key.
            raise UsageError(
                "the passphrase does not open the key", where=where, help="try again with the right one"
            ) from None
        raise NotUnderstood("is not a private key in PEM form", where=where) from error
    return FileSigner(usable_secret(key, where))


def _inside(der: bytes, where: str) -> Secret:
    """The key in a box of cosign's."""
    try:
        return usable_secret(load_der_private_key(der, None), where)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotUnderstood(
            "is a key of cosign's with something else than a key in it", where=where
        ) from error


def is_encrypted(uri: str) -> bool:
    """Whether the key file that `uri` names asks for a passphrase."""
    return is_encrypted_pem(_read(uri)[1])


def path_of(uri: str) -> Path:
    """The path in a file URI, or a plain path as it is."""
    is_uri = uri[:5].lower() == "file:"
    rest = uri[5:] if is_uri else uri
    if is_uri and rest.startswith("//"):
        rest = rest.removeprefix("//")
        if not rest.startswith("/"):
            raise UsageError(
                "a file URI cannot name a host", where=printable(uri), help="write file:///PATH or file:PATH"
            )
    if not rest or "\0" in rest:
        raise UsageError("the key's path is empty or holds a NUL", where=printable(uri))
    return Path(rest)


def _read(uri: str) -> tuple[str, bytes]:
    """Where the key is, for messages, and its file. Names plainly what else people put there."""
    path = path_of(uri)
    where = printable(str(path))
    data = read_named(path, limits.KEY_BYTES, guarded="the key")
    if b"-----BEGIN PUBLIC KEY-----" in data and b"PRIVATE KEY-----" not in data:
        raise ConfigurationError([Problem("this is a public key", where, "name the private key beside it")])
    return where, data


def is_encrypted_pem(data: bytes) -> bool:
    """Whether the key in a PEM text asks for a passphrase."""
    return (
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in data
        or b"Proc-Type: 4,ENCRYPTED" in data
        or cosign_key.is_cosign_key(data)
    )


SIGNER = SignerKind(id="file", schemes=(PLAIN_PATH, "file"), open=open_file, needs_passphrase=is_encrypted)
