"""What a bare machine lacks is asked for in one place, and what did not run for want of it is told."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import peers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAMS = set(peers.INSTALLED)
NAMED = re.compile(rf"""which|["'](?:{"|".join(map(re.escape, PROGRAMS))})["']""")
MODULES = sorted((ROOT / "tests").rglob("*.py"))


def calls(tree: ast.AST) -> Iterator[tuple[str, list[object]]]:
    """Every call in a module: the function's last name, and the arguments that are constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield name, [argument.value for argument in node.args if isinstance(argument, ast.Constant)]


def commands(tree: ast.AST) -> Iterator[object]:
    """The first word of whatever may be a command: of a list, a tuple, a call of ``run``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
            yield node.elts[0].value
    yield from (constants[0] for name, constants in calls(tree) if name in ("run", "Popen") and constants)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_a_module_that_runs_a_program_asks_for_it_by_the_one_helper(path: Path) -> None:
    if not NAMED.search(path.read_text()):
        return
    tree = ast.parse(path.read_text())
    asked = {name for call, names in calls(tree) if call in ("need", "needs") for name in names}
    run = {command for command in commands(tree) if command in PROGRAMS}

    assert run <= asked or path.name == "proofs.py", (
        "mark it: @pytest.mark.needs(…), see tests/world/needs.py"
    )
    assert "which" not in {call for call, _ in calls(tree)}, "see tests/world/needs.py"


def outcome(path: Path, *tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """These tests where only the programs of a bare machine are found."""
    bare = path / "bare"
    subprocess.run([sys.executable, ROOT / "tools/bare.py", bare], check=True, capture_output=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, **environment, "PATH": str(bare)},
        capture_output=True,
        text=True,
        check=False,
    )


TESTS = "tests/interop/test_openssl.py"


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="only Debian says what is bare")
@pytest.mark.slow
def test_without_a_program_its_tests_are_skipped_and_told_last_by_name(tmp_path: Path) -> None:
    done = outcome(tmp_path, TESTS, TUNEGUARD_PEERS="")

    assert done.returncode == 0, done.stdout
    *_, told, count = done.stdout.splitlines()
    number = count.partition(" skipped")[0]
    assert told == f"not run: {number} tests: needs openssl: apt-get install openssl ({TESTS})"


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="only Debian says what is bare")
@pytest.mark.slow
def test_where_programs_are_required_a_missing_one_fails(tmp_path: Path) -> None:
    done = outcome(tmp_path, TESTS, "-x", TUNEGUARD_PEERS="required")

    assert done.returncode == 1, done.stdout
    assert "needs openssl: apt-get install openssl" in done.stdout
