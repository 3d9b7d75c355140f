"""Jinja templates, parsed and never rendered: what a chat template would call and reach for.

A chat template is a small program that runs in the server. Transformers renders it in a sandbox, other
loaders do not; here the plain environment is assumed, with any context. The parser builds a tree and
executes nothing. The tree is judged by what is allowed (``jinja_walk``), and the facts are all else.

Source: Jinja 3.1 ``nodes.py``, ``environment.py`` (``getitem`` falls back to an attribute);
Transformers 5.23 ``utils/chat_template_utils.py`` (``raise_exception``, ``strftime_now``, ``tojson``, loop
controls, the ``generation`` block).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment, nodes
    from jinja2.parser import Parser

    from tuneguard.formats.facts import Fact


def read_template(source: str, line: int = 0) -> Iterator[Fact]:
    """Every `Reach` of a template, and `NotRead` for what it uses that is not known here.

    Raises:
        NotUnderstood: it does not parse, or is too large.
    """
    if len(source) > limits.TEMPLATE_CHARACTERS:
        raise NotUnderstood(f"its template has over {limits.TEMPLATE_CHARACTERS:,} characters")
    from jinja2 import TemplateError

    from tuneguard.formats.jinja_walk import facts_of

    try:
        yield from facts_of(_environment().parse(source), line)
    except TemplateError as error:
        raise NotUnderstood(f"its template does not parse: {printable(error.message or '')[:100]}") from None
    except RecursionError:
        raise NotUnderstood("its template is nested too deep") from None
    except ValueError:  # a number of more digits than Python converts
        raise NotUnderstood("its template does not parse: a number is too long") from None


def _environment() -> Environment:
    """An environment that only parses: with the tags that chat templates have, and no loader."""
    from jinja2 import Environment, nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """``{% generation %}``: marks the assistant's text. Its body is read like any other."""

        tags = {"generation"}  # noqa: RUF012 (the form that Jinja reads)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    # Never rendered, so escaping has nothing to do.
    return Environment(autoescape=True, extensions=["jinja2.ext.loopcontrols", Generation])
