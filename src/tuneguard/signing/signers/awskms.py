"""A key in AWS Key Management Service, by cosign's URIs.

::

    awskms:///1234abcd-12ab-34cd-56ef-1234567890ab          a key's id (or mrk-…)
    awskms:///alias/builder                                 an alias
    awskms:///arn:aws:kms:eu-west-1:111122223333:key/…      an ARN; its region is used
    awskms://HOST[:PORT]/…                                  another endpoint, over TLS

Credentials and region are found as the AWS command line finds them. ECDSA over P-256 and P-384, by
``Sign`` with ``MessageType=DIGEST``, since a raw message may have 4,096 bytes only (AWS KMS API reference,
``Sign``). Needs ``kms:GetPublicKey`` and ``kms:Sign``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneguard.errors import UsageError
from tuneguard.files import printable
from tuneguard.signing.key import KeyType, PublicKey
from tuneguard.signing.remote import (
    CONNECT_SECONDS,
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

_URI = re.compile(
    r"awskms://(?P<endpoint>[A-Za-z0-9.:-]*)/"
    r"(?P<key>(?:arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:)?(?:key/|alias/)?[\w/-]{1,256})",
    re.ASCII | re.IGNORECASE,
)
_ALGORITHMS = {KeyType.P256: "ECDSA_SHA_256", KeyType.P384: "ECDSA_SHA_384"}
_PERMISSIONS = "kms:GetPublicKey and kms:Sign are needed on this key"
_REFUSALS = {
    "NotFoundException": ("there is no such key", "check the key, the account and the region"),
    "InvalidArnException": ("there is no such key", "check the key, the account and the region"),
    "DisabledException": ("the key is disabled", "have it enabled, or name another"),
    "KMSInvalidStateException": ("the key is in no state to sign: is it to be deleted?", "name another key"),
    "InvalidKeyUsageException": ("the key is not for signing", "name a key made for SIGN_VERIFY"),
    "UnsupportedOperationException": ("the key is not for signing", "name a key made for SIGN_VERIFY"),
    "AccessDeniedException": ("these credentials may not use the key", _PERMISSIONS),
    "UnrecognizedClientException": ("the credentials are not accepted", "log in to AWS again"),
    "InvalidClientTokenId": ("the credentials are not accepted", "log in to AWS again"),
    "InvalidSignatureException": ("the credentials are not accepted", "log in to AWS again; check the clock"),
    "ExpiredTokenException": ("the credentials have expired", "log in to AWS again"),
}
_BUSY = {
    "ThrottlingException": "is throttled",
    "TooManyRequestsException": "is throttled",
    "KeyUnavailableException": "is not available now",
    "DependencyTimeoutException": "timed out inside AWS",
    "KMSInternalException": "failed inside AWS",
}


def open_key(uri: str, _: PassphraseSource) -> RemoteSigner:
    """Fetch the public key that `uri` names.

    Raises:
        UsageError: no such key, one that we do not sign with, or no permission.
        CannotLook: the service cannot be reached, or falters.
    """
    found = _URI.fullmatch(uri)
    where = printable(uri)[:300]
    if found is None:
        raise UsageError(
            "is not a key of AWS KMS", where=where, help="write awskms:///KEY, awskms:///alias/NAME or an ARN"
        )
    client = _client(found["endpoint"], found["region"], where)
    answer = attempts(where, lambda: _call(where, client.get_public_key, KeyId=found["key"]))
    key = only_ecdsa(PublicKey.from_spki(answer["PublicKey"], where), where)
    if answer.get("KeyUsage") != "SIGN_VERIFY":
        raise _refusal("InvalidKeyUsageException", where)

    def sign_once(message: bytes) -> bytes:
        signed: bytes = _call(
            where,
            client.sign,
            KeyId=answer["KeyId"],  # the key itself: an alias can be moved in between
            Message=prehashed(key, message),
            MessageType="DIGEST",
            SigningAlgorithm=_ALGORITHMS[key.type],
        )["Signature"]
        return signed

    return RemoteSigner(where, key, sign_once)


def _client(endpoint: str, region: str | None, where: str) -> Any:
    boto3 = library("boto3", "aws")
    wrong = library("botocore.exceptions", "aws")
    config = library("botocore.config", "aws").Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": 1}
    )
    try:
        return boto3.session.Session().client(
            "kms",
            region_name=region,
            endpoint_url=f"https://{endpoint}" if endpoint else None,
            config=config,
        )
    except wrong.NoRegionError as error:
        raise UsageError("no region is set", where=where, help="set AWS_REGION, or name an ARN") from error
    except (wrong.BotoCoreError, ValueError) as error:
        raise UsageError(
            f"AWS is not set up ({type(error).__name__})",
            where=where,
            help="try: aws sts get-caller-identity",
        ) from error


def _call(where: str, method: Callable[..., Any], **arguments: Any) -> Any:
    """One request; the SDK tries once, so that retries are ours, and seen."""
    wrong = library("botocore.exceptions", "aws")
    try:
        return method(**arguments)
    except wrong.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _BUSY or status >= 500:
            raise Faltered(_BUSY.get(code, f"answers {status}")) from error
        raise _refusal(code, where) from error
    except (wrong.NoCredentialsError, wrong.PartialCredentialsError, wrong.CredentialRetrievalError) as error:
        raise UsageError(
            "there are no AWS credentials", where=where, help="log in to AWS, or set AWS_PROFILE"
        ) from error
    except (wrong.ConnectTimeoutError, wrong.ReadTimeoutError) as error:
        raise Faltered("timed out") from error
    except wrong.BotoCoreError as error:
        raise Faltered(f"cannot be reached ({type(error).__name__})") from error


def _refusal(code: str, where: str) -> UsageError:
    what, help = _REFUSALS.get(code, (f"AWS refuses: {printable(code)[:80]}", "see AWS KMS's documentation"))
    return UsageError(what, where=where, help=help)


SIGNER = SignerKind(id="awskms", schemes=("awskms",), open=open_key, needs_passphrase=lambda _: False)
