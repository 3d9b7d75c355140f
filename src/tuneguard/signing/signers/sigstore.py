"""Keyless: ``sigstore:``. An identity token is exchanged for a certificate of minutes; nobody keeps a key.

::

    sigstore:                                the public instance
    sigstore:trust_config.json               a private one: a client's trust configuration (a path, as it is)

The token comes from ``SIGSTORE_ID_TOKEN``, or from the surroundings, as in the CI services that ``sigstore``
knows (`sigstore.oidc.detect_credential`). No browser is opened: who signs here is a machine. The certificate,
which names the identity, and the signature go into the instance's log: with the public one, for everybody and
for ever. The bundle is verified before it is returned, against the same trust configuration.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, TuneguardError, UsageError, mendable
from tuneguard.files import printable, read_named
from tuneguard.signing import keyless
from tuneguard.signing.bundle import read_bundle
from tuneguard.signing.remote import library
from tuneguard.signing.signer import SignerKind

if TYPE_CHECKING:
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import PassphraseSource

TOKEN_VARIABLE = "SIGSTORE_ID_TOKEN"  # noqa: S105 (the name of a variable)
_HELP = f"set {TOKEN_VARIABLE}, or run where the CI service gives an identity token"


class KeylessSigner:
    """Signs statements with a new key each time, which is forgotten at once."""

    def __init__(self, config: Any, token: Any, where: str) -> None:
        self._config, self._token, self._where = config, token, where

    @property
    def public_key(self) -> PublicKey:
        """None that lasts.

        Raises:
            UsageError: always. What a policy counts is signed by keys that it lists.
        """
        raise UsageError(
            "a keyless signer has no key that a policy could list",
            where=self._where,
            help="sign evidence with a key; keyless is for tuneguard sign",
        )

    def sign(self, _: bytes) -> NoReturn:
        """Not by itself: see `public_key`."""
        raise UsageError("a keyless signer makes whole bundles only", where=self._where)

    def sign_statement(self, payload: bytes) -> bytes:
        """The bundle over an in-toto statement."""
        signing, dsse = library("sigstore.sign", "keyless"), library("sigstore.dsse", "keyless")
        try:
            context = signing.SigningContext.from_trust_config(self._config)
            with context.signer(self._token) as signer:
                made: bytes = signer.sign_dsse(dsse.Statement(payload)).to_json().encode()
        except TuneguardError:
            raise
        except Exception as error:
            raise CannotLook(
                f"Sigstore did not sign ({type(error).__name__})",
                where=self._where,
                help="is the token still valid, and are Fulcio, log and timestamp authority there?",
            ) from error
        self._check(made, payload)
        return made

    def _check(self, made: bytes, payload: bytes) -> None:
        """That everybody will believe it: as others verify it, without network."""
        bundle = read_bundle(made, "what Sigstore returned")
        anybody = library("sigstore.verify", "keyless").policy.UnsafeNoOp()
        fault = keyless.believed(self._config.trusted_root, anybody)(bundle)
        if fault is not None or bundle.payload != payload:
            raise CannotLook(
                f"Sigstore returned a bundle that does not verify: {fault or 'over something else'}",
                where=self._where,
                help="do the trust configuration and the services belong together?",
            )

    def __repr__(self) -> str:
        return "KeylessSigner()"


def open_signer(uri: str, _: PassphraseSource) -> KeylessSigner:
    """Read the trust configuration and the token.

    Raises:
        UsageError: there is no token, or it is no good; the file is not a trust configuration.
        CannotLook: the public instance's configuration cannot be fetched.
    """
    where = printable(uri)[:300]
    oidc = library("sigstore.oidc", "keyless")
    config = _config(uri.partition(":")[2], where)
    raw = os.environ.get(TOKEN_VARIABLE)
    try:
        raw = raw or oidc.detect_credential()
    except Exception as error:
        raise UsageError("the surroundings' identity token cannot be had", where=where, help=_HELP) from error
    if not raw:
        raise UsageError("there is no identity token", where=where, help=_HELP)
    try:
        token = oidc.IdentityToken(raw)
    except oidc.IdentityError:
        raise UsageError("the identity token is malformed or has expired", where=where, help=_HELP) from None
    return KeylessSigner(config, token, where)


@mendable()
def _config(path: str, where: str) -> Any:
    models = library("sigstore.models", "keyless")
    if not path:
        try:
            return models.ClientTrustConfig.production()
        except Exception as error:
            raise CannotLook(
                "the public instance's configuration cannot be fetched",
                where=where,
                help="name a private one: sigstore:trust_config.json",
            ) from error
    try:
        data = read_named(path, limits.AUTHORITIES_BYTES, guarded="the trust configuration")
        return models.ClientTrustConfig.from_json(data.decode())
    except TuneguardError:
        raise
    except Exception as error:
        raise NotUnderstood("is not a trust configuration of Sigstore's", where=where) from error


SIGNER = SignerKind(id="sigstore", schemes=("sigstore",), open=open_signer, needs_passphrase=lambda _: False)
