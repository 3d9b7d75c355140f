"""Results as JSON, schema ``tuneguard.dev/result/v1``, and back. Fields are only ever added.

What is read passed through a pipe or a file: it is bounded, read strictly, and every field has the type
that its class states. Fields that no class names are ignored, so that a result of a later version is read.
Nothing here can turn a refusal into a pass: the exit code is judged first, and a verdict that does not
go with it is not understood.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from tuneguard import records
from tuneguard.errors import CannotLook, ConfigurationError, Problem, Refused, TuneguardError, UsageError
from tuneguard.findings import Finding, Result, Verdict, finding_fields
from tuneguard.typed import read

if TYPE_CHECKING:
    from collections.abc import Sequence

F = TypeVar("F")

SCHEMA = "tuneguard.dev/result/v1"


class Failure(msgspec.Struct, frozen=True):
    """The error in which a command ended, with its exit code."""

    exit: int
    problems: Annotated[tuple[Problem, ...], Meta(min_length=1)]

    def raise_again(self, code: int | None, findings: tuple[Finding, ...]) -> None:
        """Raise the error again, as the class of the exit code `code`.

        Raises:
            TuneguardError: always.
        """
        first = self.problems[0]
        if code == Refused.exit_code:
            refused = Refused(first.what, where=first.where, help=first.help, findings=findings)
            refused.problems = self.problems
            raise refused
        if code == UsageError.exit_code:
            raise ConfigurationError(self.problems)
        again = TuneguardError(first.what, where=first.where, help=first.help)
        again.exit_code = code or CannotLook.exit_code
        raise again


class _Envelope(msgspec.Struct, frozen=True):
    schema: Literal["tuneguard.dev/result/v1"]
    findings: tuple[Finding, ...]
    error: Failure | None


def to_json(result: Result[object], lines: Sequence[Sequence[str]] = ()) -> bytes:
    """A result, and the lines that the text form would have shown while it ran."""
    fields = msgspec.to_builtins(result)
    fields["findings"] = [finding_fields(finding) for finding in result.findings]
    return records.to_json_pretty(
        {"schema": SCHEMA, **fields, "lines": [list(line) for line in lines], "error": None}
    )


def error_to_json(
    command: str,
    error: TuneguardError,
    lines: Sequence[Sequence[str]] = (),
    notes: Sequence[str] = (),
) -> bytes:
    """An error, in the same object: ``verdict`` is refused or not-understood, ``error`` is why."""
    verdict = Verdict.REFUSED if error.exit_code == Refused.exit_code else Verdict.NOT_UNDERSTOOD
    findings: tuple[Finding, ...] = getattr(error, "findings", ())
    fields = msgspec.to_builtins(Result(command, verdict, facts={}, notes=tuple(notes)))
    return records.to_json_pretty(
        {
            "schema": SCHEMA,
            **fields,
            "findings": [finding_fields(finding) for finding in findings],
            "lines": [list(line) for line in lines],
            "error": msgspec.to_builtins(Failure(error.exit_code, error.problems)),
        }
    )


def from_json(data: bytes, facts: type[F], code: int | None, where: str) -> Result[F]:
    """The result of a command that ended with `code`, of which `where` is the file or the step.

    Raises:
        NotUnderstood: it is not a result with such facts.
        TuneguardError: the command ended in an error; the same one, of the class of its exit code.
    """
    return decode(records.read_json(data, where), facts, code, where)


def decode(value: object, facts: type[F], code: int | None, where: str) -> Result[F]:
    """`from_json` of what `records.read_json` has read."""
    envelope = read(value, _Envelope, where)
    if envelope.error is not None:
        envelope.error.raise_again(code, envelope.findings)
    kind: Any = Result
    result: Result[F] = read(value, kind[facts], where)
    if code != result.verdict.exit_code:
        return dataclasses.replace(result, verdict=Verdict.NOT_UNDERSTOOD)
    return result
