"""Settings of the tools: no ignore that nothing needs, one profile of deadlines, no golden file left over."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from world import results

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


def test_every_ignore_of_ruff_has_its_reason_and_is_needed(tmp_path: Path) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    ignores = [("**", code) for code in lint["ignore"]]
    ignores += [(files, code) for files, codes in lint["per-file-ignores"].items() for code in codes]
    without = tmp_path / "pyproject.toml"
    without.write_text(re.sub(r"^ignore = \[$.*?^\]$", "ignore = []", text, flags=re.DOTALL | re.MULTILINE))

    options = [
        "--no-cache",
        "--output-format=json",
        f"--config={without}",
        "--config=lint.per-file-ignores={}",
    ]
    program = [sys.executable, "-m", "ruff", "check", *options, "."]
    found = subprocess.run(program, cwd=ROOT, capture_output=True, check=False).stdout
    hits = {(str(Path(hit["filename"]).relative_to(ROOT)), hit["code"]) for hit in json.loads(found)}

    assert [
        (files, code)
        for files, code in ignores
        if not any(fnmatch(path, files) and hit.startswith(code) for path, hit in hits)
    ] == []
    lines = re.findall(r'^ *"[A-Z]+[0-9]*",.*$', text, re.MULTILINE)
    assert len(lines) > len(lint["ignore"])
    assert [line for line in lines if "# " not in line] == []


def test_no_test_sets_a_deadline_of_its_own() -> None:
    """`tests/conftest.py` has the one profile of Hypothesis."""
    stray = []
    for path in sorted(TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())) if "deadline" in path.read_text() else ():
            if isinstance(node, ast.Call) and "settings" in (
                getattr(node.func, "id", ""),
                getattr(node.func, "attr", ""),
            ):
                stray += [f"{path}:{node.lineno}" for each in node.keywords if each.arg == "deadline"]

    assert stray == []


def test_every_golden_output_is_one_that_a_test_writes() -> None:
    """`golden.check` compares each with what the code writes, so that one written by hand fails."""
    written = {*results.ALL, "doctor", "log"}

    assert {path.name.partition(".")[0] for path in (TESTS / "output" / "golden").iterdir()} <= written


def test_ci_measures_coverage_and_fails_below_a_floor() -> None:
    floor = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["report"]["fail_under"]
    [recipe] = re.findall(r"^coverage:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert floor >= 77
    assert "--cov " in recipe
    assert "--no-cov" not in recipe
    assert re.search(r"^make .*\bcoverage\b", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
