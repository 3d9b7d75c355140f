"""The scanned bytes are not the ones that the manifest names.

A scan is worth something only about the bytes that will be loaded. When a scan is bound to a manifest,
a file that is missing, added or different refuses, so that nothing can be swapped between hashing and
scanning.

What to do: restore the files, and find out who can write to the folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.scanner.facts import Changed
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Changed, context: Context) -> Iterator[tuple[str, Location]]:
    yield fact.what, context.at()


RULE = Rule(
    id="TG-CHANGED",
    severity=Severity.CRITICAL,
    title="the scanned bytes are not the signed ones",
    looks_at=(Changed,),
    check=_check,
    why="a scan of other bytes proves nothing about these",
    fix="restore the files, and find out who can write to the folder",
    reference="CWE-367",
)
