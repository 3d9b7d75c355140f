"""What the documents say is there: examples run, links lead somewhere, named tests and targets exist."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import re
import shlex
import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import docs_site
import pytest

from tuneguard import records
from tuneguard.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tuneguard"
PAGES = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
    if ".cache" not in path.parts
)
README = (ROOT / "README.md").read_text()


def text_of(page: Path) -> str:
    return (ROOT / page).read_text()


def prose_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return docs_site.prose(text_of(page))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a page: language and content."""
    yield from re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text_of(page), re.DOTALL | re.MULTILINE)


# --- Docstrings --------------------------------------------------------------------------------------


def with_examples() -> Iterator[str]:
    """The modules whose source holds a doctest."""
    for path in sorted(SOURCE.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(SOURCE.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", [*with_examples()])
def test_the_examples_in_a_modules_docstrings_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))

    assert results.attempted > 0, "an example that doctest does not see"
    assert results.failed == 0


# --- Links -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_leads_to_something(page: Path) -> None:
    assert docs_site.dead(ROOT, str(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_source_file_that_a_page_names_is_there(page: Path) -> None:
    """`plan/plans.py` in a page is a file of the package, of the repository, or of the page's folder."""
    named = set(
        re.findall(
            r"`((?:[\w.-]+/)+[\w.-]*\.(?:py|md|json|yaml|toml|jsonl)|(?:src|tests)/[\w./-]+)`", prose_of(page)
        )
    )
    places = (SOURCE, ROOT, ROOT / page.parent)

    missing = [name for name in sorted(named) if not any((place / name).exists() for place in places)]

    # Paths of a user's project, which the examples speak of.
    theirs = ("./", "runs/", "data/", "code/", "models/", "keys/")
    assert [name for name in missing if not name.startswith(theirs)] == []


# --- Fenced blocks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_of_code_parses(page: Path) -> None:
    for language, block in blocks(page):
        if language in ("python", "py"):
            ast.parse(textwrap.dedent(block))
        elif language == "pycon":
            assert doctest.DocTestParser().get_examples(block)
        elif language == "json":
            json.loads(block)
        elif language in ("yaml", "yml"):
            records.read_yaml(block.encode(), str(page))
        else:
            assert language in ("sh", "console", "text", ""), f"{page} has a block of {language}"


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line calls, and the words after it."""
    command: click.Command = app
    while words and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def lines_of_shell() -> Iterator[tuple[Path, str]]:
    """Every call of the program in a block of shell, its continued lines joined."""
    for page in PAGES:
        for language, block in blocks(page):
            if language in ("sh", "console"):
                for line in block.replace("\\\n", " ").splitlines():
                    call = line.removeprefix("$ ").partition("  #")[0].strip()
                    if call.startswith("tuneguard "):
                        yield page, call


@pytest.mark.parametrize(("page", "line"), [*lines_of_shell()], ids=str)
def test_every_call_in_a_page_names_a_command_and_options_that_are_there(page: Path, line: str) -> None:
    command, words = command_of(shlex.split(line)[1:])
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}

    used = {word.partition("=")[0] for word in words if word.startswith("--")}

    assert used <= known | {"--help"}
    required = {option.opts[0] for option in command.params if option.required and option.opts[0][0] == "-"}
    assert required <= used or "…" in line, "a call that would end in usage"


# --- The README's installation ------------------------------------------------------------------------


def test_the_readme_names_every_extra_and_the_oldest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    section = README.partition("## Install\n")[2].partition("\n## ")[0]
    table = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]

    assert sorted(re.findall(r"`(\w+)`", "".join(table))) == sorted(project["optional-dependencies"])
    assert f"Python {project['requires-python'].replace('>=', '≥ ')}:" in section
    assert all(name in project["optional-dependencies"] for name in re.findall(r"\.\[(\w+)\]", section))


# --- The README's table of threats -------------------------------------------------------------------


def threats() -> list[list[str]]:
    """The rows of the table: attack, control, command, test."""
    _, begin, rest = README.partition("<!-- threats: begin")
    table, end, _ = rest.partition("<!-- threats: end -->")
    assert begin
    assert end
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


@cache
def defined_in(path: str) -> frozenset[str]:
    """The names of the tests that a file defines."""
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_the_table_of_threats_is_there() -> None:
    assert len(threats()) >= 16


@pytest.mark.parametrize("row", threats(), ids=lambda row: row[0])
def test_every_threat_names_a_control_a_command_and_a_test_that_exists(row: list[str]) -> None:
    attack, control, commands, proofs = row
    assert attack
    assert control
    for named in re.findall(r"`([a-z- ]+)`", commands):
        command_of([word for word in named.split() if not word.startswith("--")])
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", proofs)

    assert named, "a threat without a test that proves its control"
    assert named == re.findall(r"`([^`:]+)(?:::)?([^`]*)`", proofs), "a test that is not written file::name"
    for path, name in named:
        assert name in defined_in(path)


# --- make ---------------------------------------------------------------------------------------------


def test_every_make_target_that_a_page_names_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        target
        for page in PAGES
        for code in (*re.findall(r"`([^`\n]+)`", prose_of(page)), *(block for _, block in blocks(page)))
        for target in re.findall(r"^make ([a-z-]+)", code, re.MULTILINE)
    }

    assert named >= {"demo", "test", "check"}
    assert named <= targets
    assert all(f"{target}:" in makefile and "##" in makefile for target in named)


def test_every_target_says_what_it_is_for() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lines = re.findall(r"^[a-z]+:.*$", makefile, re.MULTILINE)

    assert [line for line in lines if "##" not in line] == []


# --- Decision records --------------------------------------------------------------------------------

RECORDS = [page for page in PAGES if page.parent == Path("docs/adr")]


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(page.name[:4]) for page in RECORDS]

    assert numbers == list(range(1, len(RECORDS) + 1))
    assert len(RECORDS) >= 7


@pytest.mark.parametrize("page", RECORDS, ids=str)
def test_a_decision_says_context_decision_and_consequences_on_one_page(page: Path) -> None:
    text = text_of(page)

    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 60
