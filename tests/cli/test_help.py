"""The command line's own documentation is complete, and docs/cli.md is what --help says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

import golden
from tuneguard.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"

PREAMBLE = """\
# Commands

Generated from `--help` by `make accept`; a test keeps it equal. Hidden commands are steps that `run`
and `promote` plan.
"""


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


def help_of(path: tuple[str, ...], command: click.Command) -> str:
    """The help as a terminal of 100 columns shows it."""
    context = click.Context(command, info_name=" ".join(("tuneguard", *path)), terminal_width=100)
    context.max_content_width = 100
    return command.get_help(context)


@pytest.mark.golden
def test_docs_cli_is_what_help_says() -> None:
    parts = [PREAMBLE]
    for path, command in commands(app):
        if not command.hidden:
            name = " ".join(("tuneguard", *path))
            parts.append(f"## {name}\n\n```text\n{help_of(path, command)}\n```\n")

    golden.check(DOCS / "cli.md", "\n".join(parts))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*found, id=" ".join(found[0])) for found in commands(app)]
)
def test_every_command_explains_itself_its_options_and_its_exit_codes(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert command.help
    undocumented = [
        option.name
        for option in command.params
        if isinstance(option, click.Option) and not option.help and not command.hidden and not option.hidden
    ]

    assert undocumented == []
    if not isinstance(command, click.Group) or not path:
        assert "Exit codes: 0 passed" in help_of(path, command)


def test_every_command_of_the_design_is_there() -> None:
    found = {" ".join(path) for path, _ in commands(app)}

    assert found >= {
        "init", "keygen", "digest", "policy sign", "policy check", "policy set-model", "policy explain",
        "seal", "verify-data", "run", "sign", "verify", "scan", "evaluate", "decide", "promote", "push",
        "pull", "trace", "explain", "ledger list", "ledger verify", "train", "copy", "record",
    }  # fmt: skip


def test_the_steps_that_plans_run_are_hidden() -> None:
    hidden = {" ".join(path) for path, command in commands(app) if command.hidden}

    assert hidden == {"copy", "record", "sign-evaluation", "sign-scan", "train"}


@pytest.mark.parametrize(
    ("path", "absent"),
    [
        (("digest",), {"--project", "--policy", "--evidence", "--ledger", "--key", "--registry-ca"}),
        (("verify",), {"--ledger", "--key", "--passphrase-file", "--registry-ca"}),
        (("keygen",), {"--project", "--policy", "--key", "--insecure-registry"}),
        (("ledger", "verify"), {"--policy", "--evidence", "--key", "--registry-ca"}),
        (("scan",), {"--registry-ca"}),
        (("pull",), {"--key", "--evidence"}),
    ],
)
def test_a_command_has_only_options_that_it_uses(path: tuple[str, ...], absent: set[str]) -> None:
    command = dict(commands(app))[path]

    offered = {name for option in command.params for name in option.opts}
    assert not offered & absent
    assert {"--format", "--json", "--output", "--quiet"} <= offered


def test_an_option_that_a_command_does_not_use_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["digest", str(tmp_path), "--registry-ca", "ca.pem"])

    assert done.exit_code == 2
    assert "No such option '--registry-ca'" in done.output


def test_a_commands_own_options_come_before_the_shared_ones() -> None:
    text = CliRunner().invoke(app, ["verify", "--help"]).output

    own, shared = text.split("Shared options:")
    assert "--allow-ignored" in own
    assert "--policy" not in own
    assert "--policy" in shared


def test_commands_share_the_very_options_so_that_a_start_makes_each_once() -> None:
    made = {
        id(option)
        for _, command in commands(app)
        for option in command.params
        if "--policy" in option.opts and "--quiet" in {name for each in command.params for name in each.opts}
    }

    assert len(made) == 1
