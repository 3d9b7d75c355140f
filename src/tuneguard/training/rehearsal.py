"""What a rehearsal shows that the real run would lack.

A rehearsal has the isolation and the inputs of a run, ten minutes at most, and the variable
``TUNEGUARD_REHEARSE=1``, by which a training knows to take a few steps only. It takes no run id, signs
nothing and leaves nothing. Why a training failed is read from the last lines that it printed, which are
advice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.files import printable
from tuneguard.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneguard.sandbox.controls import Outcome

SECONDS = 600
"""A rehearsal's deadline, where the run's own is later."""
VARIABLE = "TUNEGUARD_REHEARSE"

RULES: Mapping[str, str] = {
    "R-MODULE": "A module that the training imports is not installed in the environment that trains.",
    "R-PATH": "A file that the training opens is not in the sandbox, or cannot be written there.",
    "R-NETWORK": "The training tries to reach a network, and a training has none.",
    "R-MEMORY": "The training needs more memory than the pipeline gives it.",
    "R-FAILED": "The training ended with an error.",
    "R-DEADLINE": "The rehearsal reached its deadline: what the training writes at its end is not known.",
    "R-OUTPUT": "The training wrote no checkpoint, or one that cannot be signed.",
}
"""What each finding of a rehearsal means; ``explain ID`` prints it."""

_MODULE = re.compile(r"^(?:ModuleNotFoundError|ImportError): No module named '([^'\n]{1,200})'", re.MULTILINE)
_MISSING = re.compile(r"^FileNotFoundError: .*No such file or directory: '([^'\n]{1,500})'", re.MULTILINE)
_CLOSED = re.compile(
    r"^(?:PermissionError|OSError): .*(?:Permission denied|Read-only file system): '([^'\n]{1,500})'",
    re.MULTILINE,
)
_NETWORK = re.compile(
    r"Name or service not known|Temporary failure in name resolution|Network is unreachable"
    r"|Failed to resolve|LocalEntryNotFoundError|OfflineModeIsEnabled"
)
_TAIL = 64 * limits.KIB


def reasons(outcome: Outcome, log: bytes) -> Iterator[Finding]:
    """Why a rehearsal did not end by itself with exit code 0; nothing where it did."""
    if outcome.stopped == "deadline":
        seconds = f"{outcome.seconds:,.0f} s"
        yield _finding(
            "R-DEADLINE",
            f"the rehearsal was ended after {seconds}",
            f"take a few steps only where {VARIABLE}=1 is set, so that its output is seen as well",
            Severity.LOW,
        )
    elif not outcome.succeeded:
        found = tuple(_known(outcome, log[-_TAIL:].decode("utf-8", "replace")))
        yield from found or (_failed(outcome, log),)


def _known(outcome: Outcome, text: str) -> Iterator[Finding]:
    """The reasons that have a fix of their own, from what the training printed last."""
    if outcome.note:
        yield _finding("R-MEMORY", outcome.note, "raise train.resources.memory, or take smaller batches")
    for module in dict.fromkeys(_MODULE.findall(text)):
        message = f"the module {printable(module)} is not installed"
        yield _finding("R-MODULE", message, "install it into the environment of the Python that runs this")
    for path in dict.fromkeys(_MISSING.findall(text)):
        yield _finding("R-PATH", f"{printable(path)} is not in the sandbox", _PATHS)
    for path in dict.fromkeys(_CLOSED.findall(text)):
        yield _finding("R-PATH", f"{printable(path)} cannot be written or read in the sandbox", _PATHS)
    if _NETWORK.search(text):
        fix = "have what it downloads in data, base or code: tuneguard stage"
        yield _finding("R-NETWORK", "the training tries to reach a network", fix)


_PATHS = "use {data}, {base}, {checkpoint}, {scratch} in train.command, or TUNEGUARD_DATA and the others"


def _failed(outcome: Outcome, log: bytes) -> Finding:
    how = f"exit code {outcome.code}" if outcome.code is not None else f"signal {outcome.signal}"
    last = next((line for line in reversed(log[-_TAIL:].splitlines()) if line.strip()), b"")
    said = f": {printable(last[:300])}" if last else ""
    return _finding("R-FAILED", f"the training failed ({how}){said}", "look at what it printed above")


def unsignable(why: str) -> Finding:
    """What was written could not be signed after a run."""
    return _finding("R-OUTPUT", why, "write the checkpoint to {checkpoint}, as plain files")


def _finding(rule: str, message: str, fix: str, severity: Severity = Severity.HIGH) -> Finding:
    return Finding(rule, severity, message, why=RULES[rule], fix=fix)
