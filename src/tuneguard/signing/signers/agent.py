"""A key that a process of another uid keeps: ``unix:///PATH[?uid=USER]``, where ``tuneguard signer`` listens.

It signs statements only, which it builds itself (`tuneguard.signing.agent_protocol`): not policies, not the
ledger's heads, not raw files. With ``uid`` (a number or a name) the agent must run as that user. A
signature counts only by a key that the policy lists, whatever process listens there.
"""

from __future__ import annotations

import pwd
import re
from typing import TYPE_CHECKING, Any

from tuneguard.errors import NotUnderstood, TuneguardError, UsageError
from tuneguard.files import printable
from tuneguard.records import read_json
from tuneguard.signing import agent_protocol
from tuneguard.signing.envelope import opened
from tuneguard.signing.key import PublicKey
from tuneguard.signing.remote import Faltered, RemoteSigner, attempts
from tuneguard.signing.signer import SignerKind

if TYPE_CHECKING:
    from tuneguard.signing.signer import PassphraseSource

_URI = re.compile(r"unix://(?P<path>/[^?#\0]{1,106})(?:\?uid=(?P<uid>[A-Za-z0-9._-]{1,64}))?", re.IGNORECASE)
_PARTS = {"_type", "subject", "predicateType", "predicate"}
_STATEMENT = "application/vnd.in-toto+json"


def open_agent(uri: str, _: PassphraseSource) -> RemoteSigner:
    """Ask the agent for its public key.

    Raises:
        UsageError: nobody listens there, or this user may not ask.
        Refused: another user listens there.
        CannotLook: it does not answer, or fails.
    """
    found = _URI.fullmatch(uri)
    where = printable(uri)[:300]
    if found is None:
        raise UsageError("is not a signer's socket", where=where, help="write unix:///PATH")
    path, uid = found["path"], _uid(found["uid"], where)
    answer = attempts(where, lambda: _ask(path, {"ask": "key"}, uid, where))
    key = PublicKey.from_spki(agent_protocol.unpacked(answer.get("key")), where)

    def sign_once(message: bytes) -> bytes:
        return agent_protocol.unpacked(_ask(path, _request(message, where), uid, where).get("signature"))

    return RemoteSigner(where, key, sign_once)


def _request(message: bytes, where: str) -> dict[str, Any]:
    """The parts of the statement that a message to sign holds."""
    kind, payload = opened(message)
    if kind != _STATEMENT:
        raise UsageError(
            "this signer signs statements only, not policies, ledgers or files",
            where=where,
            help="name another key for this role",
        )
    statement = read_json(payload, "the statement", limit=len(payload) + 1)
    if not isinstance(statement, dict) or statement.keys() != _PARTS:
        raise UsageError("this signer signs statements with the four members that in-toto names", where=where)
    return {"ask": "sign", **{name: statement[name] for name in _PARTS - {"_type"}}}


def _ask(path: str, request: dict[str, Any], uid: int | None, where: str) -> dict[str, Any]:
    try:
        return agent_protocol.ask(path, request, uid=uid)
    except NotUnderstood as error:
        raise NotUnderstood(f"answers what no signer answers: {error.what}", where=where) from error
    except TuneguardError:
        raise
    except FileNotFoundError as error:
        raise UsageError(
            "no signer listens there", where=where, help="start it: tuneguard signer --listen PATH"
        ) from error
    except PermissionError as error:
        raise UsageError("this user may not connect there", where=where) from error
    except TimeoutError as error:
        raise Faltered("timed out") from error
    except OSError as error:
        raise Faltered(f"cannot be reached ({error.strerror or error})") from error


def _uid(text: str | None, where: str) -> int | None:
    if text is None or text.isdigit():
        return None if text is None else int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError(f"there is no user {printable(text)}", where=where) from None


SIGNER = SignerKind(id="agent", schemes=("unix",), open=open_agent, needs_passphrase=lambda _: False)
