"""A key kept by a process of another uid, asked over a Unix socket: the talk, both ends.

One request a connection: four bytes of length (big-endian), then JSON; the answer has the same form.

    {"ask": "key"}                                          → {"key": BASE64 SPKI}
    {"ask": "sign", "subject": […], "predicateType": …, "predicate": {…}}
                                                            → {"signature": BASE64}
    anything                                                → {"refused": REASON} or {"failed": REASON}

The client never chooses the signed bytes. The agent builds the statement itself from the parts, encodes it
in the one canonical way and signs that; where the client wanted other bytes, the signature does not verify
for it (docs/adr/0009). The kernel states who asks (``SO_PEERCRED``).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, TuneguardError, UsageError
from tuneguard.files import printable
from tuneguard.records import read_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REQUEST_SECONDS = 30.0
"""A whole request and its answer. Tests set it small."""
CONNECTIONS, CONNECTIONS_A_USER = 16, 4
_LENGTH = struct.Struct(">I")
_CREDENTIALS = struct.Struct("iII")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, by the kernel, when it connected."""

    pid: int
    uid: int
    gid: int


def peer_of(connected: socket.socket) -> Peer:
    """unix(7), ``SO_PEERCRED``."""
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return Peer(*_CREDENTIALS.unpack(data))


# --- the talk ------------------------------------------------------------------------------------------


def send(connected: socket.socket, message: dict[str, Any], until: float) -> None:
    """One message. Raises `OSError` where it does not get through in time."""
    _allow(connected, until)
    connected.sendall(_framed(message))


def _framed(message: dict[str, Any]) -> bytes:
    data = to_json(message)
    return _LENGTH.pack(len(data)) + data


def receive(connected: socket.socket, until: float, *, limit: int = limits.BUNDLE_BYTES) -> dict[str, Any]:
    """One message.

    Raises:
        OSError: it does not come in time, or not whole.
        NotUnderstood: it is too large, or not an object in strict JSON.
    """
    (size,) = _LENGTH.unpack(_exactly(connected, _LENGTH.size, until))
    if size > limit:
        raise NotUnderstood(f"a message of {size:,} bytes, and {limit:,} are read")
    message = read_json(_exactly(connected, size, until), "the message", limit=limit)
    if not isinstance(message, dict):
        raise NotUnderstood("the message is not an object")
    return message


