"""Pages, source and help have no private words: each entry here was replaced by the field's word."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "docs/add/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # it names the words of earlier versions
)
PACKAGES = sorted(path.relative_to(ROOT) for path in (ROOT / "src/tuneguard").iterdir() if path.is_dir())
PRIVATE = {
    r"walls?": "isolation controls",
    r"front doors?": "entry point",
    r"house": "project",
    r"rooms?'?": "package, work directory, space",
    r"(?:conductor|conduct(?:s|ed|ing)?)": "orchestrator, runs",
    r"(?:speak(?:s|ing)?|spoke|spoken)": "is about, names, is against, connects to",
    r"(?:heard|hears?)": "counts, receives",
    r"(?:told|tells?|telling|retells?)": "reports, is given, shows",
    r"strangers?(?:'s)?": "untrusted",
    r"(?:planted|plants?|planting)": "canaries, puts",
    r"the seed": "cosign's manifest form, the init container",
    r"(?:he|him|his)": "they",
    r"whoever": "anyone who, those who, the caller",
    r"who may": "who is allowed to",
    r"(?:mends?|mended|mending)": "fix, how to fix",
}
"""A pattern, and what is written in its place."""
CODE = re.compile(r"```.*?```|``.*?``|`[^`\n]*`", re.DOTALL)


def private_words(text: str, name: str, first: int = 1) -> list[str]:
    """The private words in a text whose first line is line `first` of the file `name`, outside of code."""
    prose = CODE.sub(lambda code: "\n" * code[0].count("\n"), text)
    return [
        f"{name}:{first + prose.count(chr(10), 0, found.start())}: {found[0]}: write {better}"
        for pattern, better in PRIVATE.items()
        for found in re.finditer(rf"\b(?:{pattern})(?!\w)", prose, re.IGNORECASE)
    ]


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """The comments of a module, and its strings of more than one word: docstrings, help, messages."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            text = node.value
        else:
            continue
        if " " in text.strip():
            yield node.lineno, text


def private_words_of_source(source: str, name: str) -> list[str]:
    """The private words in a module's comments, docstrings, help and messages."""
    return [found for first, text in prose_of(source) for found in private_words(text, name, first)]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_has_no_private_words(page):
    assert private_words((ROOT / page).read_text(), str(page)) == []


@pytest.mark.parametrize("package", [*PACKAGES, Path("src/tuneguard")], ids=str)
def test_docstrings_comments_help_and_messages_have_no_private_words(package):
    pattern = "*.py" if package == Path("src/tuneguard") else "**/*.py"
    modules = sorted((ROOT / package).glob(pattern))
    assert [
        found
        for module in modules
        for found in private_words_of_source(module.read_text(), str(module.relative_to(ROOT)))
    ] == []


def test_the_help_of_every_command_has_no_private_words():
    """Help is printed on its page as code, which the check of pages leaves out."""
    page = (ROOT / "docs/cli.md").read_text()
    assert "```" in page
    assert private_words(page.replace("`", ""), "docs/cli.md") == []


def test_the_makefile_has_no_private_words():
    assert private_words((ROOT / "Makefile").read_text(), "Makefile") == []


def test_a_private_word_is_found_in_prose_and_let_be_in_code():
    assert private_words("Evidence speaks of a tree.", "page.md") == [
        "page.md:1: speaks: write is about, names, is against, connects to"
    ]
    assert private_words("`speaks of`, then\n```\nhe speaks of\n```\nthe history of this", "page.md") == []


def test_a_private_word_is_found_in_each_place_of_a_module_with_its_line():
    source = '''"""A module.

Whoever reads it.
"""
KEY = "walls"
"""A wall."""
def fail(name):  # of a stranger
    raise Refused(f"{name} was told", help="ask the " "house")
'''
    assert sorted(found.partition(": write")[0] for found in private_words_of_source(source, "m.py")) == [
        "m.py:3: Whoever",
        "m.py:6: wall",
        "m.py:7: stranger",
        "m.py:8: house",
        "m.py:8: told",
    ]
