"""Whom we believe about a tree: evidence, a policy and an expectation in, every fault out.

Pure: no clock, no files, no network. See the numbered steps in ``STEPS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.trust.claims import Claim, Expectation, Satisfied, Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.policy import Policy

__all__ = ["Claim", "Expectation", "Satisfied", "Verification", "verify"]


def verify(
    tree: Manifest | str, pieces: Sequence[Piece], policy: Policy, expectation: Expectation
) -> Verification:
    """What the evidence says about `tree` (a manifest, or a tree digest where the files are not at hand)."""
    raise NotImplementedError
