"""What the names of one template can hold: a number, something of the request, a table, something to call.

Jinja has scopes; here a name is judged by everything that is ever assigned to it anywhere in the template,
and by whether some place may read it from the context.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import nodes

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import jinja_words as words
from tuneguard.formats.jinja_scopes import every, from_outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True)
class Each:
    """One of the values that a loop goes through."""

    iter: nodes.Node


Value = nodes.Node | Each | None
"""What is assigned to a name; None: nobody knows."""


class Names:
    """Every assignment of one template, and what follows from all of them together.

    An attribute ``x`` of the namespace ``ns`` is the name ``ns.x``, and ``.x`` of any namespace.

    Raises:
        NotUnderstood: it defines one macro again and again.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self.outside = from_outside(tree)
        """Names that some place of the template may read from its context."""
        self.macros: dict[str, list[nodes.Macro]] = defaultdict(list)
        self.methods: set[str] = set()
        """Names of all methods that are called."""
        self.removes = self.changes = self._spoiled = False
        """Whether dictionaries may lose entries, and whether anything is put into dictionaries or lists."""
        self._values: dict[str, list[Value]] = defaultdict(list)
        self._loads: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        self._lengths: dict[str, int] = {}
        self._put: list[nodes.Expr] = []
        for node in every([tree]):
            if isinstance(node, nodes.Macro):
                self.macros[node.name].append(node)
        if any(len(macros) > limits.TEMPLATE_SAME for macros in self.macros.values()):
            raise NotUnderstood(f"its template defines a macro over {limits.TEMPLATE_SAME} times")
        for node in every([tree]):
            self._gather(node)
        self._integers, self._given, self._inert, self._spaces, self._chosen = (
            set(self._values) for _ in range(5)
        )
        self._settle(self._spaces, self.is_namespace)
        self._settle(self._chosen, self.is_chosen)
        self._settle(self._integers, self.is_integer)
        self._settle(self._given, self.is_given)
        self._settle(self._inert, self.is_inert)
        self._spoiled = not all(map(self.is_given, self._put))

    def values(self, name: str) -> list[Value]:
        """Everything that is assigned to a name."""
        return self._values.get(name, [])

    # --- what an expression can be ---------------------------------------------------------------------

    def is_integer(self, value: Value) -> bool:  # noqa: C901 (a case for each kind of expression)
        """Whether a value can be nothing but an integer, which as a subscript reaches no attribute."""
        match value:
            case Each():
                return _calls(value.iter, "range")
            case nodes.Const():
                return type(value.value) is int
            case nodes.Neg() | nodes.Pos():
                return self.is_integer(value.node)
            case nodes.Add() | nodes.Sub() | nodes.Mul() | nodes.FloorDiv() | nodes.Mod():
                return self.is_integer(value.left) and self.is_integer(value.right)
            case nodes.CondExpr():
                return self.is_integer(value.expr1) and self.is_integer(value.expr2)
            case nodes.Filter(name="length" | "count" | "wordcount"):
                return True
            case nodes.Filter(name="int"):
                given = [*value.args, *(keyword.value for keyword in value.kwargs)]
                return all(map(self.is_integer, given)) and not value.dyn_args and not value.dyn_kwargs
            case nodes.Name():
                return value.name in self._integers and value.name not in self.outside
            case nodes.Getattr(node=nodes.Name(name="loop")):
                return value.attr in words.LOOP_NUMBERS and "loop" not in self.outside
            case nodes.Getattr(node=nodes.Name() as space):
                return self.is_namespace(space) and self._attribute(space.name, value.attr) in self._integers
        return False

    def is_chosen(self, value: Value) -> bool:
        """Whether a value can only be one of the template's constants that are plain names."""
        match value:
            case Each(iter=nodes.List() | nodes.Tuple() as several):
                return all(map(self.is_chosen, several.items))
            case nodes.Tuple():
                return all(map(self.is_chosen, value.items))
            case nodes.Const(value=str() as text):
                return not text.startswith("_") and "__" not in text and text not in words.FRAMES
            case nodes.CondExpr():
                return self.is_chosen(value.expr1) and self.is_chosen(value.expr2)
            case nodes.Name():
                return value.name in self._chosen and value.name not in self.outside
        return False

    def is_given(self, value: Value) -> bool:  # noqa: C901, PLR0912 (a case for each kind of expression)
        """Whether every text in a value comes from the context, or is a constant without any underscore.

        The template alone cannot make such a text the name of an inner attribute.
        """
        match value:
            case Each():
                return self.is_given(value.iter)
            case nodes.Const():
                return not (isinstance(value.value, str) and "_" in value.value)
            case nodes.Name():
                if value.name in words.RESERVED or self._spoiled:
                    return False
                return value.name in self._given if value.name in self._values else value.name in self.outside
            case nodes.Getattr(node=nodes.Name() as space) if self.is_namespace(space):
                return self._attribute(space.name, value.attr) in self._given
            case nodes.Getattr():
                return self.is_given(value.node)
            case nodes.Getitem():
                return self.is_given(value.node)
            case nodes.And() | nodes.Or() | nodes.Add(right=nodes.List()):
                return self.is_given(value.left) and self.is_given(value.right)
            case nodes.CondExpr():
                return self.is_given(value.expr1) and (value.expr2 is None or self.is_given(value.expr2))
            case nodes.List() | nodes.Tuple():
                return all(map(self.is_given, value.items))
            case nodes.Dict():
                return all(self.is_given(pair.key) and self.is_given(pair.value) for pair in value.items)
            case nodes.Not() | nodes.Compare() | nodes.Test():
                return True
            case nodes.Filter():
                return value.name in words.KEEPING_FILTERS and all(map(self.is_given, _parts(value)))
            case nodes.Call(node=nodes.Name(name="strftime_now")):
                return all(map(self.is_given, value.args))
            case nodes.Call(
                node=nodes.Getattr(node=base, attr="get" | "items" | "keys" | "values" | "split")
            ):
                return all(map(self.is_given, [base, *value.args]))
        return False

    def is_inert(self, value: Value) -> bool:
        """Whether a value cannot be something to call: no method, no function of the context."""
        match value:
            case nodes.Name():
                return value.name in self._inert and value.name not in self.outside
            case nodes.And() | nodes.Or():
                return self.is_inert(value.left) and self.is_inert(value.right)
            case nodes.CondExpr():
                return self.is_inert(value.expr1) and (value.expr2 is None or self.is_inert(value.expr2))
            case nodes.Filter():
                return value.name not in words.PASSING_FILTERS or all(map(self.is_inert, _parts(value)))
            case nodes.Call():
                return not (isinstance(value.node, nodes.Getattr) and value.node.attr in ("get", "pop"))
        return isinstance(
            value,
            nodes.Literal | nodes.BinExpr | nodes.UnaryExpr | nodes.Compare | nodes.Concat | nodes.Test,
        )

    def is_namespace(self, value: Value) -> bool:
        """Whether a value can be nothing but a namespace."""
        if isinstance(value, nodes.Name):
            return value.name in self._spaces and value.name not in self.outside
        return isinstance(value, nodes.Call) and _calls(value, "namespace")

    def is_table(self, value: Value) -> bool:
        """Whether a value is a name that only ever holds a dictionary written in the template."""
        return self._only(value, lambda held: isinstance(held, nodes.Dict))

    def is_message(self, value: Value) -> bool:
        """Whether a value is a name that only ever is one of the messages or tools."""
        if self._spoiled:
            return False
        return self._only(value, lambda held: isinstance(held, Each) and self._is_request(held.iter))

    def largest(self, value: Value) -> int:
        """How large an integer can become by the template's own constants; what the request gives counts 1.

        What a name gains from turn to turn of a loop is not counted.
        """
        match value:
            case Each():
                return self.turns(value.iter)
            case nodes.Const(value=int() as number):
                return abs(number)
            case nodes.Neg() | nodes.Pos():
                return self.largest(value.node)
            case nodes.Add() | nodes.Sub():
                return self.largest(value.left) + self.largest(value.right)
            case nodes.Mul():
                return self.largest(value.left) * self.largest(value.right)
            case nodes.CondExpr():
                return max(self.largest(value.expr1), self.largest(value.expr2))
            case nodes.Filter(name="int"):
                return limits.TEMPLATE_NUMBER + 1  # any text
            case nodes.Name():
                return self._most(value.name, self.largest, self._sizes)
            case nodes.Getattr(node=nodes.Name() as space):
                return self._most(self._attribute(space.name, value.attr), self.largest, self._sizes)
        return 1

    def turns(self, iterated: Value) -> int:
        """How many turns a loop takes by the template's own constants; what the request gives counts 1."""
        match iterated:
            case nodes.Call() if _calls(iterated, "range"):
                return max(map(self.largest, iterated.args), default=1)
            case nodes.List() | nodes.Tuple():
                return len(iterated.items)
            case nodes.Const(value=str() as text):
                return len(text)
            case nodes.Filter():
                return self.turns(iterated.node)
            case nodes.Name():
                return self._most(iterated.name, self.turns, self._lengths)
        return 1

    # --- how that is found out ---------------------------------------------------------------------------

    def _attribute(self, space: str, name: str) -> str:
        """The name of a namespace's attribute: its own where nothing else can hold that namespace."""
        return f"{space}.{name}" if self._loads[space] == 0 else f".{name}"

    def _most(self, name: str, measure: Callable[[Value], int], known: dict[str, int]) -> int:
        """The most that is ever assigned to a name."""
        if name not in known:
            known[name] = 1
            known[name] = max(map(measure, self.values(name)), default=1)
        return known[name]

    def _only(self, value: Value, test: Callable[[Value], bool]) -> bool:
        if not isinstance(value, nodes.Name) or value.name in self.outside:
            return False
        held = self.values(value.name)
        return bool(held) and all(map(test, held))

    def _is_request(self, iterated: nodes.Node) -> bool:
        """Whether a loop goes through the messages or tools themselves, or a part of them."""
        if isinstance(iterated, nodes.Getitem) and isinstance(iterated.arg, nodes.Slice):
            return self._is_request(iterated.node)
        name = iterated.name if isinstance(iterated, nodes.Name) else ""
        return name in ("messages", "tools") and name not in self._values

    def _settle(self, settled: set[str], holds: Callable[[Value], bool]) -> None:
        """Leave only the names of which everything assigned to them `holds`, which asks `settled` itself."""
        users: dict[str, set[str]] = defaultdict(set)
        for name, values in self._values.items():
            for used in _names_in(values):
                users[used].add(name)
        waiting = deque(self._values)
        while waiting:
            name = waiting.popleft()
            if name in settled and not all(map(holds, self._values[name])):
                settled.discard(name)
                waiting.extend(users[name])

    def _gather(self, node: nodes.Node) -> None:
        match node:
            case nodes.Assign():
                self._assign(node.target, node.node)
            case nodes.AssignBlock():
                self._assign(node.target, nodes.TemplateData(""))
            case nodes.For():
                # A recursive loop also goes through whatever it is called with.
                self._assign(node.target, None if node.recursive else Each(node.iter))
            case nodes.With():
                for target, value in zip(node.targets, node.values, strict=True):
                    self._assign(target, value)
            case nodes.Macro() | nodes.CallBlock():
                self._parameters(node)
            case nodes.Call():
                self._call(node)
            case nodes.Name(ctx="load"):
                self._loads[node.name] += 1
            case nodes.Getattr(node=nodes.Name() as base):
                self._loads[base.name] -= 1

    def _parameters(self, node: nodes.Macro | nodes.CallBlock) -> None:
        for argument, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
            self._values[argument.name].append(default)
        if isinstance(node, nodes.CallBlock):
            for argument in node.args:
                self._values[argument.name].append(None)

    def _assign(self, target: nodes.Node, value: Value) -> None:
        if isinstance(target, nodes.Name):
            self._values[target.name].append(value)
            if isinstance(value, nodes.Call) and _calls(value, "namespace"):
                for keyword in value.kwargs:
                    self._values[f"{target.name}.{keyword.key}"].append(keyword.value)
        elif isinstance(target, nodes.NSRef):
            self._values[f".{target.attr}"].append(value)
            self._values[f"{target.name}.{target.attr}"].append(value)
        elif isinstance(target, nodes.Tuple):
            # The parts of what the request gives are given, and nothing else is known of a part.
            for item in target.items:
                self._assign(item, _part(value))

    def _call(self, node: nodes.Call) -> None:
        called = node.node
        if isinstance(called, nodes.Getattr):
            self.methods.add(called.attr)
            if called.attr == "pop":
                self.removes |= not all(_is_number(argument) for argument in node.args)
            if called.attr in words.CHANGING_METHODS:
                self.changes = True
                self._put += [*node.args, *(keyword.value for keyword in node.kwargs)]
        if not isinstance(called, nodes.Name):
            return
        if called.name == "namespace":
            for keyword in node.kwargs:
                self._values[f".{keyword.key}"].append(keyword.value)
        for macro in self.macros.get(called.name, ()):
            self._arguments(macro, node)

    def _arguments(self, macro: nodes.Macro, node: nodes.Call) -> None:
        for argument, value in zip(macro.args, node.args, strict=False):
            self._values[argument.name].append(value)
        for keyword in node.kwargs:
            self._values[keyword.key].append(keyword.value)
        if node.dyn_args or node.dyn_kwargs:
            for argument in macro.args:
                self._values[argument.name].append(None)


