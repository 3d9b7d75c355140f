"""Sigstore's keyless signatures, read without network, against authorities that the person named.

A short-lived certificate of Fulcio's names who signed; a log and a timestamp authority prove when.
``sigstore`` (the extra ``keyless``) checks all of it: chain, signed certificate timestamp, log entry,
inclusion, time. It is given the trusted root as a file and fetches nothing. What it is given is bounded
first, and whatever it raises about hostile bytes is a refusal.

Sources: Sigstore client specification; protobuf-specs, ``sigstore_trustroot.proto`` (the trusted root).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuneguard import limits
from tuneguard.errors import NotUnderstood, mendable
from tuneguard.files import printable, read_named
from tuneguard.records import read_json
from tuneguard.signing.blob import BlobSignature
from tuneguard.signing.remote import library

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from tuneguard.signing.bundle import Bundle


@mendable()
def read_trusted_root(path: Path) -> Any:
    """Sigstore's ``TrustedRoot``, from its own file or from a client's whole trust configuration.

    Raises:
        UsageError: it is not there, or the extra is not installed.
        ConfigurationError: it is none.
    """
    models = library("sigstore.models", "keyless")
    where = printable(str(path))
    data = read_named(path, limits.AUTHORITIES_BYTES, guarded="the trusted root")
    document = read_json(data, where, limit=limits.AUTHORITIES_BYTES)
    try:
        if isinstance(document, dict) and "trustedRoot" in document:
            return models.ClientTrustConfig.from_json(data.decode()).trusted_root
        return models.TrustedRoot.from_file(str(path))
    except Exception as error:
        raise NotUnderstood(
            "is not a trusted root of Sigstore's", where=where, help="cosign trusted-root create makes one"
        ) from error


def vouches(root: Any, *, identity: str, issuer: str) -> Callable[[Bundle | BlobSignature], str | None]:
    """A judge of keyless bundles: see `tuneguard.attest.foreign.Vouches`.

    `identity` is the certificate's alternative name (an e-mail address, or a workflow's URI), `issuer` the
    OpenID Connect provider that vouched for it: exactly, both.
    """
    return believed(
        root, library("sigstore.verify", "keyless").policy.Identity(identity=identity, issuer=issuer)
    )


def believed(root: Any, policy: Any) -> Callable[[Bundle | BlobSignature], str | None]:
    """As `vouches`, for any of the library's policies about who signed."""

    def fault(bundle: Bundle | BlobSignature) -> str | None:
        if bundle.material != "certificate":
            return "names its signer by other means than a certificate of Sigstore's"
        if not bundle.log_entries:
            return "has no entry of a transparency log"
        try:
            verifier = library("sigstore.verify", "keyless").Verifier(trusted_root=root)
            if isinstance(bundle, BlobSignature):
                if bundle.other_bytes:
                    return "is over other bytes than those beside it"
                verifier.verify_artifact(bundle.content, _parsed(bundle.document), policy)
                return None
            kind, payload = verifier.verify_dsse(_parsed(bundle.document), policy)
        except Exception as error:  # noqa: BLE001 (whatever hostile bytes make it raise, it is no yes)
            return f"Sigstore's verification refuses: {_reason(error)}"
        if (kind, payload) != (bundle.payload_type, bundle.payload):
            return "two readers take its content for different things"
        return None

    return fault


def time_of(root: Any) -> Callable[[Bundle | BlobSignature], datetime | None]:
    """When a bundle was signed, proven by an RFC 3161 timestamp over its signature, or None."""
    client = library("rfc3161_client", "keyless")

    def moment(bundle: Bundle | BlobSignature) -> datetime | None:
        for response in bundle.timestamps:
            try:
                stamp = client.decode_timestamp_response(response)
            except ValueError:
                continue
            for authority in root.get_timestamp_authorities():
                if _stamped(client, authority, stamp, bundle.signature):
                    return stamp.tst_info.gen_time  # type: ignore[no-any-return]
        return None

    return moment


def _stamped(client: Any, authority: Any, stamp: Any, signature: bytes) -> bool:
    leaf, *others = authority.certificates(allow_expired=True)
    builder = client.VerifierBuilder().tsa_certificate(leaf)
    for certificate in others[:-1]:
        builder = builder.add_intermediate_certificate(certificate)
    try:
        builder.add_root_certificate(others[-1]).build().verify_message(stamp, signature)
    except (client.VerificationError, ValueError, IndexError):
        return False
    start, end = authority.validity_period_start, authority.validity_period_end
    moment = stamp.tst_info.gen_time
    return start <= moment and (end is None or moment <= end)


def _parsed(data: bytes) -> Any:
    """The bundle for the library, with what protobuf's writers leave out of a log's first entry.

    Zero and empty are not written by protojson: entry 0 has no ``logIndex``, and a log of one entry no
    ``hashes``. The library insists on both.
    """
    document = read_json(data, "the bundle", limit=limits.BUNDLE_BYTES)
    for entry in document["verificationMaterial"].get("tlogEntries", []):
        entry.setdefault("logIndex", "0")
        proof = entry.get("inclusionProof")
        if isinstance(proof, dict):
            proof.setdefault("logIndex", "0")
            proof.setdefault("hashes", [])
    return library("sigstore.models", "keyless").Bundle.from_json(json.dumps(document))


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return printable(text)[:200] or type(error).__name__
