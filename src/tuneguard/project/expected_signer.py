"""Who is to have made another tool's signature: a key, a certificate under a root, a keyless identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.display import shown
from tuneguard.errors import UsageError
from tuneguard.signing.key import read_public

if TYPE_CHECKING:
    from datetime import datetime

    from tuneguard.attest import foreign
    from tuneguard.signing.key import PublicKey


@dataclass(frozen=True, slots=True)
class Signer:
    """Who is to have made a foreign signature, by one of three methods (OMS v1.0, section 4.1)."""

    public_key: Path | None = None
    roots: Path | None = None
    trusted_root: Path | None = None
    identity: str | None = None
    issuer: str | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` where no method is named, or parts of two."""
        others = (self.roots, self.trusted_root, self.identity, self.issuer)
        if self.public_key is not None:
            named = not any(others)
        elif self.roots is not None:
            named = self.issuer is None
        else:
            named = all(others[1:])
        if not named:
            raise UsageError(
                "who signed is named by one of three methods",
                help="--public-key; or --certificate-root; or --trusted-root with --certificate-identity and "
                "--certificate-oidc-issuer",
            )

    @classmethod
    def named(
        cls,
        public_key: str | Path | None,
        certificate_root: str | Path | None,
        trusted_root: str | Path | None,
        identity: str | None,
        issuer: str | None,
    ) -> Signer:
        """From what a person gave; see `tuneguard.journey.verify.verify_foreign`.

        Raises:
            UsageError: no method is named, or parts of two.
        """
        return cls(_path(public_key), _path(certificate_root), _path(trusted_root), identity, issuer)

    def judge(self, now: datetime) -> PublicKey | foreign.Vouches:
        """What `foreign.verify_foreign` asks. Imports and reads what the method needs."""
        if self.public_key is not None:
            return read_public(self.public_key)
        from tuneguard.signing import certificate, keyless

        root = None if self.trusted_root is None else keyless.read_trusted_root(self.trusted_root)
        if self.roots is None:
            assert self.identity is not None
            assert self.issuer is not None
            return keyless.vouches(root, identity=self.identity, issuer=self.issuer)
        return certificate.vouches(
            certificate.read_certificates(self.roots),
            now=now,
            identity=self.identity,
            time_of=None if root is None else keyless.time_of(root),
        )

    def recorded(self) -> str:
        """The signer as evidence names them: without a path of this machine."""
        if self.public_key is not None:
            return f"key {read_public(self.public_key).keyid}"
        if self.roots is None:
            return files.printable(f"{self.identity}, vouched for by {self.issuer}")
        authorities = hashlib.sha256(files.read_named(self.roots, limits.AUTHORITIES_BYTES)).hexdigest()
        return f"{files.printable(self.identity or 'anybody')}, certified under authorities {authorities}"

    def __str__(self) -> str:
        if self.public_key is not None:
            return f"the key {shown(self.public_key)}"
        if self.identity is not None:
            return files.printable(self.identity)
        return f"a certificate under {shown(self.roots)}" if self.roots is not None else "nobody"


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
