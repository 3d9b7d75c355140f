"""How an output was put in order (`artifact.arrange`): as provenance says it, and as people read it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact import arrange
from tuneguard.attest.predicates.provenance import Change, Output
from tuneguard.display import counted, shown
from tuneguard.training import claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.project.project import Project

_SHOWN = 20
"""Changes to the output that are shown one by one."""
_NAMED = 3
"""Excluded files that a note names, the largest first."""


def described(changes: Sequence[arrange.Change]) -> Output | None:
    """What provenance says of these changes; None where there are none.

    Excluded files come first, the largest first: thousands of links hide no weights.
    """
    if not changes:
        return None
    first = sorted(changes, key=_place)[: limits.OUTPUT_CHANGES]
    return Output(
        counts=dict(sorted(Counter(each.done for each in changes).items())),
        changes=tuple(
            Change(path=each.path, done=each.done, why=each.why or None, size=each.size or None)
            for each in first
        ),
    )


def _place(change: arrange.Change) -> tuple[bool, int, str]:
    excluded = change.done == arrange.EXCLUDED
    return not excluded, -change.size if excluded else 0, change.path


def show(output: Output | None, claimed: claims.Claimed, project: Project) -> None:
    """Say how the output was put in order: what is no longer there, or is elsewhere, surprises nobody."""
    if output is None:
        return
    done = ", ".join(f"{what.replace('-', ' ')} {count:,}" for what, count in output.counts.items())
    lines = [
        f"{each.done.replace('-', ' ')}: {each.path}" + (f" -> {each.why}" if each.why else "")
        for each in output.changes[:_SHOWN]
    ]
    more = sum(output.counts.values()) - len(lines)
    project.reporter.emit(
        "Arranged",
        f"{shown(claimed.checkpoint)}  {done}",
        *lines,
        *([f"and {more:,} more; the provenance has the numbers"] if more else ()),
    )


def excluded(output: Output | None, claimed: claims.Claimed) -> tuple[str, ...]:
    """A note on what is not signed."""
    count = 0 if output is None else output.counts.get(arrange.EXCLUDED, 0)
    if output is None or not count:
        return ()
    names = ", ".join(each.path for each in output.changes[: min(count, _NAMED)])
    said = f"{counted(count, 'file')} excluded by checkpoint.exclude, not signed: {names}"
    said += ", …" if count > _NAMED else ""
    return (f"{said}; in {shown(claims.unsigned_of(claimed.checkpoint))}",)
