"""Signatures by the holder of an X.509 certificate: a chain to an authority that the person named.

The path is built and checked by ``cryptography`` (RFC 5280, section 6: signatures, validity, name and length
constraints, SHA-2, no small keys); what a signer's certificate must be for is checked here: its key usage
holds digitalSignature if it has one, its extended key usage codeSigning if it has one, and it has at least
one of the two (RFC 5280, sections 4.2.1.3 and 4.2.1.12).

Source: OMS v1.0, sections 4.1 and 8.2, method ``certificate``.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from tuneguard import limits
from tuneguard.errors import NotUnderstood, TuneguardError, UsageError, mendable
from tuneguard.files import printable, read_named
from tuneguard.signing.key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from tuneguard.signing.blob import BlobSignature
    from tuneguard.signing.bundle import Bundle

T = TypeVar("T", bound=x509.ExtensionType)

DEPTH = 4
"""Intermediate authorities between a leaf and a root."""
_CERTIFICATES = 500
"""Certificates in one file; a system's whole store has 150."""


@mendable()
def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file, in its order.

    Raises:
        UsageError: it is not there.
        ConfigurationError: it holds none, or something that is none.
    """
    where = printable(str(path))
    try:
        found = x509.load_pem_x509_certificates(
            read_named(path, limits.AUTHORITIES_BYTES, guarded="the certificates")
        )
    except ValueError as error:
        raise NotUnderstood("holds no certificates in PEM form", where=where) from error
    if len(found) > _CERTIFICATES:
        raise NotUnderstood(f"holds more than {_CERTIFICATES} certificates", where=where)
    return tuple(found)


def chain_for(key: PublicKey, leaf: Path, chain: Path | None) -> tuple[bytes, ...]:
    """The certificates (DER, the leaf first) to write into a bundle that `key` signs.

    Raises:
        UsageError: the leaf is another key's, or not for signing.
    """
    first, *others = (*read_certificates(leaf), *(read_certificates(chain) if chain is not None else ()))
    where = printable(str(leaf))
    if _key_of(first, where) != key:
        raise UsageError(
            "the certificate is not of the key that signs", where=where, help="name the key's own certificate"
        )
    if (fault := _usage_fault(first)) is not None:
        raise UsageError(fault, where=where, help="have one issued with digitalSignature and codeSigning")
    links = [first, *others]
    if len(links) > limits.CERTIFICATES:
        raise UsageError(f"the chain has more than {limits.CERTIFICATES} certificates", where=where)
    return tuple(link.public_bytes(Encoding.DER) for link in links)


def vouches(
    roots: Sequence[x509.Certificate],
    *,
    now: datetime,
    identity: str | None = None,
    time_of: Callable[[Bundle | BlobSignature], datetime | None] | None = None,
) -> Callable[[Bundle | BlobSignature], str | None]:
    """A judge of bundles of the method ``certificate``: see `tuneguard.attest.foreign.Vouches`.

    The certificates must be valid at the time that `time_of` proves by a timestamp, and `now` where there is
    none: a bundle's own time proves nothing.
    """

    def fault(bundle: Bundle | BlobSignature) -> str | None:
        if bundle.material != "x509CertificateChain":
            return "names its signer by other means than a chain of certificates"
        try:
            leaf, *others = (x509.load_der_x509_certificate(link) for link in bundle.certificates)
            key = _key_of(leaf, "the signer's certificate")
        except (ValueError, TuneguardError):
            return "holds a certificate that cannot be used"
        if not bundle.signed_by(key):
            return "is not signed by the key of its certificate"
        moment = time_of(bundle) if time_of is not None else None
        wrong = _path_fault(leaf, others, roots, moment or now) or _usage_fault(leaf)
        if wrong is not None:
            return wrong
        if identity is not None and identity not in identities(leaf):
            return (
                f"is by {printable(', '.join(identities(leaf)))[:200] or 'nobody by name'}, not by {identity}"
            )
        return None

    return fault


def identities(leaf: x509.Certificate) -> tuple[str, ...]:
    """Whom a certificate is for: its alternative names (e-mail, URI, DNS), and its subject (RFC 4514)."""
    found: list[str] = []
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for kind in (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName):
            found.extend(names.get_values_for_type(kind))
    except (x509.ExtensionNotFound, ValueError):
        pass
    subject = leaf.subject.rfc4514_string()
    return (*found, subject) if subject else tuple(found)


def _path_fault(
    leaf: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    at: datetime,
) -> str | None:
    moment = at.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    starts, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if not starts <= at <= ends:
        return (
            f"its certificate is valid from {starts:%Y-%m-%d} to {ends:%Y-%m-%d}, and no timestamp is within"
        )
    authority = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_issue)
    )
    try:
        verifier = (
            PolicyBuilder()
            .store(Store(list(roots)))
            .time(moment)
            .max_chain_depth(DEPTH)
            .extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
            .build_client_verifier()
        )
        verifier.verify(leaf, list(others))
    except (VerificationError, ValueError):
        return "its certificate does not lead to an authority that was named, or one on the way was not valid"
    return None


def _may_issue(_: object, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not issue certificates")


def _usage_fault(leaf: x509.Certificate) -> str | None:
    try:
        extensions = leaf.extensions
        usage = _found(extensions, x509.KeyUsage)
        extended = _found(extensions, x509.ExtendedKeyUsage)
    except ValueError:
        return "its certificate has extensions that cannot be read"
    if usage is None and extended is None:
        return "its certificate has no usage for signing"
    if usage is not None and not usage.digital_signature:
        return "its certificate's key usage has no digitalSignature"
    if extended is not None and ExtendedKeyUsageOID.CODE_SIGNING not in extended:
        return "its certificate's extended key usage has no codeSigning"
    return None


def _found(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key_of(certificate: x509.Certificate, where: str) -> PublicKey:
    try:
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise NotUnderstood("holds a key that cannot be read", where=where) from error
    return PublicKey.from_spki(spki, where)
