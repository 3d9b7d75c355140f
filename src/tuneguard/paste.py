"""Commands that a person is invited to paste: built from their arguments, so that each stays one argument.

What is pasted is run. A name from a pipeline file, a folder or a registry may hold ``$(…)`` or ``;``, so
every word is quoted for a POSIX shell. What no terminal may be shown (line ends, escape sequences, what
reorders text) has no form that is safe to print and means the same in every shell once pasted, so
a command with such a name is not offered.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tuneguard.files import from_here

if TYPE_CHECKING:
    from pathlib import Path


def command(*argv: str | Path) -> str | None:
    """``tuneguard`` with these arguments as a line to paste; None where one of them cannot be shown.

    A `Path` is written as it is seen from the current folder, and never looks like an option.

    >>> from pathlib import Path
    >>> command("promote", Path("it's; rm -r x"), "--to", "oci:$(id)")
    'tuneguard promote \\'it\\'"\\'"\\'s; rm -r x\\' --to \\'oci:$(id)\\''
    >>> command("scan", Path("-r")), command("scan", Path("a\\x1b[2J"))
    ('tuneguard scan ./-r', None)
    """
    words = ["tuneguard", *map(_text, argv)]
    return shlex.join(words) if all(word.isprintable() for word in words) else None


def after(said: str, *argv: str | Path) -> str:
    """``said: tuneguard …`` for a sentence of help; `said` alone where the command cannot be shown.

    >>> from pathlib import Path
    >>> after("scan it first", "scan", Path("a b")), after("scan it first", "scan", Path("a\\nb"))
    ("scan it first: tuneguard scan 'a b'", 'scan it first')
    """
    offered = command(*argv)
    return said if offered is None else f"{said}: {offered}"


def _text(argument: str | Path) -> str:
    if isinstance(argument, str):
        return argument
    text = from_here(argument)
    return f"./{text}" if text.startswith("-") else text
