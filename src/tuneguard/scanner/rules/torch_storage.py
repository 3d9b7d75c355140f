"""A torch file's tensors and the numbers beside them do not belong together.

Each tensor names a storage and its length; the archive holds one member for each. A storage that is
missing, of another length, or asked for in two ways makes torch fail or read past what was meant.

What to do: re-save the file with torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.torch_storage import StorageMismatch
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: StorageMismatch, context: Context) -> Iterator[tuple[str, Location]]:
    yield fact.what, context.at(offset=fact.offset)


RULE = Rule(
    id="TG-TORCH-STORAGE",
    severity=Severity.MEDIUM,
    title="tensors and their storages disagree",
    looks_at=(StorageMismatch,),
    check=_check,
    why="torch never writes this; readers differ on what they then load",
    fix="re-save with torch ≥ 2.13 from a trusted run",
    reference="CWE-436",
)
