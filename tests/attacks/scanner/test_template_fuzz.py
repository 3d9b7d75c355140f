"""What the scanner calls clean is rendered without a sandbox: it reaches no inner name and calls no stranger.

Templates are made at random out of what attacks are made of. Most are not clean; those that are get rendered
by the plain environment, which notes every attribute and item with an underscore in front. The context holds
objects with functions that note when they are called. Nothing here could do harm if it were reached.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from jinja2 import Environment

from tuneguard.errors import NotUnderstood
from tuneguard.formats.jinja import read_template

pytestmark = pytest.mark.slow

TEMPLATES = 500
"""Templates of one seed: a few seconds."""


class Watching(Environment):
    """The plain environment, which notes what inner names are reached, and on what."""

    def __init__(self) -> None:
        super().__init__(extensions=["jinja2.ext.loopcontrols"])
        self.reached: list[str] = []

    def getattr(self, obj: Any, attribute: str) -> Any:
        self._note(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        self._note(obj, argument)
        return super().getitem(obj, argument)

    def _note(self, obj: Any, name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            self.reached.append(f"{type(obj).__name__} {name}")


class Canary:
    """An object of the server that no template should get to call."""

    def __init__(self, environment: Watching) -> None:
        self.role = "user"
        self.f = lambda *_, **__: environment.reached.append("x.f was called")


class Maker:
    """Makes templates. Macros call only those before them, so that every rendering ends."""

    NAMES = ("a", "b", "k", "i", "d", "ns", "messages", "tools", "x", "run", "m", "loop")
    ATTRIBUTES = ("role", "content", "f", "split", "a", "k", "index0", "items", "format", "tools")
    KEYS = ("'role'", "'content'", "'a'", "'split'", "'tools'", "0", "-1", "'f'")
    TEXTS = (
        "'role'", "'a'", "'_-_class_-_'|replace('-', '')", "'-class-'|replace('-', '__'[:2])", "'__class__'",
        "('_' ~ '_class_' ~ '_')", "'x_class'[1:]", "'{0.f}'", "'ssalc'|reverse", "messages[0].content",
        "messages|first|string",
    )  # fmt: skip

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._macros = 0

    def template(self) -> str:
        self._macros = 0
        return "".join(self._statement(3) for _ in range(self._random.randint(1, 5)))

    def _one(self, *several: Any) -> Any:
        return self._random.choice(several)

    def _statement(self, depth: int) -> str:
        expression = self._expression
        inner = (lambda: self._statement(depth - 1)) if depth else (lambda: f"{{{{ {expression(1)} }}}}")
        name = self._one("a", "b", "k", "i", "d", "a", "b", "k", "i", "d", *self.NAMES, "range")
        iterated = self._one(
            "messages", "tools", "d.items()", "d|dictsort", "d", "a", "range(3)", expression(1)
        )  # fmt: skip
        look = lambda: f"{{{{ {self._base()}[{name}] }}}}"  # noqa: E731 (as below)
        target = f"{name}, v" if "items" in iterated or "sort" in iterated else name
        return self._one(
            lambda: f"{{{{ {expression(2)} }}}}",
            look,
            lambda: f"{{% set {name} = {expression(2)} %}}",
            lambda: f"{{% set {name} = {self._number()} %}}",
            lambda: f"{{% set d = {{{self._one('k', *self.TEXTS)}: {expression(1)}}} %}}",
            lambda: f"{{% set ns = namespace({self._one('a', 'k', 'split')}={expression(1)}) %}}",
            lambda: f"{{% set ns.{self._one('a', 'k', 'split')} = {expression(1)} %}}",
            lambda: f"{{% set {name} %}}{inner()}{{% endset %}}",
            lambda: f"{{% if {expression(1)} %}}{inner()}{{% else %}}{inner()}{{% endif %}}",
            lambda: f"{{% if {name} in d %}}{{{{ d[{name}] }}}}{{% endif %}}",
            lambda: f"{{% for {target} in {iterated} %}}{inner()}{look()}{{% endfor %}}",
            lambda: f"{{% for {target} in {iterated} %}}{inner()}{inner()}{{% endfor %}}",
            lambda: (
                f"{{% for {target} in {iterated} recursive %}}{look()}"
                f"{{% if loop.depth < 3 %}}{{{{ loop({expression(1)}) }}}}{{% endif %}}{{% endfor %}}"
            ),
            lambda: f"{{% with {name} = {expression(1)} %}}{inner()}{{% endwith %}}",
            lambda: self._macro(inner),
        )()

    def _macro(self, inner: Any) -> str:
        self._macros += 1
        number, called = self._macros, self._expression(1)
        body = inner() if number < 3 else "{{ k }}"
        self._macros = number
        return (
            f"{{% macro m{number}(k, i=0) %}}{body}{{{{ {self._base()}[k] }}}}{{% endmacro %}}"
            f"{{{{ m{number}({called}, {self._one('1', 'k', 'i=2', self._text())}) }}}}"
        )

    def _base(self) -> str:
        return self._one("''", "d", "messages", "messages[0]", "x", "ns", "a", "tools[0]", "{}", "d.a")

    def _text(self) -> str:
        return self._one(*self.TEXTS)

    def _number(self) -> str:
        return self._one(
            "0", "1", "messages|length - 1", "'7'|int", "-1", "i + 1", "loop.index0 - 1", "ns.a", "i"
        )

    def _expression(self, depth: int) -> str:
        if not depth:
            return self._one(self._text(), self._number(), self._one(*self.NAMES))
        inner = lambda: self._expression(depth - 1)  # noqa: E731 (short, and used at once)
        attribute = self._one(*self.ATTRIBUTES)
        named = self._one(self._text(), f"'{attribute}'", "'upper'")
        filtered = self._one("list", "first", "last", "length", "string", "items", "default(k)")
        called = self._one(
            "items()", "split(k)", "get(k)", "update({k: a})", "append(k)", "pop(k)", "pop(0)", "copy()",
            "update(split=x.f)", "format(x)",
        )  # fmt: skip
        return self._one(
            inner,
            self._text,
            lambda: self._one(*self.NAMES),
            lambda: f"({inner()}).{attribute}",
            lambda: f"({inner()})[{self._one(*self.KEYS)}]",
            lambda: f"({inner()})[{inner()}]",
            lambda: f"({inner()})[{self._number()}]",
            lambda: f"({inner()}).{attribute}({inner()})",
            lambda: f"({inner()}).{called}",
            lambda: f"{self._one('run', 'range', 'dict', 'm1', 'loop', 'caller', 'k')}({inner()})",
            lambda: f"({inner()})|map(attribute={named})|list",
            lambda: f"({inner()})|map({named})|list",
            lambda: f"({inner()})|sort(attribute={self._text()})",
            lambda: f"({inner()})|{filtered}",
            lambda: f"({inner()}) {self._one('+', '~', 'or', 'and', '==', 'in')} ({inner()})",
            lambda: f"[{inner()}, {inner()}]",
            lambda: f"{{{self._one(self._text(), *self.KEYS)}: {inner()}}}",
            lambda: f"({inner()}) if {inner()} else ({inner()})",
        )()


def _clean(source: str) -> bool:
    try:
        return not list(read_template(source))
    except NotUnderstood:
        return False


def _render(source: str) -> list[str]:
    environment = Watching()
    data = {"role": "user", "content": "the content", "a": {"k": "v", "role": 1}, "tools": ["role", "a"]}
    context = {
        "messages": [data, {"role": "a", "content": "role"}],
        "tools": [{"a": "b", "k": "content"}, data],
        "x": Canary(environment),
        "run": lambda *_: environment.reached.append("run was called"),
        "i": "role",
        "k": "content",
    }
    try:
        environment.from_string(source).render(context)
    except Exception:  # noqa: BLE001 (most templates make no sense; what they reached before is what counts)
        return environment.reached
    return environment.reached


@pytest.mark.parametrize("seed", range(2))
def test_attack_no_template_that_is_clean_reaches_an_inner_name(seed: int) -> None:
    maker = Maker(seed)
    clean = reaching = 0
    for _ in range(TEMPLATES):
        source = maker.template()
        if _clean(source):
            clean += 1
            assert not _render(source), source
        elif reaching < 20:
            reaching += bool(_render(source))

    assert clean > TEMPLATES // 20, "the property says little about few"
    assert reaching == 20, "of the others, some reach"
