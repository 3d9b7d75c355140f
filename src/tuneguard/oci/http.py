"""One request to a registry: TLS, time bounds, bounded bodies, retries that are seen, redirects by hand.

A response is never decoded, its head is bounded by the HTTP reader, and a watch ends the connection
when the whole request has taken too long: a server that drips one byte a second cannot hold us.
The credentials of a request belong to one origin and are sent to no other.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from tuneguard import limits
from tuneguard.errors import CannotLook, Refused, TuneguardError, UsageError
from tuneguard.files import fault_point, printable
from tuneguard.progress import SILENT, Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from urllib.parse import SplitResult

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
BLOCK = 256 * 1024
"""Bytes read or sent at once: large blocks cost more, since each is new memory that the kernel must clear."""
_JITTER = random.SystemRandom()


@dataclass(frozen=True)
class Timing:
    """Time bounds in seconds, and how often is tried. Tests set them small."""

    connect: float = 10
    idle: float = 60
    whole: float = 120
    bytes_a_second: float = 64 * 1024
    """The slowest rate at which a blob may come or go, beyond `whole`."""
    tries: int = 4
    wait: float = 0.5
    longest_wait: float = 30
    settle: tuple[float, ...] = (0.05, 0.15)
    """When a fallback tag is read again after it was written, to see that nobody wrote over it."""
    sleep: Callable[[float], object] | None = None
    """What waits; None for a wait that `Transport.abandon` ends."""

    def for_size(self, size: int) -> float:
        """How long a request with `size` bytes may take."""
        return self.whole + size / self.bytes_a_second


class Broken(CannotLook):
    """The connection failed or a server faltered: another try may help. `after` is its Retry-After."""

    def __init__(self, what: str, *, where: str, after: float | None = None) -> None:
        super().__init__(what, where=where, help="check the network and the registry, then run again")
        self.after = after


class Response:
    """A status, a head, and a body that is read once, within the request's time."""

    def __init__(self, raw: Any, url: str, watch: _Watch) -> None:
        self._raw, self.url, self._watch = raw, url, watch
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers

    def stream(self) -> Iterator[bytes]:
        """The body as it comes, undecoded.

        Raises:
            Broken: it ended early, or took too long.
        """
        with self.closing(), _translated(self.url, self._watch):
            while chunk := self._raw.read(BLOCK, decode_content=False):
                yield chunk

    def read(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            Refused: it has more than `limit` bytes.
        """
        parts, left = [], limit
        for chunk in self.stream():
            left -= len(chunk)
            if left < 0:
                raise Refused(f"an answer has more than {limit:,} bytes", where=shown(self.url))
            parts.append(chunk)
        return b"".join(parts)

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """End the request when left: its connection is used again only if all was read."""
        try:
            yield
        except BaseException:
            self._raw.close()
            raise
        finally:
            self.drop()

    def drop(self) -> None:
        """Done with it. A short rest is read so that the connection can serve again."""
        try:
            left = self._raw.length_remaining
            if left is None or left > limits.REGISTRY_ERROR_BYTES:
                self._raw.close()
            else:
                self._raw.drain_conn()
            self._raw.release_conn()
        except Exception:  # noqa: BLE001 (whatever state it is in, it is not used again)
            self._raw.close()
        finally:
            self._watch.end()


class Transport:
    """Sends requests to one registry and to where it redirects reads."""

    def __init__(
        self,
        host: str,
        *,
        insecure: frozenset[str] = frozenset(),
        ca: Path | None = None,
        timing: Timing | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        self.host, self._insecure, self._reporter = host, insecure, reporter
        self.timing = timing or Timing()
        # Who names authorities means TLS, on this machine too.
        plain = self.plain(urlsplit(f"//{host}")) and (ca is None or host in insecure)
        scheme = "http" if plain else "https"
        self.base = f"{scheme}://{host}"
        self._pool = _pool(ca, self.timing)
        self._abandoned = threading.Event()
        self._watches: set[_Watch] = set()

    def abandon(self) -> None:
        """End what is under way in any thread, and begin nothing more: for good.

        Each call that waits for an answer, or to try again, raises `CannotLook` at once.
        """
        self._abandoned.set()
        for watch in tuple(self._watches):
            watch.end_it()

    def plain(self, at: SplitResult) -> bool:
        """Whether a host may be used without TLS: it is this machine, or the person named it."""
        return (at.hostname or "").lower() in _LOOPBACK or at.netloc in self._insecure

    def same_origin(self, url: str) -> bool:
        """Whether a URL lies on the registry itself: scheme, host and port."""
        return _origin(url) == _origin(self.base)

    def allowed(self, url: str, *, before: str) -> None:
        """Refuse a URL that we do not go to.

        Raises:
            Refused: it is not HTTP, has credentials in it, or leaves TLS.
        """
        _origin(url)
        at = urlsplit(url)
        leaves = urlsplit(before).scheme == "https" and at.scheme != "https"
        if at.scheme not in ("http", "https") or not at.hostname or at.username is not None or leaves:
            raise Refused(f"{shown(before)} sends us to {shown(url)}, where we do not go", where=self.host)
        if at.scheme == "http" and not self.plain(at):
            raise Refused(
                f"{shown(url)} is without TLS",
                where=self.host,
                help="have TLS set up there; --insecure-registry HOST goes without, at your own risk",
            )

    def request(
        self,
        method: str,
        url: str,
        kind: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret: str | None = None,
        body: bytes | Iterable[bytes] | None = None,
        size: int = 0,
    ) -> Response:
        """One request, with redirects of reads followed; `secret` is for the URL's own origin alone.

        A body of bytes or none is tried again where that may help; a stream is sent once.

        Raises:
            Broken: the server cannot be reached or falters, after all tries.
            Refused: a redirect leads where we do not go, or the answer is encoded.
        """
        again = body is None or isinstance(body, bytes)
        return self.tried(
            lambda: self._followed(method, url, kind, dict(headers or {}), secret, body, size),
            tries=None if again else 1,
        )

    def tried(self, call: Callable[[], Response], *, tries: int | None = None) -> Response:
        """Call until it is not `Broken`: bounded, with growing waits, each of which is reported."""
        most = tries or self.timing.tries
        for number in range(1, most + 1):
            try:
                return call()
            except Broken as error:
                if number == most:
                    raise
                self.wait(error, number)
        raise AssertionError

    def wait(self, error: Broken, number: int) -> None:
        """Wait before try `number` + 1, as long as the server asks, within our bound, and report it."""
        self._go_on()
        pause = self.timing.wait * 2 ** (number - 1) * _JITTER.uniform(0.8, 1.2)
        if error.after is not None:
            if error.after > self.timing.longest_wait:
                raise error
            pause = max(pause, error.after)
        pause = min(pause, self.timing.longest_wait)
        self._reporter.emit("Retrying", f"{error.what}, try {number + 1} of {self.timing.tries}")
        self.pause(pause)

    def pause(self, seconds: float) -> None:
        """Do nothing for a while.

        Raises:
            CannotLook: all was abandoned.
        """
        (self.timing.sleep or self._abandoned.wait)(seconds)
        self._go_on()

    def _go_on(self) -> None:
        if self._abandoned.is_set():
            raise CannotLook("was left before it was done", where=self.host)

    def _followed(
        self,
        method: str,
        url: str,
        kind: str,
        headers: dict[str, str],
        secret: str | None,
        body: bytes | Iterable[bytes] | None,
        size: int,
    ) -> Response:
        first = _origin(url)
        until = time.monotonic() + self.timing.for_size(size)
        for _ in range(limits.REGISTRY_REDIRECTS + 1):
            sent = dict(headers)
            if secret is not None and _origin(url) == first:
                sent["Authorization"] = secret
            response = self._once(method, url, kind, sent, body, until)
            if response.status not in _MOVED or method not in ("GET", "HEAD"):
                return response
            response.drop()
            target = joined(url, response.headers.get("Location", ""))
            self.allowed(target, before=url)
            url = target
        raise Refused(f"redirects more than {limits.REGISTRY_REDIRECTS} times", where=shown(url))

    def _once(
        self,
        method: str,
        url: str,
        kind: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None,
        until: float,
    ) -> Response:
        fault_point(f"http:{method}:{kind}")
        self._go_on()
        watch = _Watch(until, self._watches)
        if self._abandoned.is_set():  # between the question above and the watch that would have been ended
            watch.end_it()
        try:
            with _translated(url, watch):
                raw = self._pool.urlopen(
                    method,
                    url,
                    body=body,
                    headers={"Accept-Encoding": "identity", "User-Agent": "tuneguard", **headers},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
        except BaseException:
            watch.end()
            raise
        response = Response(raw, url, watch)
        if response.status in _RETRIED:
            after = _seconds(response.headers.get("Retry-After"))
            response.drop()
            raise Broken(f"answers {response.status}", where=shown(url), after=after)
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            response.drop()
            raise Refused("answers in an encoding that was not asked for", where=shown(url))
        return response


class Tries:
    """How often one blob is tried again: failures in a row without progress, and its whole time.

    A server that gives one byte with each connection is not making progress.
    """

    def __init__(self, transport: Transport, size: int) -> None:
        self._transport = transport
        self._until = time.monotonic() + transport.timing.for_size(size)
        self._number = 1
        self._reached = 0

    def again(self, error: Broken, at: int) -> None:
        """Wait for the next try, after a failure with `at` bytes done; raises `error` after the last one."""
        if at - self._reached >= limits.REGISTRY_PROGRESS_BYTES:
            self._reached, self._number = at, 1
        if self._number >= self._transport.timing.tries or time.monotonic() > self._until:
            raise error
        self._transport.wait(error, self._number)
        self._number += 1


class _Watch:
    """Shuts the request's socket at a moment, wherever it is being waited for."""

    current = threading.local()

    def __init__(self, until: float, among: set[_Watch]) -> None:
        self.late = False
        self._socket: socket.socket | None = None
        self._among = among
        among.add(self)
        self._timer = threading.Timer(max(0.0, until - time.monotonic()), self.end_it)
        self._timer.daemon = True
        _Watch.current.watch = self
        self._timer.start()

    def hold(self, connected: socket.socket | None) -> None:
        self._socket = connected
        if self.late:
            self.end_it()

    def end(self) -> None:
        self._timer.cancel()
        self._socket = None
        self._among.discard(self)

    def end_it(self) -> None:
        """Shut the socket now, and any that it is given later."""
        self.late = True
        held = self._socket
        if held is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(held, socket.SHUT_RDWR)


def _pool(ca: Path | None, timing: Timing) -> Any:
    """A pool of connections of ours: watched, and with TLS checked against the authorities chosen."""
    import ssl

    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    def watched(kind: Any) -> Any:
        class Connection(kind):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                _Watch.current.watch.hold(self.sock)

            def request(self, *arguments: Any, **more: Any) -> None:
                if self.sock is not None:
                    _Watch.current.watch.hold(self.sock)
                super().request(*arguments, **more)

        return Connection

    @cache
    def context() -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=None if ca is None else str(ca))
        except OSError as error:
            raise UsageError(
                "holds no authorities' certificates", where=printable(str(ca)), help="give a file in PEM"
            ) from error

    class Secure(watched(HTTPSConnection)):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **{**more, "ssl_context": context()})

    if ca is not None:
        context()
    manager = urllib3.PoolManager(
        num_pools=8,
        maxsize=8,
        timeout=urllib3.Timeout(connect=timing.connect, read=timing.idle),
        blocksize=BLOCK,
    )
    manager.pool_classes_by_scheme = {
        "http": type("Plain", (HTTPConnectionPool,), {"ConnectionCls": watched(HTTPConnection)}),
        "https": type("Secure", (HTTPSConnectionPool,), {"ConnectionCls": Secure}),
    }
    return manager


