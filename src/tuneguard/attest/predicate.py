"""The kinds of evidence, found in ``predicates/``: one file each, and a new file is a new kind.

kind, body = body_of(statement, where)      # the statement's signature has been checked before
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tuneguard import discover
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.nodes import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tuneguard.attest.statement import Statement


@dataclass(frozen=True, slots=True)
class Predicate:
    """A kind of evidence: the thing that a module in ``predicates/`` binds to ``PREDICATE``.

    ``id`` names the kind in file names and policies, ``type`` is the predicate's URI. ``read`` takes a
    statement and the name of its file, checks subjects and predicate against each other, and gives the
    module's dataclass or raises `NotUnderstood`.
    """

    id: str
    type: str
    read: Callable[[Statement, str], Any]


@cache
def predicates_by_type() -> Mapping[str, Predicate]:
    """Every kind of evidence by its predicate type."""
    found = discover.load("tuneguard.attest.predicates", "PREDICATE", Predicate)
    return {predicate.type: predicate for predicate in found.values()}


def body_of(statement: Statement, where: str) -> tuple[str, Any]:
    """The kind of a statement and its predicate as the kind's dataclass.

    Raises:
        NotUnderstood: a predicate type that we do not read, or a predicate that is not of its type.
    """
    predicate = predicates_by_type().get(statement.predicate_type)
    if predicate is None:
        raise NotUnderstood(
            f"the predicate type {shown(statement.predicate_type)} is not one that we read",
            where=printable(where),
        )
    return predicate.id, predicate.read(statement, where)


def only_tree(statement: Statement, where: str) -> str:
    """The tree digest of a statement that must speak of one tree and nothing else."""
    if len(statement.subjects) != 1 or statement.tree is None:
        raise NotUnderstood("the statement must have one subject, a tree digest", where=printable(where))
    return statement.tree
