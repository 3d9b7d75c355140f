"""Two readers of this file would see different things.

A zip archive with a name twice, a header that states one thing in front and another behind, a safetensors
file whose tensors overlap, a JSON key given twice: each is read one way by the program that was asked
whether the file is safe, and another way by the one that loads it. So is a file that is two formats at once:
`torch.load` takes a pickle whose bytes are also a tar archive for the archive, and `zipfile` takes for a zip
whatever ends like one. The scanner does not choose a reader; it refuses the disagreement.

What to do: write the file again with the tool that it belongs to. `torch.save`, `safetensors` and `json`
never write such a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.facts import TwoReadings
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: TwoReadings, context: Context) -> Iterator[tuple[str, Location]]:
    yield fact.what, context.at(offset=fact.offset)


RULE = Rule(
    id="TG-TWO-READINGS",
    severity=Severity.HIGH,
    title="two readers would see different things",
    looks_at=(TwoReadings,),
    check=_check,
    why="what one program checks is not what another one loads",
    fix="write the file again with the tool that it belongs to, from a trusted run",
    reference="CWE-436",
)
