"""What a signature by another tool says of a folder: OMS, or cosign's of a ``manifest.json``."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tuneguard import files, limits
from tuneguard.attest import foreign
from tuneguard.attest.foreign import COSIGN_MANIFEST
from tuneguard.display import shown
from tuneguard.signing.blob import is_blob_signature, read_blob_signature
from tuneguard.signing.bundle import read_bundle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.findings import Finding
    from tuneguard.progress import Reporter
    from tuneguard.signing.key import PublicKey


class Compared(NamedTuple):
    """What is wrong, nothing of medium severity or above where all is well; the SHA-256 of the signature."""

    findings: tuple[Finding, ...]
    sha256: str


def compare(
    directory: Path,
    tree: Manifest,
    signature: Path,
    signed_by: PublicKey | foreign.Vouches,
    *,
    reporter: Reporter,
    manifest: str | Path | None = None,
    allow_ignored: Sequence[str] = (),
) -> Compared:
    """Judge the tree at `directory` by the file `signature`, by whom the person named.

    `manifest` is the list that cosign signed, where it does not lie in the folder.

    Raises:
        UsageError: the file is not there.
        NotUnderstood: the signature is not a bundle of a form that we read.
    """
    if not os.path.lexists(signature):
        raise files.missing(signature, "no such file")
    data = files.read_named(signature, limits.BUNDLE_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    if is_blob_signature(data):
        return Compared(_cosign_form(directory, tree, data, signature, manifest, signed_by), digest)
    bundle = read_bundle(data, shown(signature))
    with (
        files.directory(directory) as root,
        foreign.range_hasher(root, tree, reporter) as ranges,
    ):
        found = foreign.verify_foreign(
            tree, bundle, signed_by, allow_ignored, where=shown(signature), hash_ranges=ranges
        )
    return Compared(found, digest)


def _cosign_form(
    directory: Path,
    tree: Manifest,
    data: bytes,
    signature: Path,
    manifest: str | Path | None,
    signed_by: PublicKey | foreign.Vouches,
) -> tuple[Finding, ...]:
    """The list is read once: what is compared is what was signed. List and signature may lie in the tree."""
    listing = directory / COSIGN_MANIFEST if manifest is None else Path(manifest)
    read = files.read_bounded if manifest is None else files.read_named
    content = read(listing, limits.MANIFEST_BYTES)
    beside = {name for path in (listing, signature) if (name := inside(path, directory)) is not None}
    signed = read_blob_signature(data, content, shown(signature))
    return foreign.verify_cosign_form(tree.without(beside), signed, signed_by, where=shown(listing))


def inside(path: Path, directory: Path) -> str | None:
    """A path below the directory as a manifest has it, or None where it lies elsewhere."""
    below = os.path.relpath(os.path.realpath(path), os.path.realpath(directory))
    return None if below.startswith("..") else below
