"""The place where Key Vault's keys live: a stub of ``Get Key`` and ``Sign``, and of a managed identity."""

from __future__ import annotations

import base64
import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from world.services import environment, serving, sign_digest, tls_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world.services import Answer, Asked, Service

_VAULT = "STUB_VAULT"
PASSPHRASE = b"unused passphrase"
TOKEN = "an-example-of-a-token"
VERSION = "0123456789abcdef0123456789abcdef"
KEYS = {
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
}
CURVES = {"p256": ("P-256", "ES256", 32), "p384": ("P-384", "ES384", 48)}
CHALLENGE = 'Bearer authorization="https://login.example/tenant", resource="https://vault.azure.net"'


def answer(asked: Asked) -> Answer:
    """As Key Vault answers: a challenge first, then with the token."""
    path, _, _ = asked.path.partition("?")
    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        return 401, {"error": {"code": "Unauthorized"}}, {"WWW-Authenticate": CHALLENGE}
    parts = path.strip("/").split("/")
    name = parts[1]
    if parts[0] != "keys" or name not in KEYS or parts[2:3] not in ([], [VERSION]):
        return refused(404, "KeyNotFound")
    _, algorithm, size = CURVES[name]
    if parts[3:] != ["sign"]:
        return 200, held(asked, name)
    said = asked.json
    digest = base64.urlsafe_b64decode(said["value"] + "==")
    if said["alg"] != algorithm or len(digest) != size:
        return refused(400, "BadParameter")
    r, s = decode_dss_signature(sign_digest(KEYS[name], digest))
    return 200, {
        "kid": held(asked, name)["key"]["kid"],
        "value": text(r.to_bytes(size, "big") + s.to_bytes(size, "big")),
    }


def held(asked: Asked, name: str, **attributes: object) -> dict[str, dict[str, object]]:
    """What ``Get Key`` says about a key."""
    curve, _, size = CURVES[name]
    numbers = KEYS[name].public_key().public_numbers()
    return {
        "key": {
            "kid": f"https://{asked.headers['host']}/keys/{name}/{VERSION}",
            "kty": "EC-HSM",
            "crv": curve,
            "key_ops": ["sign", "verify"],
            "x": text(numbers.x.to_bytes(size, "big")),
            "y": text(numbers.y.to_bytes(size, "big")),
        },
        "attributes": {"enabled": True, **attributes},
    }


def refused(status: int, code: str) -> Answer:
    """An error."""
    return status, {"error": {"code": code, "message": "the service's own words"}}


def text(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def identity(_: Asked) -> Answer:
    """The managed identity of an App Service, which needs no secret."""
    return 200, {"access_token": TOKEN, "expires_on": "4102444800", "resource": "x", "token_type": "Bearer"}


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    with service(folder) as running:
        yield {
            "p256, current": f"azurekms://{running.host}/p256",
            "p384, by version": f"azurekms://{running.host}/p384/{VERSION}",
        }


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """The stub, and the environment of a machine with a managed identity."""
    pytest.importorskip("azure.keyvault.keys")
    context, authorities = tls_of(folder)
    clean = {name: None for name in os.environ if name.startswith(("AZURE_", "MSI_", "IDENTITY_"))}
    with (
        serving(answer, context) as running,
        serving(identity) as who,
        environment(**clean),
        environment(
            IDENTITY_ENDPOINT=f"{who.url}/token",
            IDENTITY_HEADER="header",
            REQUESTS_CA_BUNDLE=authorities,
            HOME=str(folder),
            **{_VAULT: running.host},
        ),
    ):
        yield running


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return f"azurekms://{os.environ[_VAULT]}/nobody"
