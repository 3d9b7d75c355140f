"""The options that commands share, in groups, and what they build: a `Project` for the journey.

    @command("digest", PROJECT, POLICY)
    @click.argument("directory")
    def COMMAND(here: Project, directory: Path) -> Result[Facts]: ...

A command's function takes what was parsed, calls one function of the library and returns its
`Result`; `console` renders it. What only a running command needs is imported when it runs: `--help` of the
program loads this module and every command, and nothing else.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tuneguard import limits
from tuneguard.cli.console import EXIT_CODES, Console

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project

Function = TypeVar("Function", bound="Callable[..., Any]")

FORMATS = ("text", "json", "sarif", "html")


class PathType(click.Path):
    """As ``click.Path(path_type=Path)``, which would import `pathlib` before there is a path."""

    def coerce_path_result(self, value: str | os.PathLike[str]) -> Path:
        """The `Path` of what was given."""
        from pathlib import Path

        return Path(value)


PATH = PathType(readable=False)
"""A path as it was given. Whether it can be read shows when it is: that is "could not look", not usage."""

Group = tuple[click.Option, ...]
"""Options that commands share: the very objects, made once."""

PROJECT: Group = (
    click.Option(
        ["--project"], type=PATH, metavar="FILE", help="Use this pipeline file in place of ./tuneguard.yaml."
    ),
)
ROOT: Group = (
    click.Option(
        ["--root"],
        type=PATH,
        metavar="FILE",
        help="Verify the policy with this public key; docs/policy.md lists the defaults.",
    ),
)
POLICY: Group = (
    click.Option(
        ["--policy"],
        type=PATH,
        metavar="FILE",
        help="Use this policy in place of $TUNEGUARD_POLICY or ./policy.yaml.",
    ),
    *ROOT,
)
EVIDENCE: Group = (
    click.Option(
        ["--evidence"],
        type=PATH,
        metavar="DIR",
        help="Keep evidence in this folder in place of the one beside the directory, NAME.evidence.",
    ),
)
LEDGER: Group = (
    click.Option(
        ["--ledger"], metavar="FILE", help="Use this ledger in place of the project's .tuneguard/ledger.db."
    ),
)
PASSPHRASE: Group = (
    click.Option(
        ["--passphrase-file"], type=PATH, metavar="FILE", help="Read the key's passphrase from this file."
    ),
    click.Option(
        ["--passphrase-env"],
        metavar="VARIABLE",
        help="Read the key's passphrase from this environment variable.",
    ),
)
KEYS: Group = (
    click.Option(
        ["--key"],
        multiple=True,
        metavar="[ROLE=]URI",
        help="Sign with this key; with ROLE= only in this role. Repeatable.",
    ),
    *PASSPHRASE,
)
REGISTRY: Group = (
    click.Option(
        ["--insecure-registry"],
        multiple=True,
        metavar="HOST",
        help="Use HTTP without TLS for this registry. Repeatable.",
    ),
    click.Option(
        ["--registry-ca"],
        type=PATH,
        metavar="FILE",
        help="Accept registry certificates from the authorities in this PEM file.",
    ),
)
ENGINE: Group = (
    click.Option(
        ["--engine"], default="local", show_default=True, metavar="NAME", help="Run the steps on this engine."
    ),
)
OUTPUT: Group = (
    click.Option(
        ["--format"],
        type=click.Choice(FORMATS),
        default="text",
        show_default=True,
        help="Print the result in this format.",
    ),
    click.Option(["--json"], is_flag=True, help="Print the result as JSON: short for --format json."),
    click.Option(["--output"], type=PATH, metavar="FILE", help="Write the result to this file."),
    click.Option(["--quiet"], is_flag=True, help="Print the result only: no progress, no messages."),
    click.Option(["--facts-file"], type=PATH, hidden=True),
)


class Grouped(click.Command):
    """A command whose help shows its own options first; the last ones are those that commands share."""

    own = 0
    """How many of its parameters are its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in two parts."""
        parameters = self.get_params(ctx)
        own, shared = parameters[: self.own], parameters[self.own :]
        for title, part in (("Options", own), ("Shared options", shared)):
            options = (each for each in part if isinstance(each, click.Option))
            rows = [record for each in options if (record := each.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def command(
    name: str,
    *groups: Group,
    short: str | None = None,
    facts: tuple[str, ...] = (),
    document: bool = False,
    **attributes: Any,
) -> Callable[[Callable[..., Result[Facts]]], click.Command]:
    """A command with the options of these groups and of `OUTPUT`, whose function returns a `Result`.

    `facts` are those of the result's facts that ``--facts-file`` hands on to other steps of a plan. In text,
    a command with a `document` prints the fact of that name, and all else beside it.
    """

    def wrap(function: Callable[..., Result[Facts]]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def called(context: click.Context, /, **values: Any) -> int:
            console: Console = context.ensure_object(Console)
            console.document = document
            return _run(console, name, function, values, facts)

        made: Grouped = click.command(short or name, Grouped, epilog=EXIT_CODES, **attributes)(called)
        made.own = len(made.params)
        made.params += [option for group in (*groups, OUTPUT) for option in group]
        return made

    return wrap


def _run(
    console: Console,
    name: str,
    function: Callable[..., Result[Facts]],
    values: dict[str, Any],
    facts: tuple[str, ...],
) -> int:
    from tuneguard.output.terminal import Recorder, reporter

    _confine()

    console.command = name
    console.form = "json" if values.pop("json") else values.pop("format")
    values.pop("format", None)
    console.output = values.pop("output")
    console.quiet = values.pop("quiet")
    facts_file = values.pop("facts_file")
    lines = reporter(
        console.form if console.output is None or console.document else "file",
        console.style(),
        quiet=console.quiet,
        stream=console.beside(),
        passed_on=_orchestrator(),
    )
    if isinstance(lines, Recorder):
        console.lines = lines.lines
    project = _project(values, lines)
    console.warnings = lambda: project.warnings
    result = function(project, **values)
    if facts_file is not None:
        _hand_on(result, facts, facts_file)
    return console.result(result)


def _confine() -> None:
    """Give up what this step does not need, as the engine states, before anything is read."""
    from tuneguard.plan.handover import CONFINED

    said = os.environ.pop(CONFINED, None)
    if said is not None:
        import json
        from pathlib import Path

        from tuneguard.errors import UsageError
        from tuneguard.sandbox.confine import confine

        try:
            restrictions = json.loads(said)
            writable = [Path(path) for path in restrictions["writable"]]
            network, attributes = bool(restrictions["network"]), bool(restrictions["attributes"])
        except (ValueError, TypeError, KeyError):
            raise UsageError(f"the variable {CONFINED} holds what no engine sets", help="unset it") from None
        confine(network=network, writable=writable, attributes=attributes)


def _hand_on(result: Result[Facts], names: tuple[str, ...], path: Path) -> None:
    """Write the facts that later steps of a plan refer to."""
    from tuneguard.engines.engine import FACTS_BYTES
    from tuneguard.errors import CannotLook
    from tuneguard.files import write_replacing
    from tuneguard.records import to_json

    found = {name: getattr(result.facts, name) for name in names}
    data = to_json({name: value for name, value in found.items() if value is not None})
    if len(data) > FACTS_BYTES:
        raise CannotLook(f"the facts take {len(data):,} bytes, and {FACTS_BYTES:,} can be handed on")
    write_replacing(path, data, mode=0o600)


def _orchestrator() -> Callable[[list[str]], None] | None:
    """Where a step of a plan sends its lines while it runs; None for a command that a person typed."""
    from tuneguard.plan.handover import LINES_FD

    inherited = os.environ.pop(LINES_FD, None)
    if inherited is None:
        return None
    descriptor = int(inherited)
    os.set_inheritable(descriptor, False)

    def emit(line: list[str]) -> None:
        import contextlib

        from tuneguard.records import to_json

        with contextlib.suppress(OSError):  # the orchestrator is gone, and this step goes on
            os.write(descriptor, to_json(line)[: limits.STEP_LINE_BYTES - 1] + b"\n")

    return emit


def _project(values: dict[str, Any], lines: Any) -> Project:
    from tuneguard.project.project import Project

    def given(name: str) -> Any:
        return values.pop(name, None)

    return Project.open(
        given("project"),
        policy=given("policy"),
        root=given("root"),
        evidence=given("evidence"),
        ledger=given("ledger"),
        keys=_keys(given("key") or ()),
        passphrase=passphrase_source(given("passphrase_file"), given("passphrase_env")),
        reporter=lines,
        insecure_registries=given("insecure_registry") or (),
        registry_ca=given("registry_ca"),
    )


def _keys(options: tuple[str, ...]) -> dict[str, str]:
    """``--key builder=URI`` by role; ``--key URI`` under the empty role, for commands with one."""
    keys: dict[str, str] = {}
    for option in options:
        role, separator, uri = option.partition("=")
        if not separator or not role.replace("-", "").isalpha() or ":" in role:
            role, uri = "", option
        if role in keys:
            from tuneguard.errors import UsageError

            raise UsageError(f"--key is given twice for {role or 'the same role'}")
        keys[role] = uri
    return keys


def passphrase_source(file: Path | None, variable: str | None) -> Callable[[str], bytes]:
    """Where passphrases come from: a descriptor, a file, a variable, or the person at the terminal.

    A callable and not a value, so that nothing is read before a key needs it.
    """
    from tuneguard.plan.handover import PASSPHRASE_FD

    inherited = os.environ.pop(PASSPHRASE_FD, None)
    held = _read_descriptor(int(inherited)) if inherited else None

    def ask(name: str) -> bytes:
        import getpass

        from tuneguard.errors import UsageError
        from tuneguard.files import printable, read_named
        from tuneguard.signing.signer import secret_in

        if held is not None:
            return held
        if file is not None:
            return secret_in(read_named(file, limits.PASSPHRASE_BYTES))
        if variable is not None:
            if variable not in os.environ:
                raise UsageError(f"the variable {variable} is not set", help="set it to the passphrase")
            return secret_in(os.environb[variable.encode()])
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(
                "there is no terminal to ask for its passphrase",
                where=printable(name),
                help="give --passphrase-file FILE or --passphrase-env VARIABLE",
            )
        return getpass.getpass(f"Passphrase for {printable(name)}: ").encode()

    return ask


def _read_descriptor(descriptor: int) -> bytes:
    """Read the passphrase and close the descriptor at once: nothing started later inherits it."""
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read(limits.PASSPHRASE_BYTES)


def new_passphrase(project: Project, path: Path) -> bytes:
    """A passphrase for a key that is to be made: as given, or asked for twice."""
    from tuneguard.errors import UsageError

    if sys.stdin is not None and sys.stdin.isatty():
        first = project.passphrase(f"the new key {path}")
        if first != project.passphrase("it again"):
            raise UsageError("the two passphrases differ", help="type the same one twice")
    else:
        first = project.passphrase(f"the new key {path}")
    if not first:
        raise UsageError("an empty passphrase", help="give one, or pass --unsafe-no-passphrase")
    return first


def unencrypted(function: Function) -> Function:
    """The option for a key without a passphrase, which has the danger in its name."""
    return click.option(
        "--unsafe-no-passphrase",
        is_flag=True,
        help="Leave the key unencrypted: anyone who reads the file can sign.",
    )(function)


def bound(function: Function) -> Function:
    """The options that bind a judging step to one attempt and one tree."""
    for option in (
        click.option("--tree", metavar="DIGEST", help="Refuse any tree with another digest."),
        click.option("--attempt", metavar="ID", help="Bind the evidence to this attempt of a promotion."),
    ):
        function = option(function)
    return function


def left_unsigned(function: Function) -> Function:
    """The options of a step that signs what was left unsigned: the statement, and what it has to be about."""
    for name in ("--tree", "--attempt", "--model", "--sha256"):
        function = click.option(name, required=True)(function)
    return click.option("--statement", type=PATH, required=True)(function)


def signed_by(function: Function) -> Function:
    """Who is to have made another tool's signature, passed on as the mapping `signer`."""

    @functools.wraps(function)
    def called(project: Project, **values: Any) -> Any:
        names = {
            "public_key": "public_key",
            "certificate_root": "certificate_root",
            "trusted_root": "trusted_root",
            "identity": "certificate_identity",
            "issuer": "certificate_oidc_issuer",
        }
        signer = {name: values.pop(given) for name, given in names.items()}
        return function(project, signer=signer, **values)

    wrapped: Any = called
    for option in (
        click.option(
            "--certificate-oidc-issuer",
            metavar="URL",
            help="Demand that this OIDC issuer vouches for the identity (keyless).",
        ),
        click.option(
            "--certificate-identity", metavar="NAME", help="Demand this identity in the certificate."
        ),
        click.option(
            "--trusted-root",
            type=PATH,
            metavar="FILE",
            help="Trust the authorities, logs and clocks in this Sigstore trusted root.",
        ),
        click.option(
            "--certificate-root",
            type=PATH,
            metavar="FILE",
            help="Trust certificates from these authorities (PEM).",
        ),
        click.option(
            "--public-key",
            type=PATH,
            metavar="FILE",
            help="Demand that this key made the other tool's signature.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def gate_overrides(function: Function) -> Function:
    """The evaluation flags, which may only tighten the policy."""
    for option in (
        click.option(
            "--max-toxicity",
            type=float,
            metavar="N",
            help="Refuse more toxic answers than this share; it can only be below the policy's.",
        ),
        click.option(
            "--min-accuracy",
            type=float,
            metavar="N",
            help="Refuse lower accuracy than this share; it can only be above the policy's.",
        ),
    ):
        function = option(function)
    return function
