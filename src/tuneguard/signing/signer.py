"""Signing with a key that lives somewhere: a file today, a token or a cloud tomorrow.

The key is named by a URI, and the URI's scheme chooses the module in ``signers/`` that opens it. A new
place for keys is one new file there; nothing else changes.

    signer = open_signer("keys/builder.key", ask)     # or file:…, later pkcs11:…, awskms://…
    bundle = make_bundle(signer, PAYLOAD_TYPE, payload)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tuneguard import discover
from tuneguard.errors import UsageError
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.signing.key import PublicKey

PassphraseSource = Callable[[str], bytes]
"""Asked for a passphrase with the key's name, and only when the key is encrypted. A callable, not a
value, so that no passphrase is held by anyone who does not need it."""


class Signer(Protocol):
    """A key that signs. Implementations never show the private key, in ``repr`` or errors either."""

    @property
    def public_key(self) -> PublicKey:
        """The public half, which every signature is checked against before it is used."""

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, as `PublicKey.verify` wants it (ECDSA in DER).

        Raises:
            CannotLook: the key cannot be reached, or refuses to sign.
        """


@runtime_checkable
class BundleSigner(Protocol):
    """A signer with no key of its own, whose signatures come with certificate, log entry and timestamp.

    Policies list keys, so it signs no evidence: only what foreign verifiers read.
    """

    def sign_statement(self, payload: bytes) -> bytes:
        """The whole bundle over an in-toto statement, checked.

        Raises:
            UsageError: there is no identity, or it was not accepted.
            CannotLook: a service cannot be reached, or its answer does not fit.
        """


@dataclass(frozen=True, slots=True)
class SignerKind:
    """A place where keys live: the thing that a module in ``signers/`` binds to ``SIGNER``.

    ``open`` and ``needs_passphrase`` get the whole URI as the person wrote it. A kind
    whose library is missing names in ``open`` the extra that brings it.
    """

    id: str
    schemes: tuple[str, ...]
    open: Callable[[str, PassphraseSource], Signer]
    needs_passphrase: Callable[[str], bool]


PLAIN_PATH = ""
"""The scheme of what is not a URI: a path."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_PIN = re.compile(r"(pin-value=)[^&]*", re.IGNORECASE)


def secret_in(data: bytes) -> bytes:
    """A passphrase, PIN or token from a file or a variable: without the line ends behind it.

    Editors and ``echo`` write one, and so does a block of text in YAML.
    """
    return data.rstrip(b"\r\n")


def open_signer(uri: str, passphrase: PassphraseSource) -> Signer:
    """The signer that `uri` names.

    Raises:
        UsageError: no signer has that scheme, or the key is not there.
        CannotLook: the key cannot be read or reached.
    """
    return _kind_of(uri).open(uri, passphrase)


def needs_passphrase(uri: str) -> bool:
    """Whether opening `uri` will ask for a passphrase. Raises as `open_signer` does."""
    return _kind_of(uri).needs_passphrase(uri)


def _kind_of(uri: str) -> SignerKind:
    kinds = kinds_by_scheme()
    scheme = scheme_of(uri)
    if scheme not in kinds:
        known = ", ".join(sorted(f"{known}:" for known in kinds if known != PLAIN_PATH))
        raise UsageError(
            f"no signer is called `{printable(scheme)}:`",
            where=for_people(uri),
            help=f"known are {known} and plain paths (write ./{for_people(uri)} if it is a file)",
        )
    return kinds[scheme]


def for_people(uri: str) -> str:
    """A key's URI as it may be printed: escaped, and without the PIN that it may hold (RFC 7512)."""
    return printable(_PIN.sub(r"\1…", uri))


def holds_pin(uri: str) -> bool:
    """Whether a URI holds a PIN, which must not become an argument of a process."""
    return _PIN.search(uri) is not None


def scheme_of(uri: str) -> str:
    """The scheme in lower case, or `PLAIN_PATH`."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else PLAIN_PATH


@cache
def kinds_by_scheme() -> Mapping[str, SignerKind]:
    """Every kind of signer by each of its schemes."""
    table: dict[str, SignerKind] = {}
    for kind in discover.load("tuneguard.signing.signers", "SIGNER", SignerKind).values():
        for scheme in kind.schemes:
            if scheme in table:
                raise discover.DiscoveryError(
                    f"the scheme {scheme!r} belongs to {table[scheme].id} and to {kind.id}"
                )
            table[scheme] = kind
    return table
