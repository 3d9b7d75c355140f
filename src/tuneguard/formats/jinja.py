"""Jinja templates, parsed and never rendered: what a chat template would call and reach for.

A chat template is a small program that runs in the server. Transformers renders it in a sandbox, other
loaders do not. The parser builds a tree and executes nothing; the facts are what in that tree goes
beyond text, loops, conditions and the methods of strings, lists and dictionaries.

Source: Jinja 3.1 ``nodes.py``; Transformers 5.23 ``utils/chat_template_utils.py`` (``raise_exception``,
``strftime_now``, ``tojson``, loop controls, the ``generation`` block).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.formats.facts import Fact, NotRead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment, nodes
    from jinja2.parser import Parser


def _words(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


class Reach(Fact, frozen=True, eq=False):
    """The template reaches behind its data: an inner attribute, another file, a way around names."""

    what: str
    line: int


_CALLS = _words("caller cycler dict joiner namespace raise_exception range strftime_now")
_METHODS = _words(
    "append capitalize copy count endswith extend find get index insert isalnum isalpha isdecimal isdigit",
    "islower isnumeric isspace istitle isupper items join keys ljust lower lstrip partition pop removeprefix",
    "removesuffix replace reverse rfind rindex rjust rpartition rsplit rstrip split splitlines startswith",
    "strip swapcase title update upper values zfill",
)
_FILTERS = _words(
    "abs batch capitalize center count d default dictsort e escape first float forceescape from_json",
    "fromjson groupby indent int items join last length list lower map max min reject rejectattr replace",
    "reverse round safe select selectattr slice sort string striptags sum title tojson trim truncate unique",
    "upper urlencode wordcount wordwrap",
)
_TESTS = _words(
    "boolean callable defined divisibleby eq equalto escaped even false float ge greaterthan gt in integer",
    "iterable le lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper",
    "!= == < <= > >=",
)
_ESCAPES = frozenset({"attr", "format", "xmlattr", "pprint"})
_NAMES = frozenset({"config", "lipsum", "request", "self"})


def read_template(source: str, line: int = 0) -> Iterator[Fact]:
    """Every `Reach` of a template, and `NotRead` for what it uses that is not known here.

    Raises:
        NotUnderstood: it does not parse.
    """
    if len(source) > limits.TEMPLATE_CHARACTERS:
        raise NotUnderstood(f"its template has over {limits.TEMPLATE_CHARACTERS:,} characters")
    from jinja2 import TemplateError

    try:
        tree = _environment().parse(source)
        yield from _Walk(line).read(tree)
    except TemplateError as error:
        raise NotUnderstood(f"its template does not parse: {printable(error.message or '')[:100]}") from None
    except RecursionError:
        raise NotUnderstood("its template is nested too deep") from None


def _environment() -> Environment:
    """An environment that only parses: with the tags that chat templates have, and no loader."""
    from jinja2 import Environment, nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """``{% generation %}``: marks what the assistant says. Its body is read like any other."""

        tags = {"generation"}  # noqa: RUF012 (the form that Jinja reads)

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    # Never rendered, so escaping has nothing to do.
    return Environment(autoescape=True, extensions=["jinja2.ext.loopcontrols", Generation])


class _Walk:
    """Looks at each node of one template."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._macros: set[str] = set()

    def read(self, tree: nodes.Template) -> Iterator[Fact]:
        from jinja2 import nodes

        self._macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        for node in tree.find_all(nodes.Node):
            yield from self._node(node)

    def _node(self, node: nodes.Node) -> Iterator[Fact]:
        from jinja2 import nodes

        if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
            yield self._reach("loads another template", node)
        elif isinstance(node, nodes.Getattr) and (node.attr.startswith("_") or "__" in node.attr):
            yield self._reach(f"reaches for {_shown(node.attr)}", node)
        elif isinstance(node, nodes.Const) and isinstance(node.value, str) and "__" in node.value:
            yield self._reach(f"holds the name {_shown(node.value)}", node)
        elif isinstance(node, nodes.Keyword) and "__" in node.key:
            yield self._reach(f"holds the name {_shown(node.key)}", node)
        elif isinstance(node, nodes.Name) and (node.name in _NAMES or node.name.startswith("__")):
            yield self._reach(f"uses {_shown(node.name)}", node)
        elif isinstance(node, nodes.BinExpr | nodes.Concat):
            yield from self._computed_text(node)
        elif isinstance(node, nodes.Filter | nodes.Test):
            yield from self._filter(node)
        elif isinstance(node, nodes.Call):
            yield from self._call(node)

    def _computed_text(self, node: nodes.BinExpr | nodes.Concat) -> Iterator[Fact]:
        """Pieces of an inner name put together: ``'_' * 2``, ``'_' ~ '_class_' ~ '_'``, ``'%c' % 95``."""
        from jinja2 import nodes

        for piece in node.iter_child_nodes():
            if isinstance(piece, nodes.Const) and isinstance(piece.value, str):
                formats = isinstance(node, nodes.Mod) and "%" in piece.value
                if formats or piece.value.startswith("_") or piece.value.endswith("_"):
                    yield self._unknown("computes text with underscores", node)

    def _filter(self, node: nodes.Filter | nodes.Test) -> Iterator[Fact]:
        from jinja2 import nodes

        if node.name in _ESCAPES:
            yield self._reach(f"uses {node.name}, which reaches attributes by a computed name", node)
        elif node.name not in (_FILTERS if isinstance(node, nodes.Filter) else _TESTS):
            yield self._unknown(f"uses {_shown(node.name)}", node)

    def _call(self, node: nodes.Call) -> Iterator[Fact]:
        from jinja2 import nodes

        called = node.node
        if isinstance(called, nodes.Name) and (called.name in _CALLS or called.name in self._macros):
            return
        if isinstance(called, nodes.Getattr) and called.attr in _METHODS:
            return
        if isinstance(called, nodes.Getattr) and called.attr in ("format", "format_map"):
            yield self._reach("calls format, which reaches attributes by a computed name", node)
            return
        name = getattr(called, "attr", getattr(called, "name", "a computed value"))
        yield self._unknown(f"calls {_shown(str(name))}", node)

    def _reach(self, what: str, node: nodes.Node) -> Reach:
        return Reach(what, self._line + node.lineno)

    def _unknown(self, what: str, node: nodes.Node) -> NotRead:
        return NotRead(f"its template {what}, which is not known here (line {self._line + node.lineno})")


def _shown(name: str) -> str:
    return printable(name)[:80]
