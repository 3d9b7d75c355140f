"""Every error Tuneguard raises, grouped by what the person in front of it should do next.

::

    TuneguardError              one sentence: what, where, and what to do
    ├── Refused            (1)  looked, understood, and refused
    │   ├── ForbiddenTree       an entry that a closed-world tree cannot hold
    │   └── ChangedWhileRead    bytes moved under the reader
    ├── UsageError         (2)  the command line or its surroundings: missing policy, taken name
    │   └── ConfigurationError  a file of ours that is wrong; lists every problem with its place
    ├── CannotLook         (3)  could not look: unreadable, unreachable, over a limit
    │   └── NotUnderstood       bytes of a format we read, which do not parse
    └── Interrupted      (130)  stopped by the person

The number is the process's exit code. Anything else that escapes is a bug of ours and exits with 3.
Library code raises these and never prints or exits; ``cli.console`` alone does.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.findings import Finding


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a file that a person wrote: what is wrong, where (``file:line:column``), how to fix it."""

    what: str
    where: str | None = None
    help: str | None = None


class TuneguardError(Exception):
    """The root: ``what`` is wrong, ``where``, and ``help``, the thing to do. Each is one line."""

    exit_code = 3

    def __init__(self, what: str, *, where: str | None = None, help: str | None = None) -> None:
        super().__init__(what if where is None else f"{what} at {where}")
        self.problems: tuple[Problem, ...] = (Problem(what, where, help),)

    @property
    def what(self) -> str:
        """The first problem's sentence, without its place."""
        return self.problems[0].what

    @property
    def help(self) -> str | None:
        """What to do about the first problem."""
        return self.problems[0].help


class Refused(TuneguardError):
    """Looked, understood, and refused. ``findings`` hold every reason where there are several."""

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        help: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(what, where=where, help=help)
        self.findings = tuple(findings)


class ForbiddenTree(Refused):
    """A tree holds something that a manifest cannot represent; ``findings`` name each entry."""


class ChangedWhileRead(Refused):
    """A file's bytes, size or times changed between opening it and having read it."""


class UsageError(TuneguardError):
    """The command line or what surrounds it is wrong: the person can fix it and run again."""

    exit_code = 2


class ConfigurationError(UsageError):
    """A file that a person wrote is wrong. ``problems`` lists every fault, each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            msg = "a ConfigurationError needs at least one problem"
            raise ValueError(msg)
        first = problems[0]
        super().__init__(first.what, where=first.where, help=first.help)
        self.problems = tuple(problems)


class CannotLook(TuneguardError):
    """Could not look, so nothing is known: unreadable, unreachable, or over one of our limits."""

    exit_code = 3


class NotUnderstood(CannotLook):
    """Bytes that claim a format and do not parse as it. Never read as "nothing found"."""


@contextlib.contextmanager
def mendable() -> Iterator[None]:
    """A file that a person named as a key, a certificate or a configuration, and that is none of these.

    Nobody looked at anything yet, and nobody could not: the command line is wrong. For a function that
    reads a named file, as its decorator.

    Raises:
        ConfigurationError: in place of `NotUnderstood`.
    """
    try:
        yield
    except NotUnderstood as error:
        raise ConfigurationError(error.problems) from error


class Interrupted(TuneguardError):
    """The person stopped the work. Nothing half-written is left."""

    exit_code = 130
