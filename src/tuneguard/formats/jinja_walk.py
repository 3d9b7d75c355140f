"""Walks over a template's tree and reports what in it is not allowed.

Allowed are text, loops, conditions, macros and namespaces; calls by a few names that nothing else may be
bound to; the methods of strings, lists and dictionaries; attributes by a plain name; and subscripts that
cannot become an attribute of a name that the template computes. The rest is `Reach` where it leads behind
the data, and `NotRead` where that is unknown here.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from typing import TYPE_CHECKING

from jinja2 import nodes

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.formats import jinja_words as words
from tuneguard.formats.facts import Fact, NotRead
from tuneguard.formats.jinja_names import Names, Value
from tuneguard.formats.jinja_scopes import every

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WALKED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Break, nodes.Continue,
    nodes.List, nodes.Tuple, nodes.Slice, nodes.Keyword,
    nodes.Compare, nodes.Operand, nodes.Not, nodes.Neg, nodes.Pos, nodes.Or,
    nodes.Add, nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.Concat,
)  # fmt: skip
"""Nodes that are judged by their content alone."""

_LOADS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_PLAIN_FORMAT = re.compile(r"(?:[^{}]|\{\})*")
_FORMATS = ("format", "format_map")
_BLANK = re.compile(r"[ \t\n]*")
_TIME = re.compile(r"(?:[^%]|%-?[A-Za-z%])*")


def facts_of(tree: nodes.Template, line: int) -> list[Fact]:
    """What is not allowed in a template whose first line is `line` lines below the file's.

    Raises:
        NotUnderstood: it is too large.
    """
    _bound(tree)
    walk = _Walk(Names(tree), line)
    walk.visit(tree)
    return walk.facts


def _bound(tree: nodes.Template) -> None:
    """Refuse a tree of too many nodes, or of statements too deep in each other, without recursion."""
    waiting: deque[tuple[nodes.Node, int]] = deque([(tree, 0)])
    seen = 0
    while waiting:
        node, depth = waiting.popleft()
        seen += 1
        depth += isinstance(node, nodes.Stmt)
        if seen > limits.TEMPLATE_NODES:
            raise NotUnderstood(f"its template has over {limits.TEMPLATE_NODES:,} parts")
        if depth > limits.TEMPLATE_DEPTH:
            raise NotUnderstood("its template is nested too deep")
        waiting.extend((child, depth) for child in node.iter_child_nodes())


class Reach(Fact, frozen=True, eq=False):
    """The template reaches behind its data: an inner attribute, another file, a way around names."""

    what: str
    line: int


class _Walk:
    """The walk, and what holds at the place where it is: conditions, loops over keys, turns of loops."""

    def __init__(self, names: Names, line: int) -> None:
        self.facts: list[Fact] = []
        self._names = names
        self._line = line
        self._holds: list[nodes.Node] = []
        self._keys: list[tuple[str, nodes.Node, bool]] = []
        self._turns = 1
        self._scopes = 0
        self._macros: dict[str, list[list[nodes.Node]]] = {}

    def visit(self, node: nodes.Node | None) -> None:
        if node is None:
            return
        name = getattr(node, "name", None) or getattr(node, "key", None)
        if isinstance(name, str) and not name.isascii():
            # Jinja writes its names into Python, which takes some letters for others.
            self._unknown(f"uses the name {_shown(name)}", node)
        look = getattr(self, f"_see_{type(node).__name__.lower()}", None)
        if look is not None:
            look(node)
        elif isinstance(node, _LOADS):
            self._reach("loads another template", node)
        elif isinstance(node, _WALKED):
            self._all(node.iter_child_nodes())
        else:
            self._unknown(f"uses {type(node).__name__}", node)

    def _all(self, several: Iterable[nodes.Node]) -> None:
        for node in several:
            self.visit(node)

    # --- statements --------------------------------------------------------------------------------------

    def _see_if(self, node: nodes.If) -> None:
        self.visit(node.test)
        with self._where(node.test, node.body):
            self._all(node.body)
        self._all(node.elif_)
        self._all(node.else_)

    def _see_for(self, node: nodes.For) -> None:
        self._all((node.target, node.iter))
        outer = self._turns
        self._turns *= max(1, self._names.turns(node.iter))
        if self._turns > limits.TEMPLATE_TURNS:
            self._unknown(f"loops over {limits.TEMPLATE_TURNS:,} times", node)
        key = self._key_of(node)
        self._keys += [key] if key else []
        self.visit(node.test)
        self._scopes += 1
        with self._where(node.iter, node.body), self._where(node.test, node.body):
            self._all(node.body)
        self._scopes -= 1
        self._keys = self._keys[:-1] if key else self._keys
        self._turns = outer
        self._all(node.else_)

    def _see_assign(self, node: nodes.Assign) -> None:
        self._all((node.node, node.target))
        if isinstance(node.target, nodes.Name | nodes.NSRef):
            itself: nodes.Expr = nodes.Name(node.target.name, "load")
            if isinstance(node.target, nodes.NSRef):
                itself = nodes.Getattr(itself, node.target.attr, "load")
                self._stored(node.target.attr, node.node, node)
            if sum(part == itself for part in _joined(node.node)) > 1:
                self._unknown("doubles a value", node)

    def _see_macro(self, node: nodes.Macro) -> None:
        if node.name in words.RESERVED or node.name in words.FOREIGN or self._names.values(node.name):
            self._unknown(f"gives {_shown(node.name)} another meaning", node)
        self._all((*node.args, *node.defaults))
        if not self._scopes and not any(self._names.values(name) for name in _names_in(self._holds)):
            self._macros.setdefault(node.name, []).append(list(self._holds))
        self._apart(node.body)

    def _see_callblock(self, node: nodes.CallBlock) -> None:
        self._all((*node.args, *node.defaults, node.call))
        self._apart(node.body)

    def _apart(self, body: list[nodes.Node]) -> None:
        """A body that runs elsewhere: nothing of what holds here need hold there."""
        keys, self._keys = self._keys, []
        holds, self._holds = self._holds, []
        self._scopes += 1
        self._all(body)
        self._scopes -= 1
        self._keys, self._holds = keys, holds

    def _scope(self, node: nodes.Node) -> None:
        """A part with names of its own."""
        self._scopes += 1
        self._all(node.iter_child_nodes())
        self._scopes -= 1

    _see_assignblock = _see_filterblock = _see_scope = _see_with = _scope

    # --- names and constants -----------------------------------------------------------------------------

    def _see_name(self, node: nodes.Name) -> None:
        taken = node.name in words.RESERVED or node.name in self._names.macros
        if node.name in words.FOREIGN or node.name.startswith("__"):
            self._reach(f"uses {_shown(node.name)}", node)
        elif node.ctx != "load" and taken:
            self._unknown(f"gives {_shown(node.name)} another meaning", node)
        elif taken and node.name not in ("kwargs", "varargs"):
            self._unknown(f"uses {_shown(node.name)} as a value", node)

    def _see_nsref(self, node: nodes.NSRef) -> None:
        self._attribute(node.attr, node)

    def _see_const(self, node: nodes.Const) -> None:
        value = node.value
        if isinstance(value, str) and "__" in value:
            self._reach(f"holds the name {_shown(value)}", node)
        elif isinstance(value, int) and abs(value) > limits.TEMPLATE_NUMBER:
            self._unknown(f"holds a number over {limits.TEMPLATE_NUMBER:,}", node)

    def _see_keyword(self, node: nodes.Keyword) -> None:
        if node.key.startswith("_") or "__" in node.key:
            self._reach(f"holds the name {_shown(node.key)}", node)
        self.visit(node.value)

    def _see_dict(self, node: nodes.Dict) -> None:
        for pair in node.items:
            key = pair.key.value if isinstance(pair.key, nodes.Const) else None
            self._all((pair.key, pair.value))
            if not (isinstance(key, str) and key in words.DICT_METHODS):
                self._stored(key, pair.value, node)

    def _stored(self, key: object, value: Value, node: nodes.Node) -> None:
        """A value is stored under a name by which methods are called: calling it must do nothing else."""
        called = (
            self._names.methods - words.DICT_METHODS if isinstance(node, nodes.Dict) else self._names.methods
        )
        may_be_called = key in called if isinstance(key, str) else bool(called) and key is None
        if may_be_called and not self._names.is_inert(value):
            self._unknown(f"stores something to call as {_shown(str(key or 'a computed name'))}", node)

    # --- operators ---------------------------------------------------------------------------------------

    def _see_and(self, node: nodes.And) -> None:
        before = len(self._holds)
        for part in _conjuncts(node):
            self.visit(part)
            self._hold(part)
        del self._holds[before:]

    def _see_condexpr(self, node: nodes.CondExpr) -> None:
        self.visit(node.test)
        with self._where(node.test, ()):
            self.visit(node.expr1)
        self.visit(node.expr2)

    def _see_mul(self, node: nodes.Mul) -> None:
        self._all((node.left, node.right))
        numbers = [side for side in (node.left, node.right) if self._names.is_integer(side)]
        blank = any(
            isinstance(side, nodes.Const) and isinstance(side.value, str) and _BLANK.fullmatch(side.value)
            for side in (node.left, node.right)
        )
        if len(numbers) + blank != 2:
            self._unknown("repeats a value", node)
        elif self._names.largest(node) > limits.TEMPLATE_NUMBER:
            self._unknown(f"computes a number over {limits.TEMPLATE_NUMBER:,}", node)

    def _see_mod(self, node: nodes.Mod) -> None:
        self._all((node.left, node.right))
        if not self._names.is_integer(node.left):
            self._unknown("puts text together by a pattern", node)

    # --- attributes and subscripts -----------------------------------------------------------------------

    def _see_getattr(self, node: nodes.Getattr) -> None:
        self._attribute(node.attr, node)
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            if node.attr not in words.LOOP:
                self._unknown(f"uses loop.{_shown(node.attr)}", node)
        else:
            self.visit(node.node)

    def _see_getitem(self, node: nodes.Getitem) -> None:
        self.visit(node.node)
        self.visit(node.arg)
        if isinstance(node.arg, nodes.Const):
            if isinstance(node.arg.value, str):
                self._attribute(node.arg.value, node)
        elif not isinstance(node.arg, nodes.Slice) and not self._may_choose(node.node, node.arg):
            self._unknown("looks up a name that it computes", node)

    def _attribute(self, name: str, node: nodes.Node) -> None:
        if name.startswith("_") or "__" in name or name in words.FRAMES:
            self._reach(f"reaches for {_shown(name)}", node)

    def _may_choose(self, base: nodes.Expr, key: nodes.Expr) -> bool:
        """Whether a subscript can only be a number, a key that is there, or no name of the template's."""
        names = self._names
        if names.is_integer(key) or names.is_chosen(key) or names.is_message(key):
            return True
        if names.removes or not self._is_steady(base):
            return False
        among = nodes.Compare(key, [nodes.Operand("in", base)]) in self._holds
        table, given = names.is_table(base), names.is_given(key)
        if (table and (given or among)) or (given and among and names.is_given(base)):
            return True
        mapping = nodes.Test(base, "mapping", [], [], None, None)
        for name, of, mapped in reversed(self._keys):
            if isinstance(key, nodes.Name) and name == key.name:
                return of == base and (mapped or names.is_given(base) or mapping in self._holds)
        return False

    def _is_steady(self, base: nodes.Expr) -> bool:
        """Whether nothing can put another value in the place of one that was looked at."""
        if isinstance(base, nodes.Name):
            return True
        attributes = [part.attr for part in every([base]) if isinstance(part, nodes.Getattr)]
        return not self._names.changes and not any(self._names.values(f".{name}") for name in attributes)

    def _key_of(self, node: nodes.For) -> tuple[str, nodes.Node, bool] | None:
        """The loop's variable that is a key, of what, and whether that is a mapping for certain.

        Only where the loop's body assigns neither of both.
        """
        of, pairs, mapped = _iterated(node.iter)
        target = node.target
        if pairs:
            target = target.items[0] if isinstance(target, nodes.Tuple) and len(target.items) == 2 else target
        if of is None or node.recursive or not isinstance(target, nodes.Name):
            return None
        if pairs == (target is node.target):
            return None
        if (_names_in([of]) | {target.name}) & _assigned(node.body):
            return None
        return target.name, of, mapped

    @contextlib.contextmanager
    def _where(self, test: nodes.Node | None, body: Iterable[nodes.Node]) -> Iterator[None]:
        """What a condition proves for its body, if the body assigns none of its names."""
        before = len(self._holds)
        assigned = _assigned(body)
        for part in _conjuncts(test) if test is not None else ():
            if not (assigned and _names_in([part]) & assigned):
                self._hold(part)
        yield
        del self._holds[before:]

    def _hold(self, condition: nodes.Node) -> None:
        """Remember what holds here; beyond some conditions nothing is remembered, which allows less."""
        if len(self._holds) < limits.TEMPLATE_CONDITIONS:
            self._holds.append(condition)

    # --- filters, tests, calls ---------------------------------------------------------------------------

    def _see_filter(self, node: nodes.Filter) -> None:
        self.visit(node.node)
        self._all((*node.args, *node.kwargs))
        arguments = list(node.args)
        if node.name in words.ESCAPES:
            self._reach(f"uses {node.name}, which goes by a computed name or pattern", node)
        elif node.name not in words.FILTERS or node.dyn_args or node.dyn_kwargs:
            self._unknown(f"uses the filter {_shown(node.name)}", node)
        elif node.name in words.NAMING_FILTERS:
            self._named(node, arguments)
        elif node.name in words.ATTRIBUTE_FILTERS:
            self._attribute_arguments(node, arguments[1:] if node.name == "join" else arguments)

    def _named(self, node: nodes.Filter, arguments: list[nodes.Expr]) -> None:
        """A filter whose arguments name the filter or test to use, or which attribute to take."""
        if node.name in ("selectattr", "rejectattr"):
            self._attribute_arguments(node, arguments[:1])
            arguments = arguments[1:]
        if node.name == "map" and not arguments:
            self._attribute_arguments(node, [])
        elif arguments:
            known = words.PLAIN_FILTERS if node.name == "map" else words.TESTS
            name = arguments[0].value if isinstance(arguments[0], nodes.Const) else None
            if isinstance(name, str) and name in words.ESCAPES:
                self._reach(f"uses {name}, which goes by a computed name or pattern", node)
            elif not isinstance(name, str) or name not in known:
                self._unknown(f"uses {_shown(str(name or 'a computed filter'))}", node)

    def _attribute_arguments(self, node: nodes.Filter, arguments: list[nodes.Expr]) -> None:
        """Arguments that are, or may be, the names of attributes: dotted, and several with commas."""
        named = [keyword.value for keyword in node.kwargs if keyword.key == "attribute"]
        for argument in [*arguments, *named]:
            if not isinstance(argument, nodes.Const):
                self._unknown(f"gives {node.name} a computed name", node)
            elif isinstance(argument.value, str):
                for name in re.split(r"[.,]", argument.value):
                    self._attribute(name, node)

    def _see_test(self, node: nodes.Test) -> None:
        bare = isinstance(node.node, nodes.Name) and node.node.name in words.CALLS
        if not (bare and node.name in ("callable", "defined", "undefined")):
            self.visit(node.node)
        self._all((*node.args, *node.kwargs))
        if node.name not in words.TESTS or node.dyn_args or node.dyn_kwargs:
            self._unknown(f"uses the test {_shown(node.name)}", node)

    def _see_call(self, node: nodes.Call) -> None:
        self._all((*node.args, *node.kwargs))
        self._all(argument for argument in (node.dyn_args, node.dyn_kwargs) if argument is not None)
        called = node.node
        if isinstance(called, nodes.Name):
            self._call_name(node, called.name)
        elif isinstance(called, nodes.Getattr):
            self._call_method(node, called)
        else:
            self.visit(called)
            self._unknown("calls a computed value", node)

    def _call_name(self, node: nodes.Call, name: str) -> None:
        outside = name in self._names.outside
        if name in self._names.macros and name not in words.RESERVED:
            # A macro that is not defined at this place is a name of the context.
            defined = any(all(hold in self._holds for hold in holds) for holds in self._macros.get(name, ()))
            if outside and not defined:
                self._unknown(f"calls {_shown(name)} where it may not be defined", node)
        elif name in ("caller", "loop"):
            if outside:
                self._unknown(f"calls {name} where there is none", node)
        elif name not in words.CALLS or node.dyn_args is not None or node.dyn_kwargs is not None:
            self._unknown(f"calls {_shown(name)}", node)
        else:
            self._call_builtin(node, name)

    def _call_builtin(self, node: nodes.Call, name: str) -> None:
        if name in ("dict", "namespace"):
            if node.args:
                self._unknown(f"fills {name} from a value", node)
            for keyword in node.kwargs:
                self._stored(keyword.key, keyword.value, node)
        elif name == "range":
            if node.kwargs or not all(map(self._names.is_integer, node.args)):
                self._unknown("counts to a value that may be no number", node)
            elif self._names.turns(node) > limits.TEMPLATE_TURNS:
                self._unknown(f"counts over {limits.TEMPLATE_TURNS:,}", node)
        elif name == "strftime_now" and (node.kwargs or not all(map(_is_time, node.args))):
            self._unknown("formats the time by a computed pattern", node)

    def _call_method(self, node: nodes.Call, called: nodes.Getattr) -> None:
        if called.attr in _FORMATS:
            text = called.node.value if isinstance(called.node, nodes.Const) else None
            if called.attr == "format_map" or not (isinstance(text, str) and _PLAIN_FORMAT.fullmatch(text)):
                self._reach("calls format, which reaches attributes by a computed name", node)
        elif called.attr not in words.METHODS and not _is_loop(called):
            self._unknown(f"calls {_shown(called.attr)}", node)
        elif self._names.is_namespace(called.node):
            self._unknown(f"calls {_shown(called.attr)} of a namespace", node)
        elif node.dyn_args is not None or node.dyn_kwargs is not None:
            self._unknown(f"calls {_shown(called.attr)} with arguments that are not written out", node)
        elif called.attr == "update":
            if not all(isinstance(argument, nodes.Dict) for argument in node.args):
                self._unknown("fills a dictionary from a value", node)
            for keyword in node.kwargs:
                self._stored(keyword.key, keyword.value, node)
        self.visit(called)

    def _reach(self, what: str, node: nodes.Node) -> None:
        self.facts.append(Reach(what, self._line + node.lineno))

    def _unknown(self, what: str, node: nodes.Node) -> None:
        line = self._line + node.lineno
        self.facts.append(NotRead(f"its template {what}, which is not known here (line {line})"))


