"""A key in the transit engine of HashiCorp Vault (or OpenBao): ``hashivault://KEY``, as cosign writes it.

``VAULT_ADDR`` is the address, ``VAULT_TOKEN`` or ``~/.vault-token`` the token,
``TRANSIT_SECRET_ENGINE_PATH`` the mount (``transit``), ``VAULT_NAMESPACE`` the namespace, ``VAULT_CACERT``
the authorities to believe. Without TLS it is used on this machine only, and no redirect is followed: the
token goes to the address named.

The latest version of the key at opening is the one that signs. Two calls, with ``read`` on
``transit/keys/KEY`` and ``update`` on ``transit/sign/KEY`` (Vault API, "Transit secrets engine").
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tuneguard import limits
from tuneguard.errors import NotUnderstood, TuneguardError, UsageError
from tuneguard.files import printable, read_named
from tuneguard.records import read_json
from tuneguard.signing.key import KeyType, PublicKey
from tuneguard.signing.remote import (
    ANSWER_BYTES,
    CONNECT_SECONDS,
    READ_SECONDS,
    Faltered,
    RemoteSigner,
    attempts,
    faltered,
    prehashed,
)
from tuneguard.signing.signer import SignerKind, secret_in

if TYPE_CHECKING:
    from tuneguard.signing.signer import PassphraseSource

_URI = re.compile(r"hashivault://(?P<key>\w(?:[\w.-]{0,254}\w)?)", re.ASCII | re.IGNORECASE)
_MOUNT = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)
_SIGNATURE = re.compile(r"vault:v[0-9]+:([A-Za-z0-9+/=]+)")
_HASHES = {KeyType.P256: "sha2-256", KeyType.P384: "sha2-384"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def open_key(uri: str, _: PassphraseSource) -> RemoteSigner:
    """Fetch the public key that `uri` names.

    Raises:
        UsageError: Vault is not set up, no such key, one that we do not sign with, or no permission.
        CannotLook: Vault cannot be reached, is sealed, or falters.
    """
    found = _URI.fullmatch(uri)
    where = printable(uri)[:300]
    if found is None:
        raise UsageError("is not a key of Vault's transit engine", where=where, help="write hashivault://KEY")
    vault = _Vault.of_environment(where)
    answer = attempts(where, lambda: vault.call("GET", f"keys/{found['key']}"))
    version, key = _latest(answer, where)

    def sign_once(message: bytes) -> bytes:
        asked: dict[str, Any] = {"key_version": version}
        if key.type is KeyType.ED25519:
            asked |= {"input": _text(message)}
        else:
            asked |= {
                "input": _text(prehashed(key, message)),
                "prehashed": True,
                "hash_algorithm": _HASHES[key.type],
                "marshaling_algorithm": "asn1",
            }
        signed = vault.call("POST", f"sign/{found['key']}", asked).get("signature")
        matched = _SIGNATURE.fullmatch(signed) if isinstance(signed, str) else None
        if matched is None:
            raise NotUnderstood("returned something else than a signature", where=where)
        return _bytes(matched[1], where)

    return RemoteSigner(where, key, sign_once)


def _latest(answer: dict[str, Any], where: str) -> tuple[int, PublicKey]:
    """The newest version of a key, and its public half."""
    version = answer.get("latest_version")
    versions = answer.get("keys")
    entry = versions.get(str(version)) if isinstance(versions, dict) else None
    text = entry.get("public_key") if isinstance(entry, dict) else None
    kind = printable(str(answer.get("type")))[:40]
    if type(version) is not int or not isinstance(text, str) or not text:
        raise UsageError(
            f"is a key of type {kind}, which has no public half",
            where=where,
            help="name a key of type ecdsa-p256, ecdsa-p384 or ed25519",
        )
    if kind != "ed25519":
        return version, PublicKey.from_pem(text.encode(), where)
    try:
        raw = Ed25519PublicKey.from_public_bytes(_bytes(text, where))
    except ValueError as error:
        raise NotUnderstood("returned a public key that is none", where=where) from error
    return version, PublicKey(raw.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@dataclass(frozen=True, repr=False)
class _Vault:
    """Where Vault is and who we are to it. Never shown: it holds the token."""

    base: str
    headers: dict[str, str]
    ca: str | None
    where: str

    @classmethod
    def of_environment(cls, where: str) -> _Vault:
        """As Vault's own command line reads it."""
        address = os.environ.get("VAULT_ADDR", "")
        at = urlsplit(address)
        if at.scheme not in ("http", "https") or not at.hostname or at.username is not None:
            raise UsageError("VAULT_ADDR names no Vault", where=where, help="set it to https://HOST:PORT")
        if at.scheme == "http" and at.hostname not in _LOOPBACK:
            raise UsageError("VAULT_ADDR is without TLS", where=where, help="set it to https://HOST:PORT")
        mount = os.environ.get("TRANSIT_SECRET_ENGINE_PATH", "transit").strip("/")
        if _MOUNT.fullmatch(mount) is None or ".." in mount:
            raise UsageError(
                "TRANSIT_SECRET_ENGINE_PATH is no mount", where=where, help="set it, for example, to transit"
            )
        token = _token()
        if not token or not token.isascii() or not token.isprintable():
            raise UsageError(
                "there is no token for Vault", where=where, help="vault login, or set VAULT_TOKEN"
            )
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if namespace := os.environ.get("VAULT_NAMESPACE"):
            headers["X-Vault-Namespace"] = namespace
        ca = os.environ.get("VAULT_CACERT") or None
        return cls(f"{at.scheme}://{at.netloc}{at.path.rstrip('/')}/v1/{mount}", headers, ca, where)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The member ``data`` of an answer.

        Raises:
            Faltered: another try may help.
            UsageError: Vault refuses.
        """
        import urllib3

        pool = urllib3.PoolManager(ca_certs=self.ca, cert_reqs="CERT_REQUIRED")
        try:
            with pool.request(
                method,
                f"{self.base}/{path}",
                json=body,
                headers=self.headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                redirect=False,
                retries=False,
                preload_content=False,
            ) as response:
                status, data = response.status, response.read(ANSWER_BYTES + 1)
        except urllib3.exceptions.SSLError as error:
            raise UsageError(
                "Vault's TLS certificate is not believed", where=self.where, help="set VAULT_CACERT"
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise faltered(error, "check VAULT_ADDR") from error
        finally:
            pool.clear()
        if status != 200:
            raise self._refusal(status, data)
        answer = read_json(data, self.where, limit=ANSWER_BYTES)
        found = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise NotUnderstood("returned something else than Vault does", where=self.where)
        return found

    def _refusal(self, status: int, data: bytes) -> Exception:
        """What a status means. Vault's own words name which key type or version is wrong."""
        if status == 503:
            return Faltered("is sealed or down", help="have Vault unsealed")
        if status == 429 or status >= 500:
            return Faltered("is throttled" if status == 429 else f"answers {status}")
        what, help = {
            403: (
                "the token may not use the key",
                "give it read on keys/KEY and update on sign/KEY, or log in",
            ),
            404: ("there is no such key", "check the key, TRANSIT_SECRET_ENGINE_PATH and VAULT_NAMESPACE"),
            307: ("points to another node", "set VAULT_ADDR to the active node, or to the load balancer"),
        }.get(
            status,
            (f"refuses ({status}): {_reason(data)}", "see Vault's documentation of the transit engine"),
        )
        return UsageError(what, where=self.where, help=help)


def _reason(data: bytes) -> str:
    """The first of Vault's own errors."""
    try:
        errors = read_json(data, "Vault's answer", limit=ANSWER_BYTES)["errors"]
        return printable(str(errors[0]))[:120]
    except (TuneguardError, KeyError, IndexError, TypeError):
        return "no reason given"


def _token() -> str:
    """The token that the environment has, or else the one that ``vault login`` left; empty without both."""
    path = Path.home() / ".vault-token"
    data = os.environb.get(b"VAULT_TOKEN", b"")
    if not data and path.exists():
        data = read_named(path, limits.PASSPHRASE_BYTES)
    return secret_in(data).decode(errors="replace")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotUnderstood("returned something that is not base64", where=where) from error


SIGNER = SignerKind(id="hashivault", schemes=("hashivault",), open=open_key, needs_passphrase=lambda _: False)
