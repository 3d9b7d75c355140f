"""A pickle sets the state of a class, a function, or an object that takes none from a pickle.

BUILD writes attributes: onto a class it replaces methods (`forward`, `__call__`), onto a function its
code. SETITEM and APPEND on something that is no dictionary or list call its own methods. Only the
objects of the allow list may be given state, and only attributes with plain names.

Example: `ctorch.nn.modules.module\\nModule\\n}X\\x07\\x00\\x00\\x00forward…sb.` replaces the forward method
of every model in the process.

What to do: as for TG-PKL-CALL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Severity
from tuneguard.formats.pickle.facts import Build, Fill
from tuneguard.formats.pickle.values import Made, describe
from tuneguard.scanner.allowed import allowed
from tuneguard.scanner.rule import Context, Reported, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Build | Fill, context: Context) -> Iterator[Reported]:
    target = fact.target
    about = None
    if isinstance(target, Made):
        about = target.source.path if target.source is not None else None
        entry = allowed(target.source) if target.source is not None else None
        if entry is None:
            return  # what made it is refused already
        if isinstance(fact, Fill) and entry.fills:
            return
        if isinstance(fact, Build) and any(form(fact.state) for form in entry.states):
            return
    does = "set the state of" if isinstance(fact, Build) else "put items through methods of"
    place = context.at(offset=fact.offset, opcode=fact.opcode)
    yield Reported(f"would {does} {describe(target)} in a way that no known writer does", place, about)


RULE = Rule(
    id="TG-PKL-STATE",
    severity=Severity.HIGH,
    title="a pickle sets state where none may be set",
    looks_at=(Build, Fill),
    check=_check,
    why="state set on a class or function changes what runs later; on an object it can replace its methods",
    fix="export with safetensors, or re-save with torch ≥ 2.13 from a trusted run",
    reference="CWE-915",
)
