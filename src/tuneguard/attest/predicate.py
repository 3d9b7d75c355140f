"""The kinds of evidence, found in ``predicates/``: one file each, and a new file is a new kind.

kind, body = body_of(statement, where)      # the statement's signature has been checked before
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tuneguard import discover
from tuneguard.attest.statement import Statement, tree_resource
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.nodes import shown
from tuneguard.typed import JsonStruct, read, written

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping

Body = TypeVar("Body", bound=JsonStruct)


def only_tree(statement: Statement, where: str) -> str:
    """The tree digest of a statement that must be about one tree and nothing else."""
    if len(statement.subjects) != 1 or statement.tree is None:
        raise NotUnderstood("the statement must have one subject, a tree digest", where=printable(where))
    return statement.tree


def _about_a_tree(statement: Statement, _: JsonStruct, where: str) -> None:
    only_tree(statement, where)


@dataclass(frozen=True, slots=True)
class Predicate(Generic[Body]):
    """A kind of evidence: the thing that a module in ``predicates/`` binds to ``PREDICATE``.

    ``id`` names the kind in file names and policies, ``type`` is the predicate's URI, ``body`` what the
    predicate has. ``check`` takes a statement, its body and the name of its file, and raises `NotUnderstood`
    where the subjects are not what the body names.
    """

    id: str
    type: str
    body: builtins.type[Body]
    check: Callable[[Statement, Body, str], object] = _about_a_tree

    def read(self, statement: Statement, where: str) -> Body:
        """What a statement of this type states. Raises `NotUnderstood`."""
        body = read(statement.predicate, self.body, where)
        self.check(statement, body, where)
        return body

    def statement(self, tree_name: str, digest: str, body: Body) -> Statement:
        """The statement to sign about the tree `digest`."""
        return Statement((tree_resource(tree_name, digest),), self.type, written(body))


@cache
def predicates_by_type() -> Mapping[str, Predicate[Any]]:
    """Every kind of evidence by its predicate type."""
    found = discover.load("tuneguard.attest.predicates", "PREDICATE", Predicate)
    return {predicate.type: predicate for predicate in found.values()}


def body_of(statement: Statement, where: str) -> tuple[str, JsonStruct]:
    """The kind of a statement, and what its predicate states.

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
