"""A chat template reaches behind its data: inner attributes, other files, computed names.

A chat template is a program in the Jinja language that runs for each request. Transformers renders it
in a sandbox; other loaders do not, and `''.__class__.__mro__…` leads from any string to the whole of
Python. Templates are parsed here and never rendered.

They are judged by what is allowed. A template may call its own macros and `range`, `namespace`,
`strftime_now` and a few more, and may not give these names another meaning. It may take attributes by a
plain name, and items by a constant, a slice, a whole number, a message or tool of a loop, or a key of the
dictionary that a loop goes through. What leads behind the data is this finding; whatever else is not allowed
is *not understood*, which does not pass either.

What to do: take the template from the model's publisher, or write it without inner and computed names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.findings import Location, Severity
from tuneguard.formats.jinja_walk import Reach
from tuneguard.scanner.rule import Context, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _check(fact: Reach, context: Context) -> Iterator[tuple[str, Location]]:
    yield f"its template {fact.what}", context.at(line=fact.line)


RULE = Rule(
    id="TG-TEMPLATE",
    severity=Severity.HIGH,
    title="a template that reaches behind its data",
    looks_at=(Reach,),
    check=_check,
    why="outside of a sandbox it runs any code, for every request that is served",
    fix="take the template from the model's publisher, or write it without inner names",
    reference="CWE-1336",
)