@contextlib.contextmanager
def _translated(url: str, watch: _Watch) -> Iterator[None]:
    """What goes wrong on the way, as an error of ours."""
    import http.client
    import ssl

    import urllib3.exceptions as wrong

    try:
        yield
    except TuneguardError:
        raise
    except (wrong.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        where = shown(url)
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError | wrong.SSLError) for cause in causes):
            raise CannotLook(
                f"its TLS certificate is not believed: {printable(str(error))[:200]}",
                where=where,
                help="name its authorities with --registry-ca FILE",
            ) from error
        raise Broken("took too long" if watch.late else _plainly(causes), where=where) from error


def _plainly(causes: Sequence[BaseException]) -> str:
    """What went wrong on the way, in words for people, not in the names of a library's classes."""
    import http.client

    import urllib3.exceptions as wrong

    words: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
        (
            (wrong.IncompleteRead, http.client.IncompleteRead),
            "the connection broke in the middle of the answer",
        ),
        (wrong.NameResolutionError, "the connection failed: no such host is known"),
        (wrong.NewConnectionError, ""),  # what is behind it is more precise
        (wrong.ConnectTimeoutError, "the connection failed: no answer in time"),
        ((TimeoutError, wrong.TimeoutError), "the registry stopped sending"),
        (http.client.RemoteDisconnected, "the registry ended the connection without an answer"),
        (http.client.HTTPException, "the answer is not HTTP as the specification has it"),
    )
    for cause in causes:
        match cause:
            case wrong.IncompleteRead(partial=int(came), expected=int(more)):
                return f"the connection broke after {came:,} of {came + more:,} bytes"
        said = next((text for kind, text in words if isinstance(cause, kind)), "")
        if not said and isinstance(cause, OSError) and cause.strerror:
            said = f"the connection failed: {printable(cause.strerror)[:120]}"
        if said:
            return said
    return "the connection failed"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what is behind it, the deepest last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def shown(url: str) -> str:
    """A URL for people: without query (it may be a secret), escaped, not endless."""
    return printable(url.partition("?")[0])[:200]


def joined(url: str, location: str) -> str:
    """Where a server sends us, as a whole URL.

    Raises:
        Refused: it is none.
    """
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise Refused("sends us to something that is no URL", where=shown(url)) from error


def _origin(url: str) -> tuple[str, str, int]:
    try:
        at = urlsplit(url)
        return at.scheme, (at.hostname or "").lower(), at.port or (443 if at.scheme == "https" else 80)
    except ValueError as error:
        raise Refused("a URL is not one", where=shown(url)) from error


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; a date is left to our own waits."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 9 else None
