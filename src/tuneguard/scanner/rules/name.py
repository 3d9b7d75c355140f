"""A file's name promises another format than its bytes are.

Programs choose a loader by the name, checks often by the content. A pickle called `.safetensors` is
skipped by a check that trusts the name, and loaded by a program that trusts the bytes.

Some bytes are two things at once: a safetensors header or a picture can be a working pickle as well.
Such formats therefore need the name that keeps a loader from unpickling them.

What to do: find out who named the file, and give it the name of what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.scanner.identify import Identified, Kind, expected_kinds
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_SILENT = frozenset({Kind.EMPTY, Kind.POINTER, Kind.UNKNOWN})
# Bytes can be one of these and a pickle as well: only the name keeps a loader from unpickling them.
_TELLING = frozenset({Kind.SAFETENSORS, Kind.GGUF, Kind.PNG, Kind.JPEG, Kind.GIF, Kind.WEBP, Kind.TOKENIZER})


def _check(fact: Identified, context: Context) -> Iterator[tuple[str, Location]]:
    expected = expected_kinds(fact.name)
    if expected is None:
        if fact.kind in _TELLING:
            yield f"is {fact.kind.value}, and its name does not show it", context.at()
    elif fact.kind not in expected | _SILENT:
        promised = " or ".join(sorted(kind.value for kind in expected))
        yield f"is {fact.what or fact.kind.value}; its name promises {promised}", context.at()


RULE = Rule(
    id="TG-NAME",
    severity=Severity.MEDIUM,
    title="name and content disagree",
    looks_at=(Identified,),
    check=_check,
    why="one program goes by the name and the next by the content",
    fix="find out who named the file, and give it the name of what it is",
    reference="CWE-436",
)
