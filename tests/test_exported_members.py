"""What `tuneguard` exports: loaded lazily, typed, documented, and all that the commands do."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import tuneguard
from tuneguard import facts
from tuneguard.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text()
EXPORTED = sorted(set(tuneguard.__all__) - {"__version__"})
FUNCTIONS = [name for name in EXPORTED if inspect.isfunction(getattr(tuneguard, name))]
ONLY_COMMANDS = {"signer"}
"""Commands without a function: `signer` is a server."""


def imported_for_type_checkers() -> dict[str, str]:
    """Each name that is imported under ``TYPE_CHECKING``, with the module and name that it stands for."""
    tree = ast.parse(Path(tuneguard.__file__).read_text())
    [block] = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_are_told_of_exactly_what_is_loaded():
    assert imported_for_type_checkers() == tuneguard._WHERE
    assert sorted(tuneguard.__all__) == sorted([*tuneguard._WHERE, "__version__"])


def test_all_that_is_exported_is_documented_and_the_reverse():
    documented = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert sorted(documented) == EXPORTED


@pytest.mark.parametrize("name", EXPORTED)
def test_each_name_says_what_it_is(name: str):
    assert inspect.getdoc(getattr(tuneguard, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_says_which_of_our_errors_it_raises(name: str):
    _, _, raises = (inspect.getdoc(getattr(tuneguard, name)) or "").partition("\nRaises:\n")

    named = re.findall(r"^    ([A-Z]\w+(?:, [A-Z]\w+)*): ", raises, re.MULTILINE)
    errors = {error for group in named for error in group.split(", ")}

    assert errors
    assert all(issubclass(getattr(tuneguard, error), tuneguard.TuneguardError) for error in errors)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_works_where_it_is_called_and_is_wholly_typed(name: str):
    signature = inspect.signature(getattr(tuneguard, name))

    assert re.fullmatch(r"Result\[[A-Z]\w+\]", signature.return_annotation)
    assert signature.parameters["project"].default is None
    assert all(each.annotation is not inspect.Parameter.empty for each in signature.parameters.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_page_names_the_facts_of_each_function(name: str):
    annotation = inspect.signature(getattr(tuneguard, name)).return_annotation
    kind = annotation.removeprefix("Result[").removesuffix("]")

    assert issubclass(getattr(facts, kind), facts.Facts)
    assert re.search(rf"^\| `{name}` \| .* \| `{kind}` \|$", PAGE, re.MULTILINE)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [] if command.hidden else [path]
    context = click.Context(command)
    return [
        found
        for name in command.list_commands(context)
        if (child := command.get_command(context, name)) is not None
        for found in commands(child, (*path, name))
    ]


def test_what_the_command_line_does_the_library_does_in_the_same_words():
    words = {"_".join(path).replace("-", "_") for path in commands(app)}

    assert words - ONLY_COMMANDS <= set(FUNCTIONS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("promote", {"to", "run", "model", "mount_from", "min_accuracy", "max_toxicity"}),
        ("run", {"run", "resume", "engine", "keep_intermediate", "unsafe_no_sandbox"}),
    ],
)
def test_a_commands_own_options_are_the_functions_keywords(name: str, options: set[str]):
    command = app.get_command(click.Context(app), name)
    assert command is not None

    assert options <= {each.name for each in command.params}
    assert options <= set(inspect.signature(getattr(tuneguard, name)).parameters)


def test_importing_it_loads_nothing_else():
    script = "import sys, tuneguard; print([name for name in sys.modules if name.startswith('tuneguard.')])"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'promot'"):
        tuneguard.promot  # noqa: B018 (it is what is tried)


def test_the_pages_examples_run(capsys: pytest.CaptureFixture[str]):
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/library.md", "exec"), {})

    said = capsys.readouterr().out
    assert said.startswith("passed []\n2 ")