def _iterated(value: nodes.Node) -> tuple[nodes.Node | None, bool, bool]:
    """What a loop takes keys from: that, whether it gives pairs, and whether it must be a mapping."""
    match value:
        case nodes.Call(node=nodes.Getattr(node=of, attr="items" | "keys" as name)) if not value.args:
            return of, name == "items", True
        case nodes.Filter(node=of, name="items" | "dictsort"):
            return of, True, True
        case nodes.Filter(node=of, name="list" | "sort" | "reverse") if of is not None and not value.kwargs:
            return _iterated(of)
        case nodes.Name() | nodes.Getattr() | nodes.Getitem():
            return value, False, False
    return None, False, False


def _joined(value: nodes.Node) -> Iterator[nodes.Node]:
    """What is put together with ``+`` or ``~``."""
    match value:
        case nodes.Add():
            yield from _joined(value.left)
            yield from _joined(value.right)
        case nodes.Concat():
            for node in value.nodes:
                yield from _joined(node)
        case _:
            yield value


def _conjuncts(test: nodes.Node) -> list[nodes.Node]:
    """What all must be true for a condition to be, from left to right, without recursion."""
    parts: list[nodes.Node] = []
    waiting = [test]
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.And):
            waiting += [node.right, node.left]
        else:
            parts.append(node)
    return parts


def _names_in(several: Iterable[nodes.Node]) -> set[str]:
    """Every name that stands in some nodes."""
    return {name.name for name in _named_in(several)}


def _assigned(body: Iterable[nodes.Node]) -> set[str]:
    """Names that something in a body assigns."""
    return {name.name for name in _named_in(body) if isinstance(name, nodes.NSRef) or name.ctx != "load"}


def _named_in(several: Iterable[nodes.Node]) -> Iterator[nodes.Name | nodes.NSRef]:
    for node in every(several):
        if isinstance(node, nodes.Name | nodes.NSRef):
            yield node


def _is_loop(called: nodes.Getattr) -> bool:
    named = isinstance(called.node, nodes.Name) and called.node.name == "loop"
    return named and called.attr in ("changed", "cycle")


def _is_time(value: nodes.Node) -> bool:
    """Whether a value is a pattern of the time without widths."""
    return (
        isinstance(value, nodes.Const) and isinstance(value.value, str) and bool(_TIME.fullmatch(value.value))
    )


def _shown(name: str) -> str:
    return printable(name)[:80]
