"""One contract for every rule, and the document that their docstrings make."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import golden
from tuneguard.findings import Severity
from tuneguard.formats.facts import Fact
from tuneguard.scanner.rule import PACKAGE, Rule, rules
from tuneguard.scanner.rules_doc import document, explain

DOCS = Path(__file__).parents[2] / "docs"
STORIES = (Path(__file__).parent, Path(__file__).parents[1] / "attacks" / "scanner")


def _name(rule: Rule) -> str:
    return rule.id.removeprefix("TG-").lower().replace("-", "_")


@pytest.mark.parametrize("rule", rules().values(), ids=rules())
def test_a_rule_keeps_its_contract(rule: Rule) -> None:
    module = import_module(f"{PACKAGE}.{_name(rule)}")

    assert module.RULE is rule, "a rule's id is its file's name"
    assert re.fullmatch(r"TG(-[A-Z0-9]+)+", rule.id)
    assert isinstance(rule.severity, Severity)
    assert rule.looks_at
    assert all(issubclass(kind, Fact) for kind in rule.looks_at)
    assert "What to do:" in (module.__doc__ or "")
    assert re.fullmatch(r"CWE-\d+", rule.reference)
    for sentence in (rule.title, rule.why, rule.fix):
        assert sentence
        assert "\n" not in sentence
        assert not sentence.endswith(".")


@pytest.mark.parametrize("identifier", rules())
def test_a_rule_is_shown_to_fire_by_some_test(identifier: str) -> None:
    files = {path for folder in STORIES for path in folder.glob("test_*.py")} - {Path(__file__)}
    stories = "".join(path.read_text() for path in files)

    assert f'"{identifier}"' in stories


@pytest.mark.golden
def test_the_document_of_the_rules_is_what_their_docstrings_say() -> None:
    golden.check(DOCS / "rules.md", document())


def test_a_rule_explains_itself() -> None:
    text = explain("TG-PKL-CALL")

    assert text is not None
    assert "Loading a pickle runs whatever calls it contains" in text
    assert explain("TG-NO-SUCH") is None
