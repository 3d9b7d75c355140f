"""A key in Azure Key Vault: ``azurekms://VAULT.vault.azure.net/KEY[/VERSION]``, as cosign writes it.

Credentials are found as Azure's libraries find them (``DefaultAzureCredential``). ECDSA over P-256 and P-384.
Without a version, the one that is current at opening is the one that signs. Needs the permissions
``keys/get`` and ``keys/sign`` (role Key Vault Crypto User).
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tuneguard.errors import NotUnderstood, UsageError
from tuneguard.files import printable
from tuneguard.signing.key import KeyType, PublicKey
from tuneguard.signing.remote import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Faltered,
    RemoteSigner,
    attempts,
    der,
    library,
    prehashed,
)
from tuneguard.signing.signer import SignerKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneguard.signing.signer import PassphraseSource

_URI = re.compile(
    r"azurekms://(?P<vault>[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)/(?P<key>[A-Za-z0-9-]{1,127})"
    r"(?:/(?P<version>[A-Za-z0-9]{1,64}))?",
    re.IGNORECASE,
)
_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_ALGORITHMS = {KeyType.P256: "es256", KeyType.P384: "es384"}


def open_key(uri: str, _: PassphraseSource) -> RemoteSigner:
    """Fetch the public key that `uri` names.

    Raises:
        UsageError: no such key, one that we do not sign with, or no permission.
        CannotLook: the service cannot be reached, or falters.
    """
    found = _URI.fullmatch(uri)
    where = printable(uri)[:400]
    if found is None:
        raise UsageError(
            "is not a key of Azure Key Vault",
            where=where,
            help="write azurekms://VAULT.vault.azure.net/KEY[/VERSION]",
        )
    keys, crypto = library("azure.keyvault.keys", "azure"), library("azure.keyvault.keys.crypto", "azure")
    credential = library("azure.identity", "azure").DefaultAzureCredential()
    settings = {
        "retry_total": 0,
        "connection_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        # The token is for the vault's own domain, or for a vault on this machine.
        "verify_challenge_resource": urlsplit(f"//{found['vault']}").hostname
        not in ("127.0.0.1", "localhost"),
    }
    client = keys.KeyClient(f"https://{found['vault']}", credential, **settings)
    held = attempts(where, lambda: _call(where, client.get_key, found["key"], found["version"]))
    _check_usable(held, where)
    key = _public_key(held.key, where)
    signer = crypto.CryptographyClient(held, credential, **settings)  # which holds the version
    algorithm = getattr(crypto.SignatureAlgorithm, _ALGORITHMS[key.type])

    def sign_once(message: bytes) -> bytes:
        signed = _call(where, signer.sign, algorithm, prehashed(key, message))
        return der(signed.signature, key, where)

    return RemoteSigner(where, key, sign_once)


def _check_usable(held: Any, where: str) -> None:
    now, properties = dt.datetime.now(dt.UTC), held.properties
    if properties.enabled is False:
        raise UsageError("the key is disabled", where=where, help="have it enabled, or name another")
    if properties.not_before is not None and now < properties.not_before:
        raise UsageError("the key is not valid yet", where=where, help="name another, or check the clock")
    if properties.expires_on is not None and now >= properties.expires_on:
        raise UsageError(
            "the key has expired", where=where, help="rotate it, and list the new one in the policy"
        )
    if "sign" not in (held.key_operations or ()):
        raise UsageError(
            "the key is not for signing", where=where, help="name a key whose operations have sign"
        )


def _public_key(web: Any, where: str) -> PublicKey:
    """From a JSON Web Key, RFC 7518 section 6.2."""
    curve = _CURVES.get(str(getattr(web.crv, "value", web.crv)))
    if curve is None or web.x is None or web.y is None:
        kind = printable(f"{getattr(web.kty, 'value', web.kty)} {getattr(web.crv, 'value', web.crv) or ''}")[
            :40
        ]
        raise UsageError(
            f"is a key of type {kind.strip()}, which we do not sign with",
            where=where,
            help="name an elliptic curve key over P-256 or P-384",
        )
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(web.x, "big"), int.from_bytes(web.y, "big"), curve)
    try:
        point = numbers.public_key()
    except ValueError as error:
        raise NotUnderstood("returned a public key that is none", where=where) from error
    return PublicKey(point.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _call(where: str, method: Callable[..., Any], *arguments: Any) -> Any:
    """One request; the SDK tries once, so that retries are ours, and seen."""
    wrong = library("azure.core.exceptions", "azure")
    try:
        return method(*arguments)
    except wrong.HttpResponseError as error:
        status = error.status_code or 0
        if status == 429 or status >= 500:
            raise Faltered("is throttled" if status == 429 else f"answers {status}") from error
        raise _refusal(status, where) from error
    except (wrong.ServiceRequestTimeoutError, wrong.ServiceResponseTimeoutError) as error:
        raise Faltered("timed out") from error
    except (wrong.ServiceRequestError, wrong.ServiceResponseError) as error:
        raise Faltered(f"cannot be reached ({type(error).__name__})") from error
    except (wrong.AzureError, ValueError) as error:
        raise UsageError(
            f"Azure's libraries refuse ({type(error).__name__})",
            where=where,
            help="try: az keyvault key show",
        ) from error


def _refusal(status: int, where: str) -> UsageError:
    what, help = {
        0: (
            "there are no Azure credentials that work",
            "az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret",
        ),
        401: (
            "the Azure credentials are not accepted",
            "az login, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret",
        ),
        403: (
            "not permitted: no right to the key, or it is disabled",
            "grant keys/get and keys/sign; see that the key is enabled",
        ),
        404: ("there is no such key", "check vault, key and version"),
    }.get(status, (f"Azure refuses ({status})", "see Azure Key Vault's documentation"))
    return UsageError(what, where=where, help=help)


SIGNER = SignerKind(id="azurekms", schemes=("azurekms",), open=open_key, needs_passphrase=lambda _: False)
