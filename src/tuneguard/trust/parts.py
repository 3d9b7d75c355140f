"""Of which signed runs a tree is a part that the policy allows (`tuneguard.artifact.subset`).

The lists of files are those of OMS signatures, by signers whom a role lets sign them. A list alone is no run:
only provenance about the very tree that it makes counts for a part (V06).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.artifact import subset
from tuneguard.artifact.pattern import Patterns
from tuneguard.attest.predicates.oms import Signature
from tuneguard.errors import Refused
from tuneguard.trust import belief
from tuneguard.trust.claims import Part
from tuneguard.trust.opening import find_signer, open_bundle, open_statement
from tuneguard.trust.request import Question, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.policy import Subset

PURPOSES = frozenset({"promote", "load"})
"""What a part of a run can be taken for. A base is verified again where its files are not at hand."""


def signed_lists(question: Question, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, Manifest]]:
    """The lists of files under signatures by those whom a role lets sign them, each tree once."""
    met = set()
    for piece in pieces:
        try:
            bundle = open_bundle(piece)
            identity = find_signer(bundle, question.policy)
            belief.check_identity(identity, question)
            opened = open_statement(bundle, identity, piece, question)
            listed = opened.listed if isinstance(opened.body, Signature) else None
        except Stop:
            continue
        if listed is not None and listed.digest not in met:
            met.add(listed.digest)
            yield piece, listed


def find(question: Question, pieces: Sequence[Piece]) -> dict[str, Part]:
    """The runs, by tree digest, of which the tree is a part that the policy allows for the model.

    Nothing where the policy lists no subsets, or the tree's files are not at hand.
    """
    model, part = question.model, question.manifest
    if model is None or part is None or not part.files or not model.subsets:
        return {}
    if question.expectation.purpose not in PURPOSES:
        return {}
    found: dict[str, Part] = {}
    for piece, whole in signed_lists(question, pieces):
        if whole.digest == part.digest:
            continue
        path = next(
            (path for path in _paths(whole, part) if _allowed(whole, path, part, model.subsets)), None
        )
        if path is not None:
            found[whole.digest] = Part(whole.digest, path, piece.name, piece.sha256)
    return found


def _paths(whole: Manifest, part: Manifest) -> Iterator[str]:
    """The folders of `whole` in which the first file of `part` lies; the tree itself as the empty path."""
    first = part.files[0]
    for file in whole.files:
        if file.sha256 != first.sha256:
            continue
        if file.path == first.path:
            yield ""
        elif file.path.endswith("/" + first.path):
            yield file.path[: -len(first.path) - 1]


def _allowed(whole: Manifest, path: str, part: Manifest, rules: Sequence[Subset]) -> bool:
    """Whether one rule allows this path, and to leave out each file that is left out."""
    difference = subset.compare(whole, path, part)
    if not subset.is_subset(difference):
        return False
    try:
        return any(
            rule.allows(path) and all(map(Patterns(rule.exclude).cover, difference.missing)) for rule in rules
        )
    except Refused:  # comparing with the patterns took too long
        return False
