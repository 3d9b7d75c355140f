"""Generations that name each other, or that never end: a trace ends all the same."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from tuneguard import limits
from tuneguard.attest.predicates.provenance import Dependency
from tuneguard.journey import trace
from tuneguard.project.project import Project
from world.bodies import BODIES

if TYPE_CHECKING:
    import pytest

    from tuneguard.attest.predicates.provenance import Provenance


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def made_from(tree: str) -> Provenance:
    """A provenance whose base is a tree."""
    body: Provenance = BODIES["provenance"]
    others = tuple(each for each in body.definition.dependencies if each.role != "base")
    base = Dependency.of("base", "sft", "1", {"dirHash": tree})
    definition = msgspec.structs.replace(body.definition, dependencies=(*others, base))
    return msgspec.structs.replace(body, definition=definition)


def test_generations_that_name_each_other_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = {sha("a"): made_from(sha("b")), sha("b"): made_from(sha("a"))}
    monkeypatch.setattr(trace, "_provenance_of", lambda tree, _: chain.get(tree))

    assert len(list(trace._earlier(sha("a"), chain[sha("a")], Project()))) == 1


def test_generations_without_end_are_followed_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_provenance_of", lambda tree, _: made_from(sha(tree)))

    found = list(trace._earlier(sha("a"), made_from(sha("b")), Project()))

    assert len(found) == limits.GENERATIONS
