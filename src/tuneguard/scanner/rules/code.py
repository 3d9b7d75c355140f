"""Source code, scripts or a site path file lie beside the model.

Transformers runs a checkpoint's own Python files when `trust_remote_code` is set, Python runs `.pth`
files of text at start-up when they end in a site folder, and people run scripts. A checkpoint's code
belongs to the training code, which is hashed and named in the provenance, and not into the checkpoint.
Settings by which a build, a test or a pipeline runs commands count as scripts (`pyproject.toml`,
`docker-compose.yml`, `.github/…`). A notebook is text that a person may run, as the code in a README is, and
is no finding.

What to do: remove the file, or keep it with the training code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.scanner.identify import Identified, Kind
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODE = frozenset({Kind.PYTHON, Kind.SCRIPT, Kind.SITE})


def _check(fact: Identified, context: Context) -> Iterator[tuple[str, Location]]:
    if fact.kind in _CODE:
        yield f"is {fact.kind.value}", context.at()


RULE = Rule(
    id="TG-CODE",
    severity=Severity.MEDIUM,
    title="source code beside the model",
    looks_at=(Identified,),
    check=_check,
    why="loaders run it when they trust the model's code, and people run it by hand",
    fix="remove it from the checkpoint, and keep it with the training code",
    reference="CWE-829",
)
