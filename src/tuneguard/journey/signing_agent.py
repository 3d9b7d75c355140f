"""Sign for other users of this machine: a key apart, which signs only what the policy allows its owner."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import os
import pwd
import resource
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneguard import files
from tuneguard.attest.predicate import body_of
from tuneguard.attest.statement import PAYLOAD_TYPE, STATEMENT_TYPE, Statement
from tuneguard.display import rfc3339, shown
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.facts import SignerFacts
from tuneguard.findings import Result, Verdict
from tuneguard.project.project import Project
from tuneguard.records import to_json
from tuneguard.sandbox.interrupts import Interrupts
from tuneguard.signing.agent_protocol import Agent, Peer
from tuneguard.signing.envelope import pae
from tuneguard.trust.belief import not_believed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.signing.signer import Signer
    from tuneguard.trust.policy import Policy

_PR_SET_DUMPABLE = 4


def listen(
    socket: str | Path,
    *,
    users: Sequence[str],
    kinds: Sequence[str] = (),
    log: str | Path | None = None,
    project: Project | None = None,
) -> Result[SignerFacts]:
    """Sign for `users` (names or uids) at `socket` with the key that ``--key`` names, until a signal.

    What is signed is a statement that a role of the policy lets the key's owner make, of a kind in `kinds` if
    any are named. Every request is a line of `log`, or of standard output.

    Raises:
        UsageError: the policy does not name the key, a user is not known, or the socket's place will not do.
    """
    project = project or Project()
    uri = project.key_uri("")
    if uri is None:
        raise UsageError("no key is named", help="name it: --key URI")
    if not users:
        raise UsageError("no user is allowed to ask", help="name those who are: --allow-user NAME")
    allowed = frozenset(_uid(user) for user in users)
    _keep_memory()
    signer = project.signer("")
    judge = _Judge(project, signer, frozenset(kinds))
    with _journal(log, project) as write:
        agent = Agent(Path(socket), allowed, judge.answer, lambda peer, what: write({"outcome": what}, peer))
        judge.note = write
        with Interrupts() as interrupts:
            agent.serve(
                lambda: project.reporter.emit(
                    "Listening",
                    f"{shown(Path(socket))}  for {', '.join(users)}",
                    f"key {signer.public_key.keyid[:12]}",
                ),
                until=interrupts.fileno(),
            )
    return Result(
        command="signer",
        verdict=Verdict.PASSED,
        facts=SignerFacts(signed=judge.signed, socket=shown(Path(socket))),
    )


class _Judge:
    """Builds statements from what is asked, and signs those that the policy lets this key's owner make."""

    def __init__(self, project: Project, signer: Signer, kinds: frozenset[str]) -> None:
        self._here, self._signer, self._kinds = project, signer, kinds
        self._lock = threading.Lock()
        self.signed = 0
        self.note: Any = None
        _roles(project.policy, signer, datetime.now(UTC))

    def answer(self, request: dict[str, Any], peer: Peer) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            UsageError: it asks for something else than there is.
            Refused: no role lets this key sign that.
            NotUnderstood: its parts make no statement.
        """
        if request == {"ask": "key"}:
            return {"key": base64.b64encode(self._signer.public_key.spki).decode()}
        if request.keys() != {"ask", "subject", "predicateType", "predicate"} or request["ask"] != "sign":
            raise UsageError("asks for something that is not done here")
        statement = _built(request)
        kind, body = body_of(statement, "the request")
        model = getattr(body, "model", None)
        self._check(kind, model)
        message = pae(PAYLOAD_TYPE, statement.encode())
        with self._lock:
            signature = self._signer.sign(message)
            if not self._signer.public_key.verify(signature, message):
                raise CannotLook("the key gave a signature that does not verify")
            self.signed += 1
        said = {"kind": kind, "model": model, "run": getattr(body, "run", None)}
        subjects = [dict(subject.digest) for subject in statement.subjects]
        self.note({"outcome": "signed", **said, "subject": subjects}, peer)
        return {"signature": base64.b64encode(signature).decode()}

    def _check(self, kind: str, model: str | None) -> None:
        roles = _roles(self._here.policy, self._signer, datetime.now(UTC))
        saying = [role for role in roles if kind in role.evidence]
        if not saying or (self._kinds and kind not in self._kinds):
            raise Refused(f"this key does not sign statements of the kind {kind}")
        if model is not None and not any(model in role.models for role in saying):
            raise Refused(f"this key signs no {kind} about {files.printable(model)[:80]}")


def _built(request: dict[str, Any]) -> Statement:
    """A statement of ours from the parts of a request, strictly; what is not a part of one is not in it."""
    parts = {key: request[key] for key in ("subject", "predicateType", "predicate")}
    return Statement.decode(to_json({"_type": STATEMENT_TYPE, **parts}), "the request")


def _roles(policy: Policy, signer: Signer, now: datetime) -> tuple[Any, ...]:
    """The roles in which the key's owner counts now.

    Raises:
        UsageError: the policy's time is over, it does not name the key, or does not believe it now.
    """
    if policy.expired(now):
        raise UsageError(
            f"the policy expired on {policy.expires:%Y-%m-%d}", help="bring the new one, and start again"
        )
    owners = [each for each in policy.identities.values() if each.key == signer.public_key]
    if not owners:
        raise UsageError("the policy does not name this key", help="have the policy's owner list it")
    for owner in owners:
        if (fault := not_believed(owner, now)) is not None:
            raise UsageError(f"the policy names the key as {owner.name}, who {fault}")
    names = {owner.name for owner in owners}
    return tuple(role for role in policy.roles.values() if names & set(role.any_of))


@contextlib.contextmanager
def _journal(path: str | Path | None, project: Project) -> Iterator[Any]:
    """Write one JSON object a line, whole, for every asker."""
    lock = threading.Lock()
    descriptor = None
    if path is not None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise files.cannot_look(error, path) from error

    def write(said: dict[str, Any], peer: Peer) -> None:
        entry = {"time": rfc3339(datetime.now(UTC)), "uid": peer.uid, "pid": peer.pid, **said}
        with lock:
            if descriptor is not None:
                os.write(descriptor, to_json(entry) + b"\n")
            else:
                what = str(said["outcome"]) + (f" {said['kind']}" if "kind" in said else "")
                project.reporter.emit("Asked", f"uid {peer.uid}  {files.printable(what)[:300]}")

    try:
        yield write
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _keep_memory() -> None:
    """The key stays in this process: no core dumps, and no looking in by others of this user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _uid(user: str) -> int:
    if user.isascii() and user.isdigit():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise UsageError(f"there is no user {files.printable(user)}") from None
