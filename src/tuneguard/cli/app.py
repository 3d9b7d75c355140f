"""The program: finds its commands by file name, runs one, and leaves printing to `console`.

A command is one file in ``cli/commands`` that binds ``COMMAND``. It is imported when it is called
(or listed), and imports the journey when it runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

import pkgutil
import signal
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import click

from tuneguard import __version__
from tuneguard.cli import commands, console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


class Commands(click.Group):
    """The group of all commands, each loaded when touched."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order of the alphabet."""
        del ctx
        return sorted(_modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        del ctx
        if cmd_name not in _modules():
            return None
        command = import_module(f"{commands.__name__}.{_modules()[cmd_name]}").COMMAND
        assert isinstance(command, click.Command)
        return command


@cache
def _modules() -> dict[str, str]:
    """The module of each command, by the command's name: the folder is read once, not for each command."""
    names = (module.name for module in pkgutil.iter_modules(commands.__path__))
    return {name.replace("_", "-"): name for name in names}


@click.group(cls=Commands, epilog=console.EXIT_CODES)
@click.version_option(__version__, prog_name="tuneguard")
@click.pass_context
def app(context: click.Context) -> None:
    """Secure a fine-tuning pipeline: sealed data, sandboxed runs, signed checkpoints, judged promotion.

    \b
    init → seal → run → promote → pull
    """
    context.ensure_object(console.Console)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Never raises."""
    printer = console.Console()
    try:
        outcome = app.main(
            args=None if arguments is None else list(arguments),
            prog_name="tuneguard",
            standalone_mode=False,
            obj=printer,
        )
    except BaseException as error:  # noqa: BLE001 (whatever comes becomes one sentence)
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else 2
        return printer.error(error)
    return outcome if isinstance(outcome, int) else 0


def main() -> None:
    """The console script. Who ends it by SIGTERM or by closing the terminal has interrupted it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, _interrupt)
    sys.exit(run())


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
