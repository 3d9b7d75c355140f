"""The place where Cloud KMS's keys live: a stub of the REST methods that we use, and of the token service."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tuneguard.signing.signers.gcpkms import ENDPOINT_VARIABLE, crc32c
from world.services import environment, serving, sign_digest, spki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world.services import Answer, Asked, Service

PASSPHRASE = b"unused passphrase"
RING = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/"
KEYS = {
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHMS = {"p256": "EC_SIGN_P256_SHA256", "p384": "EC_SIGN_P384_SHA384", "ed": "EC_SIGN_ED25519"}
DIGESTS = {"p256": "sha256", "p384": "sha384"}
ENABLED = ("2", "10")
TOKEN = "an-example-of-a-token"
_PATH = re.compile(
    r"/v1/" + re.escape(RING) + r"(\w+)/cryptoKeyVersions(?:/(\d+)(/publicKey|:asymmetricSign))?"
)


def answer(asked: Asked) -> Answer:
    """As Cloud KMS answers. Every key has the enabled versions 2 and 10; the others are disabled."""
    path, _, query = asked.path.partition("?")
    if path == "/token":
        return 200, {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
    if not asked.headers.get("authorization", "").startswith("Bearer "):
        return refused(401, "UNAUTHENTICATED")
    found = _PATH.fullmatch(path)
    if found is None or found[1] not in KEYS:
        return refused(404, "NOT_FOUND")
    name, number, action = found.groups()
    version = f"{RING}{name}/cryptoKeyVersions/{number}"
    if action is None:
        assert "filter=state%3DENABLED" in query
        listed = [{"name": f"{RING}{name}/cryptoKeyVersions/{each}", "state": "ENABLED"} for each in ENABLED]
        return 200, {"cryptoKeyVersions": listed}
    if number not in ENABLED:
        return refused(400, "FAILED_PRECONDITION")
    if action == "/publicKey":
        pem = spki(KEYS[name], Encoding.PEM)
        algorithm = ALGORITHMS[name]
        return 200, {
            "name": version,
            "pem": pem.decode(),
            "pemCrc32c": str(crc32c(pem)),
            "algorithm": algorithm,
        }
    digest = base64.b64decode(asked.json["digest"][DIGESTS[name]])
    return signed(version, sign_digest(KEYS[name], digest), int(asked.json["digestCrc32c"]) == crc32c(digest))


def signed(version: str, signature: bytes, verified: bool = True) -> Answer:
    """What ``asymmetricSign`` answers."""
    return 200, {
        "name": version,
        "signature": base64.b64encode(signature).decode(),
        "signatureCrc32c": str(crc32c(signature)),
        "verifiedDigestCrc32c": verified,
    }


def refused(code: int, status: str) -> Answer:
    """An error."""
    return code, {"error": {"code": code, "message": "the service's own words", "status": status}}


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    with service(folder):
        yield {
            "newest version": f"gcpkms://{RING}p256",
            "named version": f"gcpkms://{RING}p384/versions/2",
            "cosign's way to name it": f"gcpkms://{RING}p256/cryptoKeyVersions/10",
        }


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """The stub, and the environment of somebody with a service account's key file."""
    pytest.importorskip("google.cloud.kms_v1")
    with serving(answer) as running:
        account = folder / "account.json"
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "project_id": "p",
                    "private_key_id": "1",
                    "private_key": pem,
                    "client_email": "builder@p.iam.example",
                    "client_id": "1",
                    "token_uri": f"{running.url}/token",
                }
            )
        )
        clean = {name: None for name in os.environ if name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_"))}
        with (
            environment(**clean),
            environment(
                **{ENDPOINT_VARIABLE: f"{running.url}/"},
                GOOGLE_APPLICATION_CREDENTIALS=str(account),
                NO_GCE_CHECK="true",
                HOME=str(folder),
            ),
        ):
            yield running


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return f"gcpkms://{RING}nobody"
