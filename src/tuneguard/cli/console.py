"""The console: everything that is printed, and every exit code, passes through here.

Exit codes: 0 passed, 1 refused, 2 usage or configuration, 3 could not look, 4 integrity only,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import TextIO

    from tuneguard.errors import TuneguardError
    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.output import text

EXIT_CODES = """\b
Exit codes: 0 passed · 1 refused · 2 usage or configuration · 3 could not look · 4 integrity only ·
130 interrupted"""


class Console:
    """How this call of the program prints: its format, its streams, and whether lines are shown."""

    def __init__(self) -> None:
        self.form = "text"
        self.output: Path | None = None
        self.quiet = False
        self.document = False
        self.command = "tuneguard"
        self.lines: Sequence[Sequence[str]] = ()
        self.warnings: Callable[[], tuple[str, ...]] = tuple

    def style(self) -> text.Style:
        """What the standard output can show."""
        from tuneguard.output import text

        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and self.output is None
        encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
        return text.Style(colour=colour, unicode=encoding == "utf8")

    def beside(self) -> TextIO:
        """Where a person reads what is printed beside a document; the standard output where there is none."""
        return sys.stderr if self.document and self.output is None else sys.stdout

    def result(self, result: Result[Facts]) -> int:
        """Print a result in the chosen format and return its exit code."""
        import dataclasses

        notes = tuple(dict.fromkeys((*result.notes, *self.warnings())))
        result = dataclasses.replace(result, notes=notes)
        if self.document and self.form == "text":
            from tuneguard.facts import MigrateFacts
            from tuneguard.output import text

            assert isinstance(result.facts, MigrateFacts)
            self._write(result.facts.document.encode())
            self.beside().write(text.render(result, text.PLAIN))
        else:
            self._write(self._render(result))
        return result.verdict.exit_code

    def error(self, error: BaseException) -> int:
        """Print an error, each problem in one sentence, and return its exit code."""
        import click

        from tuneguard.output import text

        ours = as_ours(error)
        if os.environ.get("TUNEGUARD_DEBUG") == "1":
            import traceback

            traceback.print_exception(error, file=sys.stderr)
        if self.form == "sarif":
            from tuneguard.output import sarif

            self._write_anyhow(sarif.render_error(ours))
        if self.form == "json":
            from tuneguard import result_codec

            said = result_codec.error_to_json(self.command, ours, self.lines, self.warnings())
            self._write_anyhow(said)
        elif isinstance(error, click.exceptions.NoArgsIsHelpError):  # its message is the whole help
            sys.stderr.write(f"{error.format_message()}\n")
        else:
            style = text.Style(
                colour=sys.stderr.isatty() and not os.environ.get("NO_COLOR"), unicode=self.style().unicode
            )
            sys.stderr.write(text.render_error(ours, style, self.warnings()))
        return ours.exit_code

    def _render(self, result: Result[Facts]) -> bytes:
        if self.form == "json":
            from tuneguard import result_codec

            return result_codec.to_json(result, self.lines)
        if self.form == "sarif":
            from tuneguard.output import sarif

            return sarif.render(result)
        if self.form == "html":
            from tuneguard.output import html

            return html.render(result)
        from tuneguard.output import text

        written = self.output is not None and not self.quiet  # on a terminal the lines went before
        lines = "".join(text.line(text.PLAIN, *_parts(row)) + "\n" for row in self.lines) if written else ""
        return (lines + text.render(result, self.style())).encode("utf-8", "backslashreplace")

    def _write_anyhow(self, said: bytes) -> None:
        """Write an error; the file that cannot be written may be the very error."""
        from tuneguard.errors import TuneguardError

        try:
            self._write(said)
        except TuneguardError:
            self.output = None
            self._write(said)

    def _write(self, data: bytes) -> None:
        if self.output is not None:
            from tuneguard.files import write_named

            write_named(self.output, data)
            return
        sys.stdout.flush()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # The reader went away (`| head`); the exit code still shows what was found.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parts(row: Sequence[str]) -> tuple[str, str, Sequence[str]]:
    """A recorded line's verb, text and details."""
    verb, said, *details = row
    return verb, said, details


def as_ours(error: BaseException) -> TuneguardError:
    """Any exception as one of ours: what click raises is usage, what we did not foresee is a bug."""
    import click

    from tuneguard.errors import CannotLook, Interrupted, TuneguardError, UsageError

    if isinstance(error, TuneguardError):
        return error
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Interrupted("interrupted", help="nothing half-written is left; run it again")
    if isinstance(error, click.UsageError):
        name = error.ctx.command_path if error.ctx else "tuneguard"
        return UsageError(error.format_message().rstrip("."), help=f"see {name} --help")
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if isinstance(error, OSError):
        from tuneguard.files import cannot_look

        named = error.filename if isinstance(error.filename, (str, bytes)) else None
        return cannot_look(error, os.fsdecode(named or "an unnamed file"))
    if isinstance(error, MemoryError):
        return CannotLook("out of memory", help="give the machine more, or look at fewer files at once")
    kind = type(error).__name__
    return CannotLook(
        f"a bug in Tuneguard: {kind}: {' '.join(str(error).split())[:200]}",
        help="run again with TUNEGUARD_DEBUG=1 and report what it prints",
    )
