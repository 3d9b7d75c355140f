"""Writes ``docs/rules.md`` from the rules' docstrings, and one rule's part of it for ``explain``."""

from __future__ import annotations

import inspect
import sys

from tuneguard.scanner.rule import Rule, rules

_HEAD = """\
# Scan rules

Made from the docstrings of `src/tuneguard/scanner/rules/`; `make accept` writes it anew. To add a rule, see
[add/rule.md](add/rule.md).

Medium, high and critical refuse. What nobody could read is no finding: it is listed as skipped, and the
verdict is then *not understood*, which does not pass either.

| rule | severity | finds |
|---|---|---|
"""


def document() -> str:
    """The whole document."""
    rows = "".join(
        f"| [{rule.id}](#{rule.id.lower()}) | {rule.severity} | {rule.title} |\n" for rule in rules().values()
    )
    return _HEAD + rows + "".join(f"\n{_section(rule)}" for rule in rules().values())


def explain(identifier: str) -> str | None:
    """One rule's section, or None if there is no such rule."""
    rule = rules().get(identifier)
    return None if rule is None else _section(rule)


def _section(rule: Rule) -> str:
    text = inspect.cleandoc(sys.modules[rule.check.__module__].__doc__ or "")
    facts = ", ".join(f"`{kind.__name__}`" for kind in rule.looks_at)
    return (
        f"## {rule.id}\n\n{rule.title[0].upper()}{rule.title[1:]}. Severity {rule.severity}, "
        f"{rule.reference}; looks at {facts}.\n\n{text}\n"
    )
