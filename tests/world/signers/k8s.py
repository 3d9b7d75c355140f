"""The place where Kubernetes' secrets live: a stub of the API server's one method that we use."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tuneguard.signing.key import KeyType, make_pair
from world.keys import cosign_key
from world.services import environment, serving, spki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from world.services import Answer, Asked, Service

PASSPHRASE = b"unused passphrase"
TOKEN = "an-example-of-a-token"
SECRET = ec.generate_private_key(ec.SECP256R1())
PREFIX = "/api/v1/namespaces/ml/secrets/"


def members(password: bytes = b"pw", **changed: bytes | None) -> dict[str, bytes]:
    """What cosign writes into a secret; None leaves a member out."""
    inside = SECRET.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    data = {
        "cosign.key": cosign_key(inside, password),
        "cosign.pub": spki(SECRET, Encoding.PEM),
        "cosign.password": password,
        **{f"cosign.{name}": value for name, value in changed.items()},
    }
    return {name: value for name, value in data.items() if value is not None}


def secret(data: dict[str, bytes]) -> Answer:
    """A secret as the API server gives it."""
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    return 200, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": encoded}


def refused(status: int) -> Answer:
    """An error."""
    return status, {
        "kind": "Status",
        "status": "Failure",
        "message": "the server's own words",
        "code": status,
    }


def answering(folder: Path):
    """As the API server answers."""
    make_pair(folder / "pkcs8.key", type=KeyType.P384, passphrase=b"pw")
    kept = {
        "signer": members(),
        "pkcs8": {"cosign.key": (folder / "pkcs8.key").read_bytes(), "cosign.password": b"pw"},
    }

    def answer(asked: Asked) -> Answer:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return refused(401)
        name = asked.path.removeprefix(PREFIX)
        return secret(kept[name]) if name in kept else refused(404)

    return answer


@contextlib.contextmanager
def place(folder: Path) -> Iterator[dict[str, str]]:
    """One URI for each sort of key that can live here."""
    with service(folder):
        yield {"cosign's": "k8s://ml/signer", "PKCS#8": "k8s://ml/pkcs8"}


@contextlib.contextmanager
def service(folder: Path) -> Iterator[Service]:
    """The stub, and a kubeconfig that leads to it."""
    pytest.importorskip("kubernetes")
    with serving(answering(folder)) as running:
        config = folder / "kubeconfig"
        config.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": {"server": running.url}}],
                    "users": [{"name": "u", "user": {"token": TOKEN}}],
                }
            )
        )
        with environment(KUBECONFIG=str(config), HOME=str(folder)):
            yield running


def missing(folder: Path) -> str:
    """The URI of a key that is not there."""
    return "k8s://ml/nobody"
