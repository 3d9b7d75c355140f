"""An ONNX model asks for an operator that is not the standard's, ONNX Runtime's, or a function of its own.

A runtime looks such an operator up in a library that is loaded for it: machine code, or Python. The model
decides with which inputs it is called. Operators are compared with a list of exact names
(`scanner/onnx_operators.py`), at every depth: in the graphs of `If` and `Loop`, in functions, in what trains
a model. Two of ONNX Runtime's own load a compiled program, and are not on the list.

Example: a node with the domain `ai.onnx.contrib` and the operator `PyOp`

What to do: export the model again with standard operators only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.json_document import shown
from tuneguard.formats.onnx import Operator
from tuneguard.scanner.onnx_operators import OPERATORS
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Operator, context: Context) -> Iterator[tuple[str, Location]]:
    if fact.name not in OPERATORS.get(fact.domain, ()):
        yield f"asks for the operator {shown(fact.name)} of {shown(fact.domain or 'ai.onnx')}", context.at()


RULE = Rule(
    id="TG-ONNX-OPERATOR",
    severity=Severity.HIGH,
    title="an ONNX model asks for a foreign operator",
    looks_at=(Operator,),
    check=_check,
    why="a runtime takes the operator from a library that is loaded for it",
    fix="export the model again with standard operators only",
    reference="CWE-829",
)
