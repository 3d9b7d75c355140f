"""A pickle imports a name that no trusted writer uses, without calling it.

Importing a module runs it, whatever is done with the name afterwards. A name that is kept as a value
waits to be called later: as a hook, as a method, as somebody else's callback.

Example: `cantigravity\\nfly\\n.` opens a web browser.

What to do: as for TG-PKL-CALL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.files import printable
from tuneguard.findings import Severity
from tuneguard.formats.pickle.facts import Hold, Import
from tuneguard.scanner.allowed import ALLOWED, allowed
from tuneguard.scanner.frameworks import framework_of
from tuneguard.scanner.rule import Context, Reported, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Import | Hold, context: Context) -> Iterator[Reported]:
    entry = allowed(fact.value)
    path = printable(fact.value.path)
    if isinstance(fact, Import):
        # A name that is called as well is reported by TG-PKL-CALL, a framework's by TG-PKL-FRAMEWORK.
        if entry is None and not fact.value.called and framework_of(fact.value) is None:
            place = context.at(offset=fact.value.offset, opcode=fact.value.opcode)
            yield Reported(f"would import {path} when the file is loaded", place, fact.value.path)
    elif entry is not None and not entry.held:
        place = context.at(offset=fact.offset, opcode=fact.opcode)
        message = f"keeps {path} itself as a value, where no known writer does"
        yield Reported(message, place, fact.value.path)


RULE = Rule(
    id="TG-PKL-IMPORT",
    severity=Severity.MEDIUM,
    title="a pickle imports something that is not on the allow list",
    looks_at=(Import, Hold),
    check=_check,
    why=f"importing runs a module; not one of the {len(ALLOWED)} names that torch, NumPy and Trainer write",
    fix="export with safetensors, or re-save with torch ≥ 2.13 from a trusted run",
    reference="CWE-502",
)
