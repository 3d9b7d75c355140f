"""An HTML page taken apart as a browser would, to ask what it could do and what a person would hear."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "base", "source", "wbr", "embed"})
SVG_EMPTY = frozenset({"rect", "path", "circle"})
ALLOWED = frozenset(
    {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section"),
        *("h1", "h2", "h3", "p", "span", "strong", "code", "pre", "a", "ul", "ol", "li", "dl", "dt", "dd"),
        *("div", "table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "path", "circle", "text"),
    }
)
APART = frozenset({"td", "th", "dt", "dd", "li", "p", "h1", "h2", "h3", "text"})
"""Elements whose words stand apart from what follows."""


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parts: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)

    def all(self, *tags: str) -> list[Element]:
        """Every element of these tags in it, in the order of the page."""
        found = [self] if not tags or self.tag in tags else []
        return found + [each for child in self.children for each in child.all(*tags)]

    def of_class(self, name: str) -> list[Element]:
        return [each for each in self.all() if name in each.attributes.get("class", "").split()]

    @property
    def text(self) -> str:
        """All text in it."""
        return "".join(self.parts)

    @property
    def words(self) -> str:
        """All text in it, spaces collapsed."""
        return " ".join(self.text.split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_EMPTY, f"<{tag}/>"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()
        if tag in APART:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.parts.append(data)


def read(page: bytes) -> Element:
    """The page's tree. Tags must nest as they are written: browsers mend, attackers count on it."""
    reader = _Reader()
    reader.feed(page.decode("utf-8"))
    reader.close()
    assert reader.open == [reader.root], f"<{reader.open[-1].tag}> is not closed"
    return reader.root


def harmless(page: bytes) -> Element:
    """The page's tree, after making sure that it can run, load and send nothing."""
    root = read(page)
    for element in root.all():
        if element.tag == "#root":
            continue
        assert element.tag in ALLOWED, f"<{element.tag}>"
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"{name} of <{element.tag}>"
            assert name not in ("style", "src", "srcset", "action", "data", "xlink:href"), name
            assert name != "href" or value.startswith("#"), value
    for style in root.all("style"):
        assert not re.search(r"url\(|@import|expression\(|\\", style.text)
    return root
