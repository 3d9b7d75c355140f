"""A pickle calls a name that no trusted writer uses, or a known name in an unknown way.

Loading a pickle runs whatever calls it contains. The scanner follows the stream without running it
and compares each call with an allow list of exact names and argument forms (`scanner/allowed.py`):
those that torch, NumPy and the Hugging Face Trainer write into checkpoints. Everything else is
refused, whether or not anybody has found an attack in it yet.

Example: `cposix\\nsystem\\n(X\\x04\\x00\\x00\\x00echoetR.` calls `posix.system("echo")`.

What to do: ask where the file comes from. If you trust the run that wrote it, write it again as
safetensors, or with torch 2.13 or newer. If a framework of yours writes a name that is missing here,
add it with a test (`docs/add/rule.md`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.files import printable
from tuneguard.findings import Severity
from tuneguard.formats.pickle.facts import Call
from tuneguard.formats.pickle.values import Global, Made, describe
from tuneguard.scanner.allowed import ALLOWED, allowed
from tuneguard.scanner.frameworks import framework_of
from tuneguard.scanner.rule import Context, Reported, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Call, context: Context) -> Iterator[Reported]:
    target = fact.target
    entry = allowed(target) if isinstance(target, Global) else None
    if entry is not None and fact.keywords is None:
        forms = {"REDUCE": entry.calls, "NEWOBJ": entry.news}.get(fact.opcode, ())
        if any(form(fact.arguments) for form in forms):
            return
    place = context.at(offset=fact.offset, opcode=fact.opcode)
    if isinstance(target, Made) and target.source is None:
        return  # the name itself is computed: TG-PKL-COMPUTED reports it
    if isinstance(target, Global):
        if entry is None and framework_of(target) is not None:
            return  # TG-PKL-FRAMEWORK reports it, once for all of the framework's names
        arguments = fact.arguments if isinstance(fact.arguments, tuple) else (fact.arguments,)
        called = f"{printable(target.path)}{describe(arguments).replace(',)', ')')}"
        how = "call" if entry is None else "use in a way that no known writer does:"
        yield Reported(f"would {how} {called} when the file is loaded", place, target.path)
    else:
        yield Reported(f"would call what {describe(target)} returned when the file is loaded", place)


RULE = Rule(
    id="TG-PKL-CALL",
    severity=Severity.HIGH,
    title="a pickle calls something that is not on the allow list",
    looks_at=(Call,),
    check=_check,
    why=f"not one of the {len(ALLOWED)} names, in their exact forms, that torch, NumPy and Trainer write",
    fix="export with safetensors, or re-save with torch ≥ 2.13 from a trusted run",
    reference="CWE-502",
)
