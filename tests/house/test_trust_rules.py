"""Each rule of docs/TRUST.md that is built is attacked by tests, which exist; danger wears its name."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from tuneguard.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "TRUST.md").read_text()

BUILT = {1, 3, 4, 5, *range(7, 27), 28}
"""The rules that must be here, 18 and 28 in part."""
NOT_BUILT = {2, 6, 27, 29, 30}


def rules() -> dict[int, tuple[str, list[str]]]:
    """By number: what a rule asks, and the tests that attack it."""
    parts = re.split(r"^## (\d+)\. .*$", PAGE, flags=re.MULTILINE)[1:]
    found = {}
    for number, text in zip(parts[::2], parts[1::2], strict=True):
        tests = re.findall(r"^- `(tests/[\w/]+\.py::\w+)`$", text, re.MULTILINE)
        assert len(tests) == text.count("\n- "), f"rule {number} has a line that names no test"
        found[int(number)] = (text.partition("\n- ")[0].strip(), tests)
    return found


RULES = rules()


@cache
def defined_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_rule_that_is_built_is_said_and_attacked() -> None:
    assert RULES.keys() == BUILT
    assert all(said and tests for said, tests in RULES.values())


@pytest.mark.parametrize(
    "test", [pytest.param(test, id=f"{rule} {test}") for rule, (_, tests) in RULES.items() for test in tests]
)
def test_the_test_that_attacks_a_rule_exists(test: str) -> None:
    path, _, name = test.partition("::")

    assert name.startswith("test_")
    assert name in defined_in(path)


def test_every_rule_has_a_test_of_its_own() -> None:
    for rule, (_, tests) in RULES.items():
        others = {test for other, (_, theirs) in RULES.items() if other != rule for test in theirs}
        assert set(tests) - others, f"rule {rule} is attacked only by tests of other rules"


def test_every_rule_that_the_source_names_is_on_the_page() -> None:
    sources = [path.read_text() for path in (ROOT / "src" / "tuneguard").rglob("*.py")]
    named = {
        int(number)
        for source in sources
        for numbers in re.findall(r"TRUST\.md(?:'s)? rules? ([\d, to]+)", source)
        for number in re.findall(r"\d+", numbers)
    }

    assert named
    assert named <= BUILT | NOT_BUILT


def every_option() -> set[str]:
    found: set[str] = set()
    waiting: list[click.Command] = [app]
    while waiting:
        command = waiting.pop()
        found.update(name for option in command.params for name in option.opts if name.startswith("--"))
        if isinstance(command, click.Group):
            context = click.Context(command)
            names = command.list_commands(context)
            waiting += [each for name in names if (each := command.get_command(context, name)) is not None]
    return found


def test_no_command_has_a_force_flag_and_danger_wears_its_name() -> None:
    options = every_option()

    assert {name for name in options if "unsafe" in name} == {"--unsafe-no-sandbox", "--unsafe-no-passphrase"}
    escape = re.compile(r"force|skip|insecure|bypass|no-verify|ignore-|trust(?!ed-root$)|assume|override|yes")
    # `--trusted-root` is cosign's name for the file of the authorities that are believed: it narrows.
    # Without TLS to one named host: bytes and verdicts are verified all the same, which
    # `tests/oci/test_hostile.py` shows; only who listens and what is listened to changes.
    assert {name for name in options if escape.search(name)} == {"--insecure-registry"}
