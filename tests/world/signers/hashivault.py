"""The place where Vault's keys live: a stub of the transit engine's two calls that we use."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from world.services import environment, serving, sign_digest, spki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world.services import Answer, Asked, Service

PASSPHRASE = b"unused passphrase"
TOKEN = "hvs.example-of-a-token"
KEYS = {
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
}
TYPES = {"p256": "ecdsa-p256", "p384": "ecdsa-p384", "ed": "ed25519"}
LENGTHS = {"sha2-256": 32, "sha2-384": 48}
VERSION = 3


def answer(asked: Asked) -> Answer:
    """As Vault answers, with the key's third version as its latest."""
    if asked.headers.get("x-vault-token") != TOKEN:
        return 403, {"errors": ["permission denied"]}
    mount, action, name = asked.path.rsplit("/", 2)
    if mount != "/v1/transit" or name not in KEYS:
        return 404, {"errors": []}
    key = KEYS[name]
    if action == "keys":
        public = (
            base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
            if isinstance(key, ed25519.Ed25519PrivateKey)
            else spki(key, Encoding.PEM).decode()
        )
        return 200, {
            "data": {
                "type": TYPES[name],
                "latest_version": VERSION,
                "keys": {"1": {"public_key": "an older one"}, str(VERSION): {"public_key": public}},
            }
        }
    said = asked.json
    data = base64.b64decode(said["input"])
    if said["key_version"] != VERSION:
        return 400, {"errors": ["requested version for signing is less than the minimum"]}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        signature = key.sign(data)
    elif not said["prehashed"] or said["marshaling_algorithm"] != "asn1":
        return 400, {"errors": ["this stub signs digests, in ASN.1"]}
    elif LENGTHS[said["hash_algorithm"]] != len(data):
        return 400, {"errors": ["prehashed input has the wrong length"]}
    else:
        signature = sign_digest(key, data)
    return 200, {"data": {"signature": f"vault:v{VERSION}:{base64.b64encode(signature).decode()}"}}


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    with service(folder):
        yield {TYPES[name]: f"hashivault://{name}" for name in KEYS}


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """The stub, and the environment of somebody who has logged in."""
    with (
        serving(answer) as running,
        environment(
            VAULT_ADDR=running.url,
            VAULT_TOKEN=TOKEN,
            HOME=str(folder),
            VAULT_NAMESPACE=None,
            VAULT_CACERT=None,
            TRANSIT_SECRET_ENGINE_PATH=None,
        ),
    ):
        yield running


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return "hashivault://nobody"
