"""The file is a TorchScript module: code, which `torch.load` hands to an interpreter.

TorchScript can read and write files, and loading a module may run parts of it. A checkpoint holds
numbers; the code that uses them comes from elsewhere.

What to do: export the weights with safetensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.pickle.facts import Import
from tuneguard.formats.torch_zip import TorchScript
from tuneguard.scanner.frameworks import TORCHSCRIPT, framework_of
from tuneguard.scanner.rule import Context, Reported, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: TorchScript | Import, context: Context) -> Iterator[Reported]:
    if isinstance(fact, TorchScript) or framework_of(fact.value) is TORCHSCRIPT:
        message = f"holds TorchScript code, which the loader runs: {TORCHSCRIPT.instead}"
        yield Reported(message, Location(context.path), TORCHSCRIPT.what, whole=True)


RULE = Rule(
    id="TG-TORCHSCRIPT",
    severity=Severity.HIGH,
    title="a TorchScript module",
    looks_at=(TorchScript, Import),
    check=_check,
    why="it is a program, and the loader runs it",
    fix="export the weights with safetensors",
    reference="CWE-94",
)
