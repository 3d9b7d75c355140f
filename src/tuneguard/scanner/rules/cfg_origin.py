"""A configuration names something outside of the tree that this scan cannot judge.

`_name_or_path`, `best_model_checkpoint` and others name a model's origin, and no loader opens them:
they are only shown. So is an adapter's base by a relative path, which is seen from the folder in which the
loading program happens to run. Where one file is scanned alone, the files that it names are not seen.

Example: `{"_name_or_path": "someone/model"}` in `config.json`

What to do: nothing, if the name is the one that you expect; scan the folder where a single file was scanned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import Object
from tuneguard.formats.onnx import External
from tuneguard.scanner.followed import followed, opened
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Object | External, context: Context) -> Iterator[tuple[str, Location]]:
    if isinstance(fact, External):
        said = opened(fact.location, context)
        if said is not None and not said[1]:
            yield f"a tensor {said[0]}", context.at()
        return
    for found in followed(fact, context):
        if not found.refuses:
            yield found.message, context.at(line=fact.line_of(found.key))


RULE = Rule(
    id="TG-CFG-ORIGIN",
    severity=Severity.LOW,
    title="a configuration names what was not looked at",
    looks_at=(Object, External),
    check=_check,
    why="it is no part of the tree, so no evidence covers it",
    fix="see whether the name is the one that you expect",
    reference="CWE-1059",
)
