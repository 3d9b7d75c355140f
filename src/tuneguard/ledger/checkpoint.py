"""A ledger's head as a text to keep elsewhere: a C2SP tlog-checkpoint, signed by the log's key.

::

    example.com/ledger                               the origin: which log
    20852163                                         its size
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=     its root

    — example.com/ledger Az3grl…                     the log's signature (see `note`)

Print it, mail it, commit it to another repository: anyone who has it can check later whether the ledger
still begins with those entries. The log's key signs nothing else and has no other role.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.errors import NotUnderstood, Refused
from tuneguard.files import printable
from tuneguard.ledger import note
from tuneguard.ledger.merkle import EMPTY_ROOT, HASH_BYTES
from tuneguard.ledger.store import Head

if TYPE_CHECKING:
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a verified checkpoint states; ``extensions`` are further lines that we neither write nor read."""

    origin: str
    head: Head
    extensions: tuple[str, ...] = ()


def checkpoint(origin: str, head: Head, signer: Signer) -> bytes:
    """The signed checkpoint of a head. The signer must be the log's, and its name is the origin.

    Raises:
        UsageError: the key is not Ed25519, or `origin` cannot name a log.
    """
    root = base64.b64encode(bytes.fromhex(head.root)).decode()
    return note.sign(f"{origin}\n{head.size}\n{root}\n", origin, signer)


def read_checkpoint(data: bytes, origin: str, key: PublicKey, where: str) -> Checkpoint:
    """A checkpoint of the log `origin`, verified with the log's key.

    Raises:
        NotUnderstood: it is not a checkpoint.
        Refused: that key has not signed it, or it is another log's.
    """
    found = _read(note.verified_text(data, origin, key, where), where)
    if found.origin != origin:
        raise Refused(
            f"is a checkpoint of {printable(found.origin)[:100]}, not of {printable(origin)}",
            where=printable(where),
        )
    return found


def unverified_checkpoint(data: bytes, where: str) -> Checkpoint:
    """What a checkpoint states, its signatures not asked for.

    Raises:
        NotUnderstood: it is not a checkpoint.
    """
    text, _ = note.split(data, where)
    return _read(text, where)


def _read(text: str, where: str) -> Checkpoint:
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines) or _SIZE.fullmatch(lines[1]) is None:
        raise NotUnderstood("is not a checkpoint: origin, size and root, a line each", where=printable(where))
    root = _root(lines[2], where)
    size = int(lines[1])
    if size == 0 and root != EMPTY_ROOT:
        raise NotUnderstood("gives an empty log another root than the empty one", where=printable(where))
    return Checkpoint(lines[0], Head(size, root.hex()), tuple(lines[3:]))


def _root(text: str, where: str) -> bytes:
    try:
        root = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != HASH_BYTES:
        raise NotUnderstood("is not a checkpoint: its root is no base64 of 32 bytes", where=printable(where))
    return root
