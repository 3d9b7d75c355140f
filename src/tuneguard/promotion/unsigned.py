"""The unsigned in-toto statement that a judging step leaves for the step that signs it.

A judging step reads hostile bytes and holds no key. The step that signs reads nothing but this statement: it
must be of the one predicate type that the step signs, and be about the tree, model and attempt that the step
was given.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.attest.statement import Statement
from tuneguard.display import shown
from tuneguard.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.attest.predicate import Body, Predicate


def leave(path: Path, statement: Statement) -> str:
    """Write the statement to `path`; returns its SHA-256, in hex."""
    data = statement.encode()
    files.write_replacing(path, data, mode=0o600)
    return hashlib.sha256(data).hexdigest()


def take(
    path: Path, sha256: str, predicate: Predicate[Body], *, model: str, tree: str, attempt: str | None
) -> tuple[Statement, Body]:
    """Read the statement in `path`, whose SHA-256 the judging step handed on.

    Raises:
        NotUnderstood: it is no statement with this predicate.
        Refused: it is another one, or it is about another tree, model or attempt.
    """
    where = shown(path)
    data = files.read_bounded(path, limits.BUNDLE_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Refused("was changed after the judging step wrote it", where=where, help=_HELP)
    statement = Statement.decode(data, where)
    body = predicate.read(statement, where)
    wanted = predicate.statement(model, tree, body)
    if statement.encode() != wanted.encode() or getattr(body, "attempt", None) != attempt:
        raise Refused(
            f"is about another tree, model or attempt, or is another kind of statement than {predicate.id}",
            where=where,
            help=_HELP,
        )
    return statement, body


_HELP = "find out who can write here, and promote again"
