"""The place where AWS KMS's keys live: a stub of ``Sign`` and ``GetPublicKey``, over JSON 1.1."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from world.services import environment, serving, sign_digest, spki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world.services import Answer, Asked, Service

PASSPHRASE = b"unused passphrase"
REGION = "eu-west-1"
ARN = f"arn:aws:kms:{REGION}:111122223333:key/"
IDS = {
    "p256": "00000000-0000-0000-0000-000000000256",
    "p384": "00000000-0000-0000-0000-000000000384",
    "ed25519": "00000000-0000-0000-0000-000000025519",
}
KEYS = {
    IDS["p256"]: ec.generate_private_key(ec.SECP256R1()),
    IDS["p384"]: ec.generate_private_key(ec.SECP384R1()),
    IDS["ed25519"]: ed25519.Ed25519PrivateKey.generate(),
}
ALIASES = {"alias/builder": IDS["p256"]}
LENGTHS = {"ECDSA_SHA_256": 32, "ECDSA_SHA_384": 48}


def answer(asked: Asked) -> Answer:
    """As AWS answers: errors are a 400 with ``__type``; credentials must be signed for region and service."""
    if f"/{REGION}/kms/aws4_request" not in asked.headers.get("authorization", ""):
        return refused("UnrecognizedClientException")
    if asked.headers["content-type"] != "application/x-amz-json-1.1":
        return refused("SerializationException")
    said = asked.json
    id = said["KeyId"].removeprefix(ARN)
    id = ALIASES.get(id, id)
    if id not in KEYS:
        return refused("NotFoundException")
    if asked.headers["x-amz-target"] == "TrentService.GetPublicKey":
        return answer_to_public_key(id)
    digest = base64.b64decode(said["Message"])
    if said["MessageType"] != "DIGEST" or LENGTHS.get(said["SigningAlgorithm"]) != len(digest):
        return refused("ValidationException")
    return 200, {"KeyId": ARN + id, "Signature": base64.b64encode(sign_digest(KEYS[id], digest)).decode()}


def refused(kind: str, status: int = 400) -> Answer:
    """An error."""
    return status, {"__type": kind, "message": "the service's own words"}


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    with service(folder):
        yield {
            "p256 by id": f"awskms:///{IDS['p256']}",
            "p256 by alias": "awskms:///alias/builder",
            "p384 by ARN": f"awskms:///{ARN}{IDS['p384']}",
        }


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """The stub, and the environment of somebody who has logged in."""
    pytest.importorskip("boto3")
    clean = {name: None for name in os.environ if name.startswith("AWS_")}
    with (
        serving(answer) as running,
        environment(**clean),
        environment(
            AWS_ENDPOINT_URL_KMS=running.url,
            AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
            AWS_SECRET_ACCESS_KEY="an example of a secret",
            AWS_REGION=REGION,
            AWS_DEFAULT_REGION=REGION,
            AWS_EC2_METADATA_DISABLED="true",
            AWS_CONFIG_FILE=str(folder / "none"),
            AWS_SHARED_CREDENTIALS_FILE=str(folder / "none"),
        ),
    ):
        yield running


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return "awskms:///alias/nobody"


def answer_to_public_key(id: str) -> tuple[int, dict[str, str]]:
    """What ``GetPublicKey`` says about a key."""
    public = base64.b64encode(spki(KEYS[id])).decode()
    return 200, {"KeyId": ARN + id, "PublicKey": public, "KeyUsage": "SIGN_VERIFY"}


def signature_over(message: bytes) -> str:
    """The P-256 key's signature over another message than was asked for."""
    return base64.b64encode(sign_digest(KEYS[IDS["p256"]], hashlib.sha256(message).digest())).decode()