def _part(value: Value) -> Value:
    """A part of a value that is unpacked: as much given as the whole, and never a number."""
    return value if isinstance(value, Each) and not _calls(value.iter, "range") else None


def _parts(value: nodes.Filter) -> list[Value]:
    """What goes into a filter."""
    unknown: list[Value] = [None] if value.dyn_args or value.dyn_kwargs else []
    return [value.node, *value.args, *(keyword.value for keyword in value.kwargs), *unknown]


def _is_number(value: nodes.Node) -> bool:
    inner = value.node if isinstance(value, nodes.Neg) else value
    return isinstance(inner, nodes.Const) and isinstance(inner.value, int)


def _calls(value: nodes.Node, name: str) -> bool:
    return isinstance(value, nodes.Call) and isinstance(value.node, nodes.Name) and value.node.name == name


def _names_in(values: Iterable[Value]) -> Iterator[str]:
    for value in values:
        node = value.iter if isinstance(value, Each) else value
        if node is None:
            continue
        for inner in (node, *node.find_all(nodes.Getattr)):
            if isinstance(inner, nodes.Getattr):
                yield f".{inner.attr}"
                if isinstance(inner.node, nodes.Name):
                    yield f"{inner.node.name}.{inner.attr}"
        yield from (name.name for name in node.find_all(nodes.Name))
