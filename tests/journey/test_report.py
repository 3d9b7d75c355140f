"""The report of a real decision: every section filled, its commands pasted into a real shell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from steps import Promotion

from world import pages, result_schema, results

if TYPE_CHECKING:
    from conftest import ProjectFolder

pytestmark = pytest.mark.sandbox
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "result.schema.json"


def decided(promotion: Promotion, form: str, *more: str) -> Path:
    """The decision over a judged copy, written in a format."""
    path = promotion.project.path / f"decision.{form}"
    promotion.decide("--format", form, "--output", str(path), *more)
    return path


def shape(value: Any) -> Any:
    """What the parts of facts are called, without what they say."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else None


def test_the_facts_of_a_decision_are_those_that_reports_are_tested_with(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    promotion.judged()

    result = json.loads(decided(promotion, "json").read_text())
    facts = result["facts"]

    assert result_schema.faults(json.loads(SCHEMA.read_text()), result) == []
    known = results.facts()
    for name in ("model", "to", "stopped", "recorded", "report"):  # what `promote` adds
        del known[name]
    for each in (facts, known):
        for varying in ("keys", "walls", "uncounted", "unreached"):
            each[varying] = bool(each[varying])
        each["lineage"]["command"] = each["lineage"]["base_scan"] = None
        each["lineage"]["from"] = each["lineage"]["from"][:1]
    known["uncounted"] = False
    assert shape(facts) == shape(known)
    assert set(results.GATES) == {gate["id"] for gate in facts["gates"]}


@pytest.mark.needs("openssl")
def test_a_real_checkpoint_is_verified_by_the_commands_of_its_report(
    trained: ProjectFolder, own_home: Path
) -> None:
    promotion = Promotion(trained)
    promotion.judged()
    page = pages.harmless(decided(promotion, "html").read_bytes())

    blocks = [block.text for block in page.all("pre")]
    code = "tuneguard() { :; }\n" + "\n".join(blocks)
    root = os.path.join(os.environ["TUNEGUARD_HOME"], "root.pub")
    said = subprocess.run(
        ["sh"],
        input=code,
        cwd=trained.path,
        env={"PATH": os.environ["PATH"], "TUNEGUARD_ROOT": root},
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    assert f"{promotion.tree}  -" in said
    assert said.count("Verified OK") == 6
    assert "every file as signed" in said
    assert '"verificationResult":"PASSED"' in said


def test_a_refused_decision_has_a_report_that_says_why(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.verify() == 0
    assert promotion.scan() == 0
    promotion.evaluate(right=150)

    page = pages.harmless(decided(promotion, "html").read_bytes())

    assert "✗ Refused" in page.words
    assert "accuracy 0.6" in page.words
    assert [svg.attributes["aria-label"].rpartition(" ")[2] for svg in page.all("svg")] == ["missed", "met"]
