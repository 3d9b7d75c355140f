"""Every key and certificate of the private Sigstore, made anew for each session: no secrets."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

FULCIO_PASSWORD = "private"  # Fulcio's file CA refuses a key that is not encrypted


def make(folder: Path) -> None:
    """Fulcio's root, the timestamp authority's chain, the keys of Rekor, CT log and OIDC issuer."""
    folder.mkdir()
    fulcio = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "fulcio.key", fulcio, FULCIO_PASSWORD)
    (folder / "fulcio.pem").write_bytes(_pem(_certificate("fulcio-root", fulcio, path_length=1)))
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("tsa-root", root_key)
    leaf = _certificate("tsa-leaf", leaf_key, issuer=root, issuer_key=root_key)
    _write_key(folder / "tsa.key", leaf_key)
    (folder / "tsa-chain.pem").write_bytes(_pem(leaf) + _pem(root))
    for name in ("rekor", "ctlog"):
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(folder / f"{name}.key", key)
        (folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
    _write_key(folder / "oidc.key", rsa.generate_private_key(65537, 2048))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None = None,
    issuer_key: ec.EllipticCurvePrivateKey | None = None,
    path_length: int | None = None,
) -> x509.Certificate:
    """A root, or a leaf for timestamps (RFC 3161 section 2.3: that one extended usage, critical)."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    is_root = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name) if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(is_root, path_length), critical=True)
        .add_extension(
            x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer_key is not None:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
        ).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    return builder.sign(issuer_key or key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "private-sigstore"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(path: Path, key, password: str | None = None) -> None:
    encryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
