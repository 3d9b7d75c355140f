"""Signatures over a file's own bytes, as ``cosign sign-blob`` makes them: detached, or in a bundle.

Four forms are read: the signature alone, as DER or as base64 (cosign's ``--output-signature``); cosign's
first bundle, ``{"base64Signature": …}``; and the Sigstore bundle v0.3 with a ``messageSignature``. Such a
signature has no payload type (TRUST.md rule 15): it states that the holder of the key signed these bytes, and
not as what.

With keys over P-384 cosign 2 signs with SHA-256, and cosign 3 with SHA-384 as everybody else: both are tried.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.records import read_json
from tuneguard.signing.bundle import MaterialReader

if TYPE_CHECKING:
    from tuneguard.signing.key import PublicKey

_DETACHED_BYTES = 4096
_ED25519_BYTES = 64
_DIGESTS = {"SHA2_256": "sha256", "SHA2_384": "sha384", "SHA2_512": "sha512"}


@dataclass(frozen=True)
class BlobSignature:
    """A signature over `content`, with those members of a `Bundle` that name the signer."""

    content: bytes = field(repr=False)
    signature: bytes
    certificates: tuple[bytes, ...] = ()
    material: str = "publicKey"
    timestamps: tuple[bytes, ...] = ()
    log_entries: int = 0
    document: bytes = field(default=b"", repr=False)
    other_bytes: str = ""
    """The digest of other bytes, in hex, that its bundle names: it is then nobody's over `content`."""

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the signature over the content is by `key`."""
        return not self.other_bytes and (
            key.verify(self.signature, self.content) or key.verify_with_sha256(self.signature, self.content)
        )


def read_blob_signature(data: bytes, content: bytes, where: str) -> BlobSignature:
    """Take a signature over `content` apart without believing anything in it.

    Raises:
        NotUnderstood: it is of none of the four forms.
    """
    if data.lstrip()[:1] == b"{":
        return _bundle(data, content, printable(where))
    return BlobSignature(content, _detached(data, printable(where)))


def is_blob_signature(data: bytes) -> bool:
    """Whether a signature is of one of these forms, rather than a bundle around a DSSE envelope."""
    if data.lstrip()[:1] == b"{":
        return b'"messageSignature"' in data or b'"base64Signature"' in data
    return _decoded(data) is not None


def _detached(data: bytes, where: str) -> bytes:
    found = _decoded(data)
    if found is None:
        raise NotUnderstood(
            "is not a signature: neither DER, nor base64, nor a bundle",
            where=where,
            help="cosign sign-blob --bundle FILE makes one that is read",
        )
    return found


def _decoded(data: bytes) -> bytes | None:
    if len(data) > _DETACHED_BYTES:
        return None
    if _is_signature(data):
        return data
    try:
        decoded = base64.b64decode(data.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return decoded if _is_signature(decoded) else None


def _is_signature(data: bytes) -> bool:
    """An ECDSA signature in DER, or as many bytes as Ed25519 has."""
    try:
        decode_dss_signature(data)
    except ValueError:
        return len(data) == _ED25519_BYTES
    return True


def _bundle(data: bytes, content: bytes, where: str) -> BlobSignature:
    top = read_json(data, where, limit=limits.BUNDLE_BYTES)
    if isinstance(top, dict) and "base64Signature" in top:
        text = top["base64Signature"]
        return BlobSignature(content, _detached(text.encode() if isinstance(text, str) else b"", where))
    reader = MaterialReader(where)
    reader.check_type(top)
    signed = reader.members(top.get("messageSignature"), "messageSignature")
    material = reader.members(top.get("verificationMaterial"), "verificationMaterial")
    named, _, certificates = reader.signer(material)
    return BlobSignature(
        content=content,
        signature=reader.raw(signed.get("signature"), "signature"),
        certificates=certificates,
        material=named,
        timestamps=reader.timestamps(material.get("timestampVerificationData")),
        log_entries=reader.count(material.get("tlogEntries")),
        document=data,
        other_bytes=_other_bytes(reader, signed.get("messageDigest"), content),
    )


def _other_bytes(reader: MaterialReader, named: Any, content: bytes) -> str:
    """The digest, a help to find what was signed, where it is not the content's.

    That is a fault of the signature and not of its form: somebody changed the file. cosign 3 leaves the
    digest empty for Ed25519.
    """
    if named is None or named == {}:
        return ""
    digest = reader.members(named, "messageDigest")
    algorithm = _DIGESTS.get(str(digest.get("algorithm")))
    if algorithm is None:
        raise reader.wrong("its digest is by none of SHA-256, SHA-384 and SHA-512")
    found = reader.raw(digest.get("digest"), "digest")
    return "" if found == hashlib.new(algorithm, content).digest() else found.hex()
