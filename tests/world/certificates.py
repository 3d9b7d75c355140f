"""Certificates made on the spot: an authority, one below it, and a signer's, each as a test wants it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tuneguard.signing.signers.file import FileSigner

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
CODE_SIGNING, SERVER = ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.SERVER_AUTH
EMAIL = "release@models.example"


@dataclass(frozen=True)
class Holder:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def signer(self) -> FileSigner:
        """A signer with the key."""
        return FileSigner(self.key)

    def write(self, folder: Path, name: str) -> None:
        """NAME.key and NAME.pem."""
        data = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.key").write_bytes(data)
        (folder / f"{name}.pem").write_bytes(self.pem)


def authority(name: str, above: Holder | None = None, **more: object) -> Holder:
    """A root, or with `above` an intermediate authority."""
    return made(name, above, ca=True, **more)


def leaf(above: Holder | None, **more: object) -> Holder:
    """A signer's certificate."""
    return made("Model Release", above, **{"digital_signature": True, "extended": (CODE_SIGNING,), **more})


def made(
    name: str,
    above: Holder | None,
    *,
    ca: bool = False,
    path_length: int | None = None,
    digital_signature: bool | None = None,
    cert_sign: bool | None = None,
    extended: tuple[x509.ObjectIdentifier, ...] = (),
    starts: dt.datetime = NOW - 30 * DAY,
    ends: dt.datetime = NOW + 30 * DAY,
    curve: ec.EllipticCurve | None = None,
    email: str = EMAIL,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> Holder:
    """Any certificate. A usage of None leaves the extension out."""
    key = key or ec.generate_private_key(curve or ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = above.certificate.subject if above else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    )
    signs = cert_sign if cert_sign is not None else ca
    if digital_signature is not None or ca:
        flags = {"digital_signature": bool(digital_signature), "key_cert_sign": signs, "crl_sign": signs}
        builder = builder.add_extension(_usage(**flags), critical=True)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(email)]), critical=False)
    return Holder(key, builder.sign(above.key if above else key, hashes.SHA256()))


def _usage(**flags: bool) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: flags.get(name, False) for name in names})
