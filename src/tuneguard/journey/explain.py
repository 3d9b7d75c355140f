"""Explain a rule: what each finding's id stands for, from the docstring where the rule is written."""

from __future__ import annotations

import difflib
import inspect
import re
import sys

from tuneguard.artifact import tree
from tuneguard.attest import foreign
from tuneguard.errors import UsageError
from tuneguard.facts import ExplainFacts
from tuneguard.files import printable
from tuneguard.findings import VERDICTS, Result, Subject, Verdict
from tuneguard.gates import engine as gates
from tuneguard.ledger import store as ledger
from tuneguard.project import sealed
from tuneguard.project.project import Project
from tuneguard.scanner import rule as scanner
from tuneguard.training import machine, rehearsal
from tuneguard.trust import review
from tuneguard.trust import verify as verification

OURS = {"S-INSIDE": sealed.__doc__ or "", "D-READABLE": inspect.getdoc(sealed.readable_by_others) or ""}
"""Findings that the journey itself makes."""


def explain(rule: str, *, project: Project | None = None) -> Result[ExplainFacts]:
    """What `rule` looks for and why: a rule, a step of verification, a gate, any finding's id or verdict.

    Raises:
        UsageError: nothing has that id.
    """
    project = project or Project()
    texts = known()
    asked = (rule.lower(), f"g-{rule.lower()}")  # a gate also by its name in the policy
    wanted = next((id for id in texts if id.lower() in asked), None)
    if wanted is None:
        near = difflib.get_close_matches(rule.upper(), texts, n=1)
        help = f"did you mean {near[0]}?" if near else "known are " + ", ".join(sorted(texts))
        raise UsageError(f"nothing is called {printable(rule)}", help=help)
    first, *rest = inspect.cleandoc(texts[wanted]).split("\n")
    project.reporter.emit(wanted, first, *rest)
    return Result(
        command="explain",
        verdict=Verdict.PASSED,
        subjects=(Subject(wanted),),
        facts=ExplainFacts(id=wanted, text=inspect.cleandoc(texts[wanted])),
    )


def known() -> dict[str, str]:
    """Every id that a finding can have, every verdict, and its text."""
    return {
        **{id: _module_text(rule.check.__module__) for id, rule in scanner.rules().items()},
        **{step.id: step.text for step in verification.STEPS},
        **{gate.rule: gate.text for gate in gates.gates().values()},
        **foreign.RULES,
        **review.WEAKNESSES,
        **ledger.RULES,
        **_tree_rules(),
        **OURS,
        **machine.RULES,
        **rehearsal.RULES,
        **VERDICTS,
    }


def _module_text(module: str) -> str:
    return sys.modules[module].__doc__ or ""


def _tree_rules() -> dict[str, str]:
    """The tree's rules, from the table in its module's docstring."""
    rows = re.split(r"\n(?=T-[A-Z-]+ )", tree.__doc__ or "")[1:]
    found = {}
    for row in rows:
        id, _, text = row.partition(" ")
        found[id] = " ".join(text.split("\n===")[0].split())
    return found
