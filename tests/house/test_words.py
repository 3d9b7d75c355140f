"""Pages for users have no private words: each entry here was replaced by the field's word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "docs/add/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # it names the words of earlier versions
)
PRIVATE = {
    r"walls?": "isolation controls",
    r"front doors?": "entry point",
    r"rules of the house": "rules",
    r"rooms'?": "packages",
    r"(?:conductor|conducts?)": "orchestrator",
    r"speaks? (?:of|for)|spoken (?:to|of)|heard (?:about|in)": "is about, counts",
    r"strangers?(?:'s)?": "untrusted",
    r"the seed": "cosign's manifest form, the init container",
    r"\b(?:he|him|his)\b": "they",
    r"mends what": "how to fix",
}
"""A pattern, and what is written in its place."""


def private_words(text: str) -> list[str]:
    """The private words in a text, outside of code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [
        f"{found[0]}: write {better}"
        for pattern, better in PRIVATE.items()
        for found in re.finditer(rf"\b(?:{pattern})\b", prose, re.IGNORECASE)
    ]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_has_no_private_words(page):
    assert private_words((ROOT / page).read_text()) == []


def test_a_private_word_is_found_in_prose_and_let_be_in_code():
    assert private_words("Evidence speaks of a tree.") == ["speaks of: write is about, counts"]
    assert private_words("`speaks of`, then\n```\nhe speaks of\n```\nthe history of this") == []
