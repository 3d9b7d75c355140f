"""Verify a sealed tree: a data set, evaluation set, base or classifier, sealed beside or inside.

Sealed inside, the three files of cosign's manifest form lie at the tree's top level. They are left out of the
seal's subject, so they are worth exactly as much as the check here: the third is the seal's bundle, and the
first two must equal, byte for byte, what the verified statement regenerates.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.attest.evidence import SEAL_INSIDE, Piece
from tuneguard.attest.predicates import seal as seals
from tuneguard.attest.statement import Statement
from tuneguard.display import shown
from tuneguard.errors import NotUnderstood
from tuneguard.findings import Finding, Location, Severity
from tuneguard.signing.bundle import read_bundle
from tuneguard.trust.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.trust.claims import Claim, Expectation, Verification
    from tuneguard.trust.policy import Policy

INSIDE = ("manifest.json", "checksums.sha256", SEAL_INSIDE)
"""The three files; exactly these names, in this order: two regenerated from the third's statement."""

FILES_DIFFER = ("V07", "V08", "V09")
"""The steps that find a file changed, missing or added. Each of their findings refuses."""


@dataclass(frozen=True)
class Sealed:
    """A verified tree: what was verified, and the seal that counts where it passed."""

    manifest: Manifest
    verification: Verification

    @property
    def seal(self) -> Claim[seals.Seal]:
        """The seal that met the requirement. Only to be asked for after `Verification.passed`."""
        return self.verification.counting(seals.Seal)[0]


def verify_sealed(
    tree: Path,
    manifest: Manifest,
    pieces: Sequence[Piece],
    policy: Policy,
    expectation: Expectation,
    faults: Sequence[Finding] = (),
) -> Sealed:
    """Judge the tree at `tree`, whose manifest was just taken, by the evidence beside it or inside.

    A seal beside the tree is tried first, over everything in it; then the seal inside, over
    everything but its own three files. Which of them passes, counts. `faults` is what the tree holds and
    the manifest cannot: with one, nothing passes.
    """
    beside = Sealed(manifest, verify(manifest, pieces, policy, expectation, faults))
    held = {} if beside.verification.passed else _inside(tree, manifest)
    bundle = held.get(INSIDE[2])
    if bundle is None:
        return beside
    view = manifest.without(INSIDE)
    judged = verify(view, [Piece(INSIDE[2], bundle)], policy, expectation, faults)
    same = not any(finding.rule in FILES_DIFFER for finding in judged.findings)
    wrong = tuple(_not_regenerated(view if same else None, held, manifest))
    if any(not claim.body.inside for claim in judged.counting(seals.Seal)):
        wrong += (_finding("the seal inside does not state that it lies inside", INSIDE[2]),)
    return Sealed(view, dataclasses.replace(judged, findings=judged.findings + wrong))


def subject_of(tree: Path, manifest: Manifest) -> Manifest:
    """What a seal of the tree at `tree` covers: all of it, or all but its own files if it lies inside.

    For a person who names the tree in a policy. It is a claim here: a run verifies the seal.
    """
    view = manifest.without(INSIDE)
    bundle = _inside(tree, manifest).get(INSIDE[2])
    if bundle is None:
        return manifest
    try:
        said = Statement.decode(read_bundle(bundle, INSIDE[2]).payload, INSIDE[2])
        inside = seals.PREDICATE.read(said, INSIDE[2])
    except NotUnderstood:
        return manifest
    return view if inside.inside and inside.manifest == view else manifest


def remove_seal(snapshot: Path) -> None:
    """Take the three files out of a verified snapshot of ours: what is used is what the seal covers.

    A bundle's readers ignore fields that they do not know, so the third file can carry anything, rows of
    data among it, and still be the same seal.
    """
    snapshot.chmod(0o700)
    for name in INSIDE:
        (snapshot / name).unlink()
    snapshot.chmod(0o500)


def _inside(tree: Path, manifest: Manifest) -> dict[str, bytes]:
    """The three files that are files of the tree, a link in place of one is not."""
    names = {file.path for file in manifest.files}
    with files.directory(tree) as root:
        return {
            name: files.read_bounded(name, limits.BUNDLE_BYTES, dir_fd=root)
            for name in INSIDE
            if name in names
        }


def _not_regenerated(view: Manifest | None, held: dict[str, bytes], whole: Manifest) -> list[Finding]:
    """The first two files against what the verified tree regenerates.

    The view's files are those of the seal's statement once verification has passed, so
    regenerating from the view is regenerating from the statement. Where the view's files are others,
    which refuses by itself, there is no view to regenerate from, and no message names the two files
    are at fault. What was read here must also be what was hashed: a file swapped in between is found by
    its digest.
    """
    import hashlib

    found = []
    hashed = {file.path: file.sha256 for file in whole.files}
    first_two = (None, None) if view is None else (view.to_cosign_manifest(), view.to_checksums())
    for name, expected in zip(INSIDE, (*first_two, None), strict=True):
        data = held.get(name)
        if data is None:
            found.append(_finding("is missing", name))
        elif hashlib.sha256(data).hexdigest() != hashed.get(name):
            found.append(_finding("changed while it was verified", name))
        elif expected is not None and data != expected:
            found.append(_finding("differs from what the signed seal regenerates", name))
    return found


def _finding(message: str, name: str) -> Finding:
    return Finding(
        rule="S-INSIDE",
        severity=Severity.HIGH,
        message=message,
        location=Location(name),
        why="these three files are not covered by the tree digest of a seal inside",
        fix="seal the data again, or restore the three files",
    )


def readable_by_others(folder: Path) -> list[Finding]:
    """Data that other users of this machine can read is a finding of severity low."""
    mode = folder.stat().st_mode
    if not mode & 0o005:
        return []
    return [
        Finding(
            rule="D-READABLE",
            severity=Severity.LOW,
            message=f"other users can read this folder (mode {mode & 0o777:o})",
            location=Location(shown(folder)),
            why="training data is confidential: only the job should reach it",
            fix="take the permission away: chmod o-rwx FOLDER",
        )
    ]
