"""Which names a template reads where nothing in it has assigned them for certain: they come from the context.

As Jinja has it, a loop, a macro and a block have names of their own, and a condition has not.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from jinja2 import nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def every(several: Iterable[nodes.Node]) -> Iterator[nodes.Node]:
    """These nodes and all that stand in them, without recursion."""
    waiting = deque(several)
    while waiting:
        node = waiting.popleft()
        yield node
        waiting.extend(node.iter_child_nodes())


def from_outside(tree: nodes.Template) -> set[str]:
    """The names that some place of a template may read from its context."""
    reading = _Reading({node.name for node in tree.body if isinstance(node, nodes.Macro)})
    reading.body(tree.body, set())
    return reading.outside


class _Reading:
    """Goes through statements in their order. ``bound`` are the names that are assigned at a place."""

    def __init__(self, macros: set[str]) -> None:
        self.outside: set[str] = set()
        # A macro's body runs when it is called, and by then those behind it exist, or are undefined.
        self._macros = macros

    def body(self, body: Iterable[nodes.Node | None], bound: set[str], *more: str) -> set[str]:
        """What is bound behind a body. Nothing of it is bound for others."""
        bound = bound.union(more)
        for statement in body:
            self._look(statement, bound)
        return bound

    def _look(self, node: nodes.Node | None, bound: set[str]) -> None:
        """Note what a node reads, and add to `bound` what it assigns for those that follow."""
        if node is None:
            return
        look = getattr(self, f"_in_{type(node).__name__.lower()}", None)
        if look is not None:
            look(node, bound)
            return
        for child in node.iter_child_nodes():
            self._look(child, bound)

    def _in_name(self, node: nodes.Name, bound: set[str]) -> None:
        if node.ctx == "load":
            self.outside |= {node.name} - bound
        else:
            bound.add(node.name)

    def _in_nsref(self, node: nodes.NSRef, bound: set[str]) -> None:
        self.outside |= {node.name} - bound

    def _in_assign(self, node: nodes.Assign, bound: set[str]) -> None:
        self._look(node.node, bound)
        self._look(node.target, bound)

    def _in_assignblock(self, node: nodes.AssignBlock, bound: set[str]) -> None:
        self.body([node.filter, *node.body], bound)
        self._look(node.target, bound)

    def _in_if(self, node: nodes.If, bound: set[str]) -> None:
        for test in (node.test, *(branch.test for branch in node.elif_)):
            self._look(test, bound)
        branches = [node.body, *(branch.body for branch in node.elif_), node.else_]
        bound |= set.intersection(*[self.body(branch, bound) for branch in branches])

    def _in_for(self, node: nodes.For, bound: set[str]) -> None:
        self._look(node.iter, bound)
        self.body([node.target, node.test, *node.body], bound, "loop")
        self.body(node.else_, bound)

    def _in_macro(self, node: nodes.Macro, bound: set[str]) -> None:
        bound.add(node.name)
        inside = [*node.defaults, *node.args, *node.body]
        self.body(inside, bound, "caller", "kwargs", "varargs", *self._macros)

    def _in_callblock(self, node: nodes.CallBlock, bound: set[str]) -> None:
        self._look(node.call, bound)
        self.body([*node.defaults, *node.args, *node.body], bound)

    def _in_with(self, node: nodes.With, bound: set[str]) -> None:
        self.body([*node.values, *node.targets, *node.body], bound)

    def _inner(self, node: nodes.Node, bound: set[str]) -> None:
        self.body(node.iter_child_nodes(), bound)

    _in_scope = _in_filterblock = _inner
