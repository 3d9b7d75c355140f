"""A signed payload as one JSON file: a DSSE envelope in a Sigstore bundle v0.3.

Writing: one signature, the key's fingerprint as hint, and an empty keyid (docs/adr/0008). Reading:
exactly one signature, everything bounded, both historical forms of the key's name (``hint`` and
``rawBytes``). What the bundle states about its key chooses nothing: a reader tries the keys that it trusts.

Sources: Sigstore protobuf-specs (``sigstore_bundle.proto``), DSSE envelope v1.0.0, OMS v1.0 section 4.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused
from tuneguard.files import printable
from tuneguard.records import read_json, to_json
from tuneguard.signing.envelope import pae

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
"""The media type that we write, in files and in registries."""
_READ_TYPES = (BUNDLE_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3")


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds. Nothing of it is believed before `signed_by` has verified it.

    ``certificates`` are DER, the leaf first; empty for a bundle that names a plain key. ``material`` is how
    the bundle names its signer: ``publicKey``, ``certificate`` or ``x509CertificateChain``. ``timestamps``
    are RFC 3161 responses, and ``document`` the bundle's own bytes, for readers of the parts that are not
    read here.
    """

    payload_type: str
    payload: bytes
    signature: bytes
    keyid: str = ""
    hint: str | None = None
    certificates: tuple[bytes, ...] = ()
    material: str = "publicKey"
    timestamps: tuple[bytes, ...] = ()
    log_entries: int = 0
    document: bytes = field(default=b"", repr=False, compare=False)

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the signature over payload type and payload is by `key`."""
        return key.verify(self.signature, pae(self.payload_type, self.payload))


def make_bundle(
    signer: Signer, payload_type: str, payload: bytes, *, certificates: Sequence[bytes] = ()
) -> bytes:
    """Sign `payload` and wrap it. The signature is checked before it is returned.

    With `certificates` (DER, the leaf first, which must be of the signer's key) the bundle names the signer
    by them rather than by the key's fingerprint.

    Raises:
        CannotLook: the signer failed, or gave a signature that its own public key does not verify.
        Refused: the bundle would be larger than readers take (`limits.BUNDLE_BYTES`).
    """
    message = pae(payload_type, payload)
    signature = signer.sign(message)
    key = signer.public_key
    if not key.verify(signature, message):
        raise CannotLook(
            "the signer gave a signature that its own public key does not verify",
            help="check that the key in use is the one that its public half was read from",
        )
    document = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": _naming(key, certificates),
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    bundle = to_json(document)
    if len(bundle) > limits.BUNDLE_BYTES:
        raise Refused(
            f"the signed statement takes {len(bundle):,} bytes, and {limits.BUNDLE_BYTES:,} are read",
            help="a tree of fewer files: pack the small ones together",
        )
    return bundle


def _naming(key: PublicKey, certificates: Sequence[bytes]) -> dict[str, Any]:
    if not certificates:
        return {"publicKey": {"hint": key.hint}}
    chain = [{"rawBytes": base64.b64encode(link).decode()} for link in certificates]
    return {"x509CertificateChain": {"certificates": chain}}


def read_bundle(data: bytes, where: str) -> Bundle:
    """Take a bundle apart without believing anything in it.

    Raises:
        NotUnderstood: not a bundle of the form that this module's docstring names, or larger than
            `limits.BUNDLE_BYTES`.
    """
    found = MaterialReader(printable(where)).bundle(read_json(data, where, limit=limits.BUNDLE_BYTES))
    return replace(found, document=data)


class MaterialReader:
    """Reads the parts of one bundle; holds where it came from, for messages.

    Every method raises `NotUnderstood` where a part is missing or of another form.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def bundle(self, document: object) -> Bundle:
        """A whole bundle around a DSSE envelope."""
        top = self.check_type(document)
        if "messageSignature" in top:
            raise self.wrong("it signs a bare message, not a DSSE envelope")
        envelope = self.members(top.get("dsseEnvelope"), "dsseEnvelope")
        signature = self._only(envelope.get("signatures"))
        material = self.members(top.get("verificationMaterial"), "verificationMaterial")
        named, hint, certificates = self.signer(material)
        return Bundle(
            payload_type=self._text(envelope.get("payloadType"), "payloadType"),
            payload=self.raw(envelope.get("payload"), "payload"),
            signature=self.raw(signature.get("sig"), "sig"),
            keyid=self._optional_text(signature.get("keyid"), "keyid") or "",
            hint=hint,
            certificates=certificates,
            material=named,
            timestamps=self.timestamps(material.get("timestampVerificationData")),
            log_entries=self.count(material.get("tlogEntries")),
        )

    def check_type(self, document: object) -> dict[str, Any]:
        """The bundle's members, if it is of a version that we read."""
        top = self.members(document, "the bundle")
        if top.get("mediaType") not in _READ_TYPES:
            raise self.wrong(f"mediaType is not {BUNDLE_TYPE}")
        return top

    def count(self, listed: object) -> int:
        """How many log entries there are; absent, null and empty are the same."""
        if listed is not None and not isinstance(listed, list):
            raise self.wrong("tlogEntries is not a list")
        return len(listed or ())

    def timestamps(self, data: object) -> tuple[bytes, ...]:
        """RFC 3161 responses (``TimestampVerificationData``); none is the usual case."""
        if data is None:
            return ()
        listed = self.members(data, "timestampVerificationData").get("rfc3161Timestamps", [])
        if not isinstance(listed, list) or len(listed) > limits.CERTIFICATES:
            raise self.wrong(f"there are at most {limits.CERTIFICATES} timestamps, in a list")
        return tuple(
            self.raw(self.members(each, "a timestamp").get("signedTimestamp"), "a timestamp")
            for each in listed
        )

    def _only(self, signatures: object) -> dict[str, Any]:
        """The one signature: with several, readers differ about which of them counts."""
        if not isinstance(signatures, list) or len(signatures) != 1:
            count = len(signatures) if isinstance(signatures, list) else "no list of"
            raise self.wrong(f"it holds {count} signatures where exactly one is allowed")
        return self.members(signatures[0], "the signature")

    def signer(self, material: dict[str, Any]) -> tuple[str, str | None, tuple[bytes, ...]]:
        """How the signer is named, the hint, the certificates."""
        given = [name for name in ("publicKey", "certificate", "x509CertificateChain") if name in material]
        if len(given) != 1:
            raise self.wrong(
                "verificationMaterial must name a public key, a certificate or a chain, and one of them"
            )
        content = self.members(material[given[0]], given[0])
        if given[0] == "publicKey":
            hint = self._optional_text(content.get("hint"), "hint")
            if hint is None and "rawBytes" not in content:
                raise self.wrong("publicKey holds neither hint nor rawBytes")
            return given[0], hint, ()
        chain = [content] if given[0] == "certificate" else content.get("certificates")
        if not isinstance(chain, list) or not 0 < len(chain) <= limits.CERTIFICATES:
            raise self.wrong(f"a chain has 1 to {limits.CERTIFICATES} certificates")
        return (
            given[0],
            None,
            tuple(
                self.raw(self.members(link, "the certificate").get("rawBytes"), "certificate")
                for link in chain
            ),
        )

    def members(self, value: object, name: str) -> dict[str, Any]:
        """A member that is an object."""
        if not isinstance(value, dict):
            raise self.wrong(f"{name} is missing or not an object")
        return value

    def _text(self, value: object, name: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(f"{name} is missing or not a text")
        return value

    def _optional_text(self, value: object, name: str) -> str | None:
        if value is None or isinstance(value, str):
            return value
        raise self.wrong(f"{name} is not a text")

    def raw(self, value: object, name: str) -> bytes:
        """Base64 in the standard or the URL-safe alphabet, as DSSE asks, and only its canonical spelling.

        A second spelling of the same bytes would be the same evidence under another digest.
        """
        text = self._text(value, name)
        for altchars in (b"+/", b"-_"):
            try:
                data = base64.b64decode(text, altchars, validate=True)
            except (binascii.Error, ValueError):
                continue
            if base64.b64encode(data, altchars).decode() == text:
                return data
        raise self.wrong(f"{name} is not canonical base64")

    def wrong(self, what: str) -> NotUnderstood:
        """The error to raise."""
        return NotUnderstood(f"is not a bundle that we read: {what}", where=self._where)
