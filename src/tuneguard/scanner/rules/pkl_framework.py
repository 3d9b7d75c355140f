"""A pickle holds objects of a framework's own classes, which only running the framework's code can restore.

scikit-learn, XGBoost, OmegaConf, torchao and `torch.save(model)` pickle whole objects: loading one
imports the framework and runs its classes. What such an object holds cannot be judged without doing
that. The file is refused as any other pickle with unknown calls is; since the writer is known, one
sentence says what to save instead. A name of no known framework is reported beside it (TG-PKL-CALL).

Example: `joblib.dump(LogisticRegression().fit(x, y), "model.joblib")`

What to do: save weights, numbers and plain values, in the form that the message names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Severity
from tuneguard.formats.pickle.facts import Import
from tuneguard.scanner.frameworks import TORCHSCRIPT, framework_of
from tuneguard.scanner.rule import Context, Reported, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Import, context: Context) -> Iterator[Reported]:
    framework = framework_of(fact.value)
    if framework is not None and framework is not TORCHSCRIPT:
        message = f"holds {framework.what}, which only running its code restores: {framework.instead}"
        place = context.at(offset=fact.value.offset, opcode=fact.value.opcode)
        yield Reported(message, place, framework.what, whole=True, covers=framework.beside)


RULE = Rule(
    id="TG-PKL-FRAMEWORK",
    severity=Severity.HIGH,
    title="a pickle of a framework's own objects",
    looks_at=(Import,),
    check=_check,
    why="what such objects hold can only be reported by running the code that restores them",
    fix="save weights and plain values, in the form that the message names",
    reference="CWE-502",
)
