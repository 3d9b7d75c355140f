"""A key in Google Cloud KMS, by cosign's URI.

::

    gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/NAME               the newest enabled version
    gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/NAME/versions/N    (or cryptoKeyVersions/N)

Credentials are found as Google's libraries find them (application default credentials). ECDSA over P-256 and
P-384. Digests, signatures and public keys carry CRC32C sums both ways, which are checked (Cloud KMS,
"Verifying end-to-end data integrity"). Needs ``roles/cloudkms.signerVerifier``, and
``cloudkms.cryptoKeyVersions.list`` where no version is named.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tuneguard.errors import CannotLook, UsageError
from tuneguard.files import printable
from tuneguard.signing.key import KeyType, PublicKey
from tuneguard.signing.remote import (
    READ_SECONDS,
    Faltered,
    RemoteSigner,
    attempts,
    library,
    only_ecdsa,
    prehashed,
)
from tuneguard.signing.signer import SignerKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneguard.signing.signer import PassphraseSource

_PART = r"[A-Za-z0-9_.:-]{1,63}"
_URI = re.compile(
    rf"gcpkms://(?P<key>projects/{_PART}/locations/{_PART}/keyRings/{_PART}/cryptoKeys/{_PART})"
    r"(?:/(?:versions|cryptoKeyVersions)/(?P<version>[0-9]{1,9}))?",
    re.IGNORECASE,
)
_HASHES = {KeyType.P256: "sha256", KeyType.P384: "sha384"}
_VERSIONS = 1000
ENDPOINT_VARIABLE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS"
"""Another endpoint, by the variable that the gcloud command line has for it."""


def open_key(uri: str, _: PassphraseSource) -> RemoteSigner:
    """Fetch the public key that `uri` names.

    Raises:
        UsageError: no such key, one that we do not sign with, or no permission.
        CannotLook: the service cannot be reached, falters, or returns damaged data.
    """
    found = _URI.fullmatch(uri)
    where = printable(uri)[:400]
    if found is None:
        raise UsageError(
            "is not a key of Google Cloud KMS",
            where=where,
            help="write gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/NAME[/versions/N]",
        )
    client = _client(where)
    number = found["version"] or attempts(where, lambda: _newest(where, client, found["key"]))
    version = f"{found['key']}/cryptoKeyVersions/{number}"
    if found["version"] is None:
        where = f"{where}/versions/{number}"
    answer = attempts(where, lambda: _call(where, client.get_public_key, {"name": version}))
    pem = answer.pem.encode()
    if answer.name != version or answer.pem_crc32c != crc32c(pem):
        raise _damaged(where)
    key = only_ecdsa(PublicKey.from_pem(pem, where), where)

    def sign_once(message: bytes) -> bytes:
        digest = prehashed(key, message)
        asked = {"name": version, "digest": {_HASHES[key.type]: digest}, "digest_crc32c": crc32c(digest)}
        signed = _call(where, client.asymmetric_sign, asked)
        signature: bytes = signed.signature
        if (
            signed.name != version
            or not signed.verified_digest_crc32c
            or signed.signature_crc32c != crc32c(signature)
        ):
            raise _damaged(where)
        return signature

    return RemoteSigner(where, key, sign_once)


def _client(where: str) -> Any:
    kms = library("google.cloud.kms_v1.services.key_management_service", "gcp")
    transports = library("google.cloud.kms_v1.services.key_management_service.transports", "gcp")
    auth, wrong = library("google.auth", "gcp"), library("google.auth.exceptions", "gcp")
    endpoint = os.environ.get(ENDPOINT_VARIABLE, "")
    at = urlsplit(endpoint or "https://cloudkms.googleapis.com")
    if at.scheme != "https" and (at.scheme != "http" or at.hostname not in ("127.0.0.1", "localhost", "::1")):
        raise UsageError(f"{ENDPOINT_VARIABLE} is without TLS", where=where, help="set it to https://HOST/")
    try:
        credentials, _ = auth.default(scopes=["https://www.googleapis.com/auth/cloudkms"])
    except wrong.DefaultCredentialsError as error:
        raise UsageError(
            "there are no Google credentials",
            where=where,
            help="gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
        ) from error
    over = partial(transports.KeyManagementServiceRestTransport, url_scheme=at.scheme)
    return kms.KeyManagementServiceClient(transport=over(host=at.netloc, credentials=credentials))


def _newest(where: str, client: Any, key: str) -> str:
    """The number of the newest enabled version."""
    asked = {"parent": key, "filter": "state=ENABLED", "page_size": _VERSIONS}
    answer = _call(where, client.list_crypto_key_versions, asked)
    numbers = [str(version.name).rpartition("/")[2] for version in answer.crypto_key_versions]
    numbers = [number for number in numbers if number.isascii() and number.isdigit() and len(number) < 10]
    if not numbers:
        raise UsageError("has no enabled version", where=where, help="have one enabled, or name another key")
    return max(numbers, key=int)


def _call(where: str, method: Callable[..., Any], request: dict[str, Any]) -> Any:
    """One request; the library tries once, so that retries are ours, and seen."""
    wrong = library("google.api_core.exceptions", "gcp")
    credentials = library("google.auth.exceptions", "gcp")
    requests = library("requests.exceptions", "gcp")
    try:
        return method(request=request, retry=None, timeout=READ_SECONDS)
    except wrong.GoogleAPICallError as error:
        code = int(error.code or 0)
        if code in (429, 408, 504) or code >= 500:
            raise Faltered("is throttled" if code == 429 else f"answers {code}") from error
        raise _refusal(code, where) from error
    except (credentials.RefreshError, credentials.DefaultCredentialsError) as error:
        raise UsageError(
            "the Google credentials are not accepted",
            where=where,
            help="gcloud auth application-default login",
        ) from error
    except requests.Timeout as error:
        raise Faltered("timed out") from error
    except (wrong.GoogleAPIError, credentials.GoogleAuthError, requests.RequestException) as error:
        raise Faltered(f"cannot be reached ({type(error).__name__})") from error


def _refusal(code: int, where: str) -> UsageError:
    what, help = {
        400: (
            "the key version is not enabled, or not for signing",
            "name an enabled version of a signing key",
        ),
        401: ("the Google credentials are not accepted", "gcloud auth application-default login"),
        403: ("these credentials may not use the key", "grant roles/cloudkms.signerVerifier on this key"),
        404: ("there is no such key", "check project, location, key ring, key and version"),
    }.get(code, (f"Google refuses ({code})", "see Cloud KMS's documentation"))
    return UsageError(what, where=where, help=help)


def _damaged(where: str) -> CannotLook:
    return CannotLook(
        "what was sent or returned was damaged on the way, or is of another key",
        where=where,
        help="run again; nothing was written",
    )


def _table() -> tuple[int, ...]:
    values = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        values.append(value)
    return tuple(values)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), RFC 3720 appendix B.4: 32 bits."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


SIGNER = SignerKind(id="gcpkms", schemes=("gcpkms",), open=open_key, needs_passphrase=lambda _: False)
