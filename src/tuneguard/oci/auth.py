"""Who we are to a registry: Docker's configuration, its helpers, and tokens.

Credentials are looked for in ``$REGISTRY_AUTH_FILE``, ``$DOCKER_CONFIG/config.json``,
``~/.docker/config.json`` and ``$XDG_RUNTIME_DIR/containers/auth.json``, the first that knows the host.
They go to the registry itself (basic) or to the token server that its challenge names (distribution
specification, "Token Authentication"), over TLS, or without only where the person allowed it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import selectors
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError, mendable
from tuneguard.files import printable, read_named
from tuneguard.oci.http import shown
from tuneguard.records import read_json

if TYPE_CHECKING:
    from tuneguard.oci.http import Response, Transport

_HELPER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HELPER_SECONDS = 30
_LIFE = 60
"""Seconds that a token lives at least, and without an expiry (Token Authentication, expires_in)."""
_EARLY = 10
_CHALLENGE = re.compile(r'\s*([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)')


@dataclass(frozen=True)
class Credentials:
    """A name and a secret, or an identity token of a token server."""

    user: str = ""
    secret: str = ""
    identity: str | None = None

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """The header that bears them."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True)
class _Header:
    """What a request bears, until when (of the monotonic clock), and the challenge that it answers."""

    text: str
    until: float = 0.0
    challenge: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "_Header(…)"


