"""The smallest OpenID Connect issuer that Fulcio believes: discovery, keys, and a token for anybody."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN_SECONDS = 600


class Issuer:
    """Signs identity tokens (RS256) and serves what is needed to check them."""

    def __init__(self, key: Path) -> None:
        self._key = load_pem_private_key(key.read_bytes(), None)
        self.url = ""

    def token(self, email: str, **changed: object) -> str:
        """An identity token for `email`; `changed` claims replace the honest ones."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "sigstore",
            "sub": email,
            "email": email,
            "email_verified": True,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
        }
        head = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        body = f"{_part(json.dumps(head).encode())}.{_part(json.dumps({**claims, **changed}).encode())}"
        signature = self._key.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{body}.{_part(signature)}"

    def document(self, path: str) -> dict[str, object] | None:
        """What is served below `url`."""
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        if path == "/keys":
            numbers = self._key.public_key().public_numbers()
            modulus, exponent = numbers.n.to_bytes(256, "big"), numbers.e.to_bytes(3, "big")
            key = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256"}
            return {"keys": [{**key, "n": _part(modulus), "e": _part(exponent)}]}
        return None


@contextmanager
def serve(key: Path) -> Iterator[Issuer]:
    """An issuer on a free port of loopback."""
    issuer = Issuer(key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = issuer.document(self.path)
            data = json.dumps(found or {"error": "not found"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        issuer.url = f"http://127.0.0.1:{listening.server_port}"
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield issuer
        finally:
            listening.shutdown()


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
