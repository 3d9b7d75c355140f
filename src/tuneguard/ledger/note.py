"""Signed notes: a text that a person can read, and lines that sign it. C2SP signed-note v1.0.0.

::

    text, one or more lines
                                                     an empty line
    — name base64(key id, 4 bytes || signature)      one line for each signature

Ed25519 only (signature type 0x01). A reader names beforehand whose signature it wants; the name and id on
a line only select the key to try. Lines by other keys are passed over, so that witnesses can add theirs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.files import printable
from tuneguard.signing.key import KeyType

if TYPE_CHECKING:
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer

_TYPE = b"\x01"
_ID_BYTES = 4
_RAW_KEY_BYTES = 32
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURES = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One signature line: who claims that they signed, and with what."""

    name: str
    key_id: bytes
    signature: bytes


def key_id(name: str, key: PublicKey) -> bytes:
    """The four bytes that, with the name, show a reader which key signed.

    Raises:
        UsageError: the key is not Ed25519, or the name cannot stand in a note.
    """
    return hashlib.sha256(_checked_name(name).encode() + b"\n" + _TYPE + _raw(key)).digest()[:_ID_BYTES]


def verifier_key(name: str, key: PublicKey) -> str:
    """The key as other tools for notes take it: ``name+id+base64``."""
    encoded = base64.b64encode(_TYPE + _raw(key)).decode()
    return f"{name}+{key_id(name, key).hex()}+{encoded}"


def sign(text: str, name: str, signer: Signer) -> bytes:
    """A note over `text`, which ends in a newline; its signature is checked before it is returned.

    Raises:
        UsageError: the key is not Ed25519, or name or text cannot stand in a note.
        Refused: what the signer returned does not verify.
    """
    if not text.endswith("\n") or _CONTROLS.search(text) is not None:
        raise UsageError("a note's text ends in a newline and holds no control characters")
    message = text.encode()
    line = Line(name, key_id(name, signer.public_key), signer.sign(message))
    if not signer.public_key.verify(line.signature, message):
        raise Refused(f"the signer gave a signature that does not verify with {name}'s key")
    encoded = base64.b64encode(line.key_id + line.signature).decode()
    return message + f"\n— {line.name} {encoded}\n".encode()


def verified_text(data: bytes, name: str, key: PublicKey, where: str) -> str:
    """The text of a note, if `key` under `name` signed it.

    Raises:
        NotUnderstood: it is not a signed note.
        Refused: that key has not signed it, or its signature is wrong.
    """
    text, lines = split(data, where)
    wanted = (name, key_id(name, key))
    own = [line for line in lines if (line.name, line.key_id) == wanted]
    if not own:
        raise Refused(f"is not signed by {printable(name)}", where=printable(where))
    if not all(key.verify(line.signature, text.encode()) for line in own):
        raise Refused(f"has a wrong signature by {printable(name)}", where=printable(where))
    return text


def split(data: bytes, where: str) -> tuple[str, tuple[Line, ...]]:
    """A note's text and its signature lines, nothing verified.

    Raises:
        NotUnderstood: it is not a signed note.
    """
    if len(data) > limits.NOTE_BYTES:
        raise NotUnderstood(f"a note larger than {limits.NOTE_BYTES:,} bytes", where=printable(where))
    try:
        note = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_a_note("is not UTF-8", where) from error
    text, empty, signed = note.rpartition("\n\n")
    if not empty or not note.endswith("\n") or _CONTROLS.search(note) is not None:
        raise _not_a_note("has no text and signatures with an empty line between them", where)
    lines = signed.removesuffix("\n").split("\n")
    if len(lines) > _SIGNATURES:
        raise _not_a_note(f"has more than {_SIGNATURES} signatures", where)
    return text + "\n", tuple(_line(line, where) for line in lines)


def _line(text: str, where: str) -> Line:
    dash, _, rest = text.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or _NAME.fullmatch(name) is None:
        raise _not_a_note("has a line that is no signature", where)
    try:
        value = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _not_a_note("has a signature that is not base64", where) from error
    if len(value) <= _ID_BYTES:
        raise _not_a_note("has a signature that is too short", where)
    return Line(name, value[:_ID_BYTES], value[_ID_BYTES:])


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{printable(name)[:100]} cannot be a log's name",
            help="no spaces and no plus sign: for example example.com/ledger",
        )
    return name


def _raw(key: PublicKey) -> bytes:
    """The 32 bytes of an Ed25519 key: the end of its SubjectPublicKeyInfo (RFC 8410)."""
    if key.type is not KeyType.ED25519:
        raise UsageError(
            f"a log's key is Ed25519, and this one is {key.type}", help="`tuneguard keygen --type ed25519`"
        )
    return key.spki[-_RAW_KEY_BYTES:]


def _not_a_note(what: str, where: str) -> NotUnderstood:
    return NotUnderstood(f"is not a signed note: it {what}", where=printable(where))
