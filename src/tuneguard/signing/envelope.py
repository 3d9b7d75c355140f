"""The bytes that a DSSE signature is over.

Signing the payload alone would let bytes signed as one thing be read as another: the payload type and
both lengths are signed with it. Source: DSSE protocol v1.0.0, "Signature Definition".
"""

from __future__ import annotations


def pae(payload_type: str, payload: bytes) -> bytes:
    """The Pre-Authentication Encoding. Lengths count bytes, of the type's UTF-8 too.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def opened(message: bytes) -> tuple[str, bytes]:
    """Payload type and payload of a Pre-Authentication Encoding; ("", b"") of anything else.

    >>> opened(pae("text/plain", b"hello world"))
    ('text/plain', b'hello world')
    """
    head, _, rest = message.partition(b" ")
    size, _, rest = rest.partition(b" ")
    if head != b"DSSEv1" or not size.isdigit() or len(size) > 3:
        return "", b""
    kind, rest = rest[: int(size)], rest[int(size) + 1 :]
    payload = rest.partition(b" ")[2]
    text = kind.decode(errors="replace")
    return (text, payload) if pae(text, payload) == message else ("", b"")