class Authenticator:
    """Answers a registry's challenges; what it learnt is kept by scope."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: dict[str, _Header] = {}
        self._credentials: Credentials | None = None
        self._looked = False
        self._lock = threading.Lock()

    def header(self, scope: str) -> str | None:
        """The header that is good for this scope, as far as we know: a token that runs out is renewed.

        So a long upload does not meet a refusal in its middle.
        """
        with self._lock:
            known = self._known.get(scope)
            if known is None:
                return None
            if known.challenge is not None and time.monotonic() >= known.until:
                known = self._known[scope] = self._bearer(known.challenge, scope)
            return known.text

    def answer(self, challenged: Response, scope: str, refused: str | None) -> str:
        """A header after a 401; `refused` is the one that was sent.

        Raises:
            UsageError: there are no credentials, or they were not taken.
            Refused: the token server is one to which we do not send them.
        """
        text = challenged.headers.get("WWW-Authenticate", "")
        with self._lock:
            known = self._known.get(scope)
            if known is not None and known.text != refused:  # another thread was first
                return known.text
            scheme, _, rest = text.partition(" ")
            if scheme.lower() == "basic":
                found = self._own()
                if found is None or found.basic == refused:
                    raise self._not_let_in()
                header = _Header(found.basic)
            elif scheme.lower() == "bearer":
                header = self._bearer(_parameters(rest), scope)
            else:
                raise NotUnderstood(
                    f"asks for the authentication {printable(scheme)[:40] or 'none'}",
                    where=self._transport.host,
                )
            self._known[scope] = header
            return header.text

    def _own(self) -> Credentials | None:
        if not self._looked:
            self._credentials, self._looked = find(self._transport.host), True
        return self._credentials

    def _not_let_in(self) -> UsageError:
        return UsageError(
            "does not let us in",
            where=self._transport.host,
            help=f"log in first, as with docker login {self._transport.host}",
        )

    def _bearer(self, named: dict[str, str], scope: str) -> _Header:
        realm = named.get("realm", "")
        self._transport.allowed(realm, before=self._transport.base)
        own = self._own()
        query = {"service": named["service"]} if "service" in named else {}
        if own is not None and own.identity is not None:
            form = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": own.identity,
                "client_id": "tuneguard",
                "scope": scope,
            }
            response = self._transport.request(
                "POST",
                realm,
                "token",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode(form).encode(),
            )
        else:
            pairs = [*query.items(), *(("scope", each) for each in scope.split())]
            url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(pairs)}"
            response = self._transport.request("GET", url, "token", secret=None if own is None else own.basic)
        data = response.read(limits.REGISTRY_TOKEN_BYTES)
        if response.status in (400, 401, 403):
            raise UsageError(
                f"the token server answers {response.status}",
                where=shown(realm),
                help=f"log in first, as with docker login {self._transport.host}",
            )
        if response.status != 200:
            raise CannotLook(f"the token server answers {response.status}", where=shown(realm))
        found = read_json(data, shown(realm), limit=limits.REGISTRY_TOKEN_BYTES)
        token = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise NotUnderstood("the token server gave no token", where=shown(realm))
        life = found.get("expires_in")
        if not isinstance(life, int) or isinstance(life, bool) or life < _LIFE:
            life = _LIFE
        return _Header(f"Bearer {token}", time.monotonic() + life - _EARLY, named)


def find(host: str) -> Credentials | None:
    """The credentials for a registry that the person has, or None.

    Raises:
        ConfigurationError: a configuration file is not one.
        CannotLook: a credential helper fails.
    """
    for path in _files():
        if path.is_file():
            found = _in_file(_configuration(path), host, printable(str(path)))
            if found is not None:
                return found
    return None


@mendable()
def _configuration(path: Path) -> dict[str, Any]:
    data = read_json(read_named(path, limits.RECORD_BYTES), str(path), limit=limits.RECORD_BYTES)
    if not isinstance(data, dict):
        raise NotUnderstood("is not a configuration of Docker", where=printable(str(path)))
    return data


def _files() -> list[Path]:
    found = []
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        found.append(Path(named))
    home = os.environ.get("DOCKER_CONFIG")
    found.append((Path(home) if home else Path.home() / ".docker") / "config.json")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(runtime) / "containers/auth.json")
    return found


def _in_file(data: dict[str, Any], host: str, where: str) -> Credentials | None:
    helpers, stored = data.get("credHelpers"), data.get("credsStore")
    helper = helpers.get(host) if isinstance(helpers, dict) else None
    for name in (helper, stored):
        if isinstance(name, str) and name:
            found = _ask(name, host, where)
            if found is not None:
                return found
    return _entry(data.get("auths"), host, where)


def _entry(listed: object, host: str, where: str) -> Credentials | None:
    """What the file itself holds for a host."""
    entry = None
    for name in (host, f"https://{host}", f"http://{host}", f"https://{host}/"):
        entry = entry or (listed.get(name) if isinstance(listed, dict) else None)
    if not isinstance(entry, dict):
        return None
    identity = entry.get("identitytoken")
    if isinstance(identity, str) and identity:
        return Credentials(identity=identity)
    if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        return Credentials(entry["username"], entry["password"])
    if not entry.get("auth"):
        return None
    try:
        user, colon, secret = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (ValueError, TypeError):
        colon = user = secret = ""
    if not colon:
        raise UsageError(f"the entry for {printable(host)} is not a name and a password", where=where)
    return Credentials(user, secret.rstrip("\0"))


def _ask(name: str, host: str, where: str) -> Credentials | None:
    """What ``docker-credential-NAME get`` states, within a time and a size."""
    if _HELPER.fullmatch(name) is None:
        raise Refused("names a credential helper that is not a name", where=where)
    program = f"docker-credential-{name}"
    try:
        running = subprocess.Popen(
            [program, "get"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise CannotLook(f"{program} cannot be run", where=where, help="install it") from error
    try:
        output = _output_of(running, host.encode(), time.monotonic() + _HELPER_SECONDS)
        code = running.returncode
    except TimeoutError as error:
        raise CannotLook(f"{program} does not answer within {_HELPER_SECONDS} s", where=where) from error
    finally:
        running.kill()
        running.wait()
    if len(output) > limits.REGISTRY_TOKEN_BYTES:
        raise CannotLook(f"{program} prints too much", where=where)
    if code:
        if b"credentials not found" in output:
            return None
        raise CannotLook(f"{program} failed", where=where, help=f"try: echo {host} | {program} get")
    found = read_json(output, program, limit=limits.REGISTRY_TOKEN_BYTES)
    user, secret = (found.get("Username"), found.get("Secret")) if isinstance(found, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str):
        raise NotUnderstood(f"{program} gave no credentials", where=where)
    return Credentials(identity=secret) if user == "<token>" else Credentials(user, secret)


def _output_of(running: subprocess.Popen[bytes], asked: bytes, until: float) -> bytes:
    """What a program answers until it ends. Its children may hold its output open for longer.

    Raises:
        TimeoutError: it is not done in time.
    """
    assert running.stdin is not None
    assert running.stdout is not None
    output = b""
    with running.stdin, running.stdout, selectors.DefaultSelector() as selector:
        with contextlib.suppress(BrokenPipeError):  # it did not want to know
            os.write(running.stdin.fileno(), asked)
            running.stdin.close()
        selector.register(running.stdout, selectors.EVENT_READ)
        while len(output) <= limits.REGISTRY_TOKEN_BYTES and time.monotonic() < until:
            ended = running.poll() is not None
            if selector.select(0.1):
                if not (chunk := os.read(running.stdout.fileno(), limits.REGISTRY_TOKEN_BYTES)):
                    break
                output += chunk
            elif ended:
                return output
    if len(output) <= limits.REGISTRY_TOKEN_BYTES:
        try:
            running.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
    return output


def _parameters(text: str) -> dict[str, str]:
    """``realm="…",service="…"`` of a challenge (RFC 7235, section 4.1)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text) and (match := _CHALLENGE.match(text, at)):
        quoted = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        found.setdefault(match[1].lower(), quoted)
        at = match.end()
    return found
