"""A registry on loopback that is honest unless a test scripts it: uploads, referrers, tokens, a log."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class World:
    """What the registry holds, how it behaves, and what was asked of it."""

    api: bool = True
    etags: bool = True
    token: str | None = None
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    script: Callable[[Handler], bool] = lambda _: False
    """Called first for every request; True when it has answered."""
    host: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)


class Handler(BaseHTTPRequestHandler):
    """One request; `world` is set on the class that `serving` makes."""

    world: World
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; underscores in names become hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one_request(self) -> None:
        with contextlib.suppress(OSError):
            super().handle_one_request()

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do(self) -> None:
        at = urlsplit(self.path)
        self.world.log.append(f"{self.command} {at.path}")
        self.world.secrets.append(self.headers.get("Authorization"))
        if self.world.script(self):
            return None
        if at.path == "/token":
            return self.answer(200, json.dumps({"token": self.world.token}).encode())
        if self.world.token and self.headers.get("Authorization") != f"Bearer {self.world.token}":
            self.body()
            realm = f'Bearer realm="http://{self.world.host}/token",service="world"'
            return self.answer(401, WWW_Authenticate=realm)
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, at.path):
                return method(self, *found.groups(), query=parse_qs(at.query))
        return self.answer(404)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do  # noqa: N815 (the names that http.server calls)

    def blob(self, digest: str, query: object) -> None:
        data = self.world.blobs.get(digest)
        if data is None:
            return self.answer(404)
        if asked := self.headers.get("Range"):
            start, end = asked_range(asked, len(data))
            part = f"bytes {start}-{end}/{len(data)}"
            return self.answer(206, data[start : end + 1], Content_Range=part)
        return self.answer(200, data)

    def begin(self, query: dict[str, list[str]]) -> None:
        self.body()
        if query.get("mount", [""])[0] in self.world.blobs:
            return self.answer(201)
        name = secrets.token_hex(8)
        self.world.uploads[name] = b""
        return self.answer(202, Location=f"/v2/m/blobs/uploads/{name}")

    def upload(self, name: str, query: dict[str, list[str]]) -> None:
        held = self.world.uploads.get(name)
        if held is None:
            self.body()  # what is left unread would be taken for the next request
            return self.answer(404)
        place = {"Location": f"/v2/m/blobs/uploads/{name}", "Range": f"0-{max(0, len(held) - 1)}"}
        if self.command == "GET":
            return self.answer(204, **place)
        data = self.body()
        asked = self.headers.get("Content-Range")
        if asked and int(asked.partition("-")[0]) != len(held):
            return self.answer(416, **place)
        held = self.world.uploads[name] = held + data
        if self.command == "PATCH":
            return self.answer(202, **{**place, "Range": f"0-{max(0, len(held) - 1)}"})
        digest = query["digest"][0]
        if digest != digest_of(held):
            return self.answer(400)
        self.world.blobs[digest] = self.world.uploads.pop(name)
        return self.answer(201)

    def manifest(self, name: str, query: object) -> None:
        with self.world.lock:
            stands = self.world.tags.get(name, name)
            if self.command != "PUT":
                found = self.world.manifests.get(stands)
                if found is None:
                    return self.answer(404)
                more = {"ETag": f'"{stands}"'} if self.world.etags else {}
                return self.answer(200, found[0], Content_Type=found[1], Docker_Content_Digest=stands, **more)
            data = self.body()
            match = self.headers.get("If-Match")
            if self.world.etags and match and match != f'"{stands}"':
                return self.answer(412)
            digest = digest_of(data)
            self.world.manifests[digest] = data, self.headers["Content-Type"]
            if name != digest:
                self.world.tags[name] = digest
            subject = json.loads(data).get("subject", {}).get("digest")
            more = {"OCI_Subject": subject} if subject and self.world.api else {}
            return self.answer(201, **more)

    def listed(self, digest: str, query: object) -> None:
        if not self.world.api:
            return self.answer(404)
        entries = [
            {"mediaType": kind, "digest": name, "size": len(data)}
            for name, (data, kind) in self.world.manifests.items()
            if json.loads(data).get("subject", {}).get("digest") == digest
        ]
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        return self.answer(200, body, Content_Type=INDEX)


ROUTES = (
    (r"/v2/m/blobs/(sha256:\w+)", Handler.blob),
    (r"/v2/m/blobs/uploads/", Handler.begin),
    (r"/v2/m/blobs/uploads/(\w+)", Handler.upload),
    (r"/v2/m/manifests/(.+)", Handler.manifest),
    (r"/v2/m/referrers/(.+)", Handler.listed),
)


def asked_range(asked: str, size: int) -> tuple[int, int]:
    """The first and the last byte that a header ``Range`` asks for."""
    start, _, end = asked.removeprefix("bytes=").partition("-")
    return int(start), min(int(end or size - 1), size - 1)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@contextlib.contextmanager
def serving(**behaviour: object) -> Iterator[World]:
    """A registry until leaving; its repository is ``m``."""
    world = World(**behaviour)  # type: ignore[arg-type]
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"world": world}))
    server.daemon_threads = True
    world.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
