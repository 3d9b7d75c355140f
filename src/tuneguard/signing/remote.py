"""What every key that somebody else holds has in common: asked a few times, and never believed.

A service, a token or another process signs for us. It can be busy, hang, or return rubbish: so each
request is tried a bounded number of times, each retry is reported, and every signature is checked here
against the public key before anybody gets it.
"""

from __future__ import annotations

import hashlib
import importlib
import random
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tuneguard.errors import CannotLook, NotUnderstood, TuneguardError, UsageError
from tuneguard.signing.key import KeyType, PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

T = TypeVar("T")

TRIES = 4
BUDGET_SECONDS = 30.0
"""All tries of one request together; a wait that would pass it is not begun."""
FIRST_WAIT_SECONDS = 0.5
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
"""Time-outs of one try, which each signer gives to its library."""
ANSWER_BYTES = 256 * 1024
"""The largest answer of a service to which we connect ourselves."""

_JITTER = random.SystemRandom()
sleep: Callable[[float], None] = time.sleep


def announce(line: str) -> None:
    """Where a retry is reported. Errors' stream, since results have the other one."""
    sys.stderr.write(f"{line}\n")


class Faltered(Exception):
    """One try failed and another may help. ``after`` are the seconds that the service asks us to wait."""

    def __init__(self, reason: str, *, after: float | None = None, help: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.after, self.help = reason, after, help


def faltered(error: Exception, help: str) -> Faltered:
    """What went wrong with a connection of urllib3's, in a word or two."""
    import urllib3.exceptions as wrong

    if isinstance(error, wrong.TimeoutError) and not isinstance(error, wrong.NewConnectionError):
        return Faltered("timed out", help=help)
    return Faltered(f"cannot be reached ({type(error).__name__})", help=help)


def attempts(where: str, call: Callable[[], T]) -> T:
    """What `call` returns, tried again while it raises `Faltered`: at most `TRIES` times.

    Raises:
        CannotLook: the last try faltered, or there is no time left for another.
        NotUnderstood: the service's library choked on what it got.
    """
    until = time.monotonic() + BUDGET_SECONDS
    for number in range(1, TRIES + 1):
        try:
            return call()
        except Faltered as error:
            pause = FIRST_WAIT_SECONDS * 2 ** (number - 1) * _JITTER.uniform(0.8, 1.2)
            pause = max(pause, error.after or 0)
            if number == TRIES or time.monotonic() + pause > until:
                raise CannotLook(
                    f"{error.reason}, {_times(number)} tried",
                    where=where,
                    help=error.help or "see whether the service is up and can be reached, then run again",
                ) from error
            announce(f"{'Retrying':>12}  {where}: {error.reason}, try {number + 1} of {TRIES}")
            sleep(pause)
        except TuneguardError:
            raise
        except Exception as error:  # an answer that a library did not expect can raise anything
            raise NotUnderstood(
                f"the service's library could not read an answer ({type(error).__name__})", where=where
            ) from error
    raise AssertionError


class RemoteSigner:
    """A `Signer` whose key is elsewhere: `sign_once` asks for one signature over one message."""

    def __init__(self, where: str, public_key: PublicKey, sign_once: Callable[[bytes], bytes]) -> None:
        self._where, self._public_key, self._sign_once = where, public_key, sign_once

    @property
    def public_key(self) -> PublicKey:
        """The public half, as it was fetched when the signer was opened."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, checked.

        Raises:
            CannotLook: there is none, or it is not by this key over this message.
        """
        signature = attempts(self._where, lambda: self._sign_once(message))
        if not self._public_key.verify(signature, message):
            raise CannotLook(
                "returned a signature that its own public key does not verify",
                where=self._where,
                help="nothing was written; ask the service's operators what signed there",
            )
        return signature

    def __repr__(self) -> str:
        return f"RemoteSigner({self._public_key.type}, {self._public_key.keyid[:12]})"


def prehashed(key: PublicKey, message: bytes) -> bytes:
    """The digest that an ECDSA service is asked to sign: SHA-256 for P-256, SHA-384 for P-384."""
    hasher = {KeyType.P256: hashlib.sha256, KeyType.P384: hashlib.sha384}[key.type]
    return hasher(message).digest()


def der(raw: bytes, key: PublicKey, where: str) -> bytes:
    """An ECDSA signature of the form r‖s (IEEE P1363, RFC 7518 section 3.4) as DER.

    Raises:
        CannotLook: it has not the length that the key's curve has.
    """
    half = {KeyType.P256: 32, KeyType.P384: 48}[key.type]
    if len(raw) != 2 * half:
        raise CannotLook(f"returned a signature of {len(raw)} bytes, not {2 * half}", where=where)
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def only_ecdsa(key: PublicKey, where: str) -> PublicKey:
    """Refuse a key that the service can only sign small messages with.

    Raises:
        UsageError: it is Ed25519.
    """
    if key.type is KeyType.ED25519:
        raise UsageError(
            "is an Ed25519 key, which signs whole messages, and the service takes digests only",
            where=where,
            help="use an ECDSA key over P-256 or P-384",
        )
    return key


def library(name: str, extra: str) -> ModuleType | Any:
    """Import a service's library when it is used.

    Raises:
        UsageError: it is not installed; with the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = (error.name or name).partition(".")[0]
        raise UsageError(
            f"keys of this kind need the Python package {missing}, which is not installed",
            help=f"pip install 'tuneguard[{extra}]'",
        ) from error


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
