"""A file is of a format that the policy does not list.

A policy may list the formats that a checkpoint may hold (`gates.scan.formats`, for all models and for each):
the fewer there are, the less a loader can be led to. Content decides, also inside an archive: a pickle in an
`.npz` is `torch`. Without a list every format is let through that is understood and in which nothing is
found.

| name | what it stands for |
|---|---|
{formats}

What to do: leave the file out of the checkpoint, or save it in a format that the policy lists; or ask the
policy's owner to list it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.torch_zip import Torch
from tuneguard.scanner.identify import Identified
from tuneguard.scanner.kinds import FORMATS, format_of
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = "\n".join(f"| `{name}` | {what} |" for name, what in FORMATS.items())
__doc__ = (__doc__ or "").format(formats=_ROWS)


def _check(fact: Identified | Torch, context: Context) -> Iterator[tuple[str, Location]]:
    if context.formats is None:
        return
    name = "torch" if isinstance(fact, Torch) else format_of(fact)
    if name is not None and name not in context.formats:
        listed = ", ".join(sorted(context.formats)) or "nothing"
        yield f"is of the format {name}, and the policy lists {listed}", context.at()


RULE = Rule(
    id="TG-FORMAT",
    severity=Severity.MEDIUM,
    title="a format that the policy does not list",
    looks_at=(Identified, Torch),
    check=_check,
    why="the policy's owner decided which formats a checkpoint may hold",
    fix="leave the file out, save it in a listed format, or have the policy's gates.scan.formats list it",
    reference="CWE-184",
)