def _exactly(connected: socket.socket, size: int, until: float) -> bytes:
    parts = []
    while size:
        _allow(connected, until)
        part = connected.recv(min(size, 1 << 20))
        if not part:
            raise ConnectionError("the other end is gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _allow(connected: socket.socket, until: float) -> None:
    """Let the next step take as long as is left of the whole: a drip does not begin it anew."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    connected.settimeout(left)


def ask(path: str, request: dict[str, Any], *, uid: int | None = None) -> dict[str, Any]:
    """Ask the agent at `path`, which must run as `uid` if one is given.

    Raises:
        OSError: nobody listens there, or does not answer in time.
        Refused: another user listens there.
        UsageError: the agent refuses.
        CannotLook: the agent fails.
        NotUnderstood: the answer is none.
    """
    until = time.monotonic() + REQUEST_SECONDS
    with socket.socket(socket.AF_UNIX) as connected:
        _allow(connected, until)
        connected.connect(path)
        found = peer_of(connected).uid
        if uid is not None and found != uid:
            raise Refused(
                f"uid {found} listens there, not {uid}",
                where=printable(path),
                help="find out who put a socket there",
            )
        answer = _exchange(connected, request, until)
    for name, kind in (("refused", UsageError), ("failed", CannotLook)):
        if isinstance(reason := answer.get(name), str):
            raise kind(
                f"the signer {name}: {printable(reason)[:300]}",
                where=printable(path),
                help="see its own log",
            )
    return answer


def _exchange(connected: socket.socket, request: dict[str, Any], until: float) -> dict[str, Any]:
    """Send a request, and receive its answer.

    An agent that refuses at once answers and closes, and the request then breaks. Its answer still lies in
    our socket: Linux hands out what was received before it reports the end (``unix_stream_read_generic``).
    """
    broken = None
    try:
        send(connected, request, until)
    except (BrokenPipeError, ConnectionResetError) as error:
        broken = error
    try:
        return receive(connected, until)
    except OSError as error:
        raise broken or error from None


def unpacked(value: object) -> bytes:
    """A base64 member of a message. Raises `NotUnderstood`."""
    try:
        return base64.b64decode(value, validate=True)  # type: ignore[arg-type]
    except (binascii.Error, ValueError, TypeError):
        raise NotUnderstood("the message holds something that is not base64") from None


# --- the agent's end -----------------------------------------------------------------------------------


class Agent:
    """Listens on a socket, and gives each request of a user in `allowed` to `answer`.

    `answer` gets the request and who asks; a `TuneguardError` of its becomes the reason of a refusal. `note`
    is called with every connection and its outcome.
    """

    def __init__(
        self,
        path: Path,
        allowed: frozenset[int],
        answer: Callable[[dict[str, Any], Peer], dict[str, Any]],
        note: Callable[[Peer, str], None],
    ) -> None:
        self._path, self._allowed, self._answer, self._note = path, allowed, answer, note
        self._busy: Counter[int] = Counter()
        self._lock = threading.Lock()

    def serve(self, ready: Callable[[], None], until: int) -> None:
        """Listen until the descriptor `until` can be read; `ready` is called once connections are taken.

        Raises:
            UsageError: the socket's folder may be written by others, or somebody listens there already.
        """
        import select

        with listening(self._path) as server:
            ready()
            while until not in select.select([server.fileno(), until], [], [])[0]:
                with contextlib.suppress(OSError):
                    self._take(server.accept()[0])

    def _take(self, connected: socket.socket) -> None:
        peer = peer_of(connected)
        with self._lock:
            full = self._busy.total() >= CONNECTIONS or self._busy[peer.uid] >= CONNECTIONS_A_USER
            if peer.uid in self._allowed and not full:
                self._busy[peer.uid] += 1
                threading.Thread(target=self._talk, args=(connected, peer), daemon=True).start()
                return
        with connected:
            reason = "too many requests at once" if peer.uid in self._allowed else "this user may not ask"
            self._note(peer, f"refused: {reason}")
            connected.settimeout(0.0)  # a few bytes always fit, and nobody holds up who asks next
            with contextlib.suppress(OSError):
                connected.sendall(_framed({"refused": reason}))

    def _talk(self, connected: socket.socket, peer: Peer) -> None:
        until = time.monotonic() + REQUEST_SECONDS
        try:
            with connected:
                answer = self._answered(connected, peer, until)
                send(connected, answer, until)
        except OSError as error:
            self._note(peer, f"failed: {error.strerror or error}")
        finally:
            with self._lock:
                self._busy[peer.uid] -= 1

    def _answered(self, connected: socket.socket, peer: Peer, until: float) -> dict[str, Any]:
        try:
            return self._answer(receive(connected, until), peer)
        except CannotLook as error:
            kind = "refused" if isinstance(error, NotUnderstood) else "failed"
            self._note(peer, f"{kind}: {error}")
            return {kind: str(error)}
        except TuneguardError as error:
            self._note(peer, f"refused: {error}")
            return {"refused": str(error)}


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket at `path`, gone again at the end.

    Anybody may connect: who is served is decided by who they are. Its folder must be one in which nobody else
    may put another socket in its place. A socket that a dead agent left is replaced.

    Raises:
        UsageError: the folder may be written by others, the name is taken, or somebody listens there.
        CannotLook: the socket cannot be made.
    """
    where = printable(str(path))
    try:
        held = os.lstat(path.parent)
    except OSError as error:
        raise UsageError("its folder is not there", where=where, help="make it first") from error
    if held.st_uid not in (0, os.geteuid()) or held.st_mode & 0o022:
        raise UsageError(
            "its folder may be written by others, who could put another socket in its place",
            where=where,
            help="make a folder of this user's own for it, with mode 0755",
        )
    _clear(path, where)
    server = socket.socket(socket.AF_UNIX)
    beside = path.with_name(f".{secrets.token_hex(4)}")
    try:
        server.bind(str(beside))
        os.chmod(beside, 0o666)  # noqa: S103 (who is served is decided by who they are)
        inode = os.lstat(beside).st_ino
        server.listen(CONNECTIONS)
        os.link(beside, path)  # a process that sees the name can connect, and of two agents one gets it
    except OSError as error:
        server.close()
        raise CannotLook(f"cannot listen there ({error.strerror or error})", where=where) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(beside)
    try:
        yield server
    finally:
        server.close()
        with contextlib.suppress(OSError):
            if os.lstat(path).st_ino == inode:
                os.unlink(path)


def _clear(path: Path, where: str) -> None:
    """Remove a socket at which nobody listens. Anything else stays."""
    if not os.path.lexists(path):
        return
    if not path.is_socket() or path.is_symlink():
        raise UsageError("is there already, and is no socket", where=where, help="choose another name")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise UsageError("is there already", where=where, help="choose another name") from error
    raise UsageError("somebody listens there already", where=where, help="stop the other signer first")
