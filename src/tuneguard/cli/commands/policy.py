"""tuneguard policy: sign, check, migrate, change and explain the file that lists whose evidence counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tuneguard.cli.options import KEYS, PATH, PROJECT, ROOT, command

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.facts import Facts
    from tuneguard.findings import Result
    from tuneguard.project.project import Project

FILE = click.argument("file", type=PATH, default="policy.yaml")


@click.group("policy")
def COMMAND() -> None:
    """Sign, check, migrate, change or explain a policy."""


@command("policy sign", KEYS, short="sign")
@FILE
def sign(project: Project, file: Path) -> Result[Facts]:
    """Sign FILE's exact bytes with the root's key; the bundle goes beside it."""
    from tuneguard.journey import policies

    return policies.sign(file, project=project)


@command("policy check", ROOT, short="check")
@FILE
@click.option("--unsigned", is_flag=True, help="Judge an edit before it is signed; check no signature.")
def check(project: Project, file: Path, unsigned: bool) -> Result[Facts]:
    """Check FILE's signature, and list what it refuses or accepts by mistake."""
    from tuneguard.journey import policies

    return policies.check(file, unsigned=unsigned, project=project)


@command("policy explain", short="explain")
@FILE
def explain(project: Project, file: Path) -> Result[Facts]:
    """Print in plain words whose evidence FILE accepts, and for what."""
    from tuneguard.journey import policies

    return policies.explain(file, project=project)


@command("policy migrate", ROOT, short="migrate", document=True)
@FILE
def migrate(project: Project, file: Path) -> Result[Facts]:
    """Convert FILE from an earlier version; print the new text and the changes.

    FILE stays as it is. The new text goes to the standard output, or to the file that --output names; the
    root reads it and signs it.
    """
    from tuneguard.journey import policies

    return policies.migrate(file, project=project)


@command("policy set-model", PROJECT, KEYS, short="set-model")
@click.argument("name")
@click.argument("file", type=PATH, default="policy.yaml")
@click.option("--base", type=PATH, metavar="DIR", help="Allow only this base model.")
@click.option("--evaluation", type=PATH, metavar="DIR", help="Evaluate on this set.")
@click.option("--classifier", type=PATH, metavar="DIR", help="Measure toxicity with this classifier.")
@click.option("--code", type=PATH, metavar="DIR", help="Allow only this training code.")
@click.option("--config", type=PATH, metavar="FILE", help="Allow only this configuration.")
@click.option(
    "--command", is_flag=True, help="Allow only the command and env that the pipeline file has now."
)
def set_model(
    project: Project,
    name: str,
    file: Path,
    base: Path | None,
    evaluation: Path | None,
    classifier: Path | None,
    code: Path | None,
    config: Path | None,
    command: bool,
) -> Result[Facts]:
    """Fill in what model NAME is made from in FILE, raise the version, sign again."""
    from tuneguard.journey import policies

    return policies.set_model(
        file,
        name,
        base=base,
        evaluation=evaluation,
        classifier=classifier,
        code=code,
        config=config,
        command=command,
        project=project,
    )


@command("policy revoke", KEYS, short="revoke")
@click.argument("name")
@click.argument("file", type=PATH, default="policy.yaml")
@click.option(
    "--reason",
    default="compromise",
    show_default=True,
    metavar="TEXT",
    help="Record why. 'retired' and 'superseded' keep what the key signed; any other reason revokes it.",
)
def revoke(project: Project, name: str, file: Path, reason: str) -> Result[Facts]:
    """Revoke the key of identity NAME in FILE, raise the version, sign again."""
    from tuneguard.journey import policies

    return policies.revoke(file, name, reason=reason, project=project)


@command("policy rotate", KEYS, short="rotate")
@click.argument("name")
@click.argument("file", type=PATH, default="policy.yaml")
@click.option(
    "--public-key", type=PATH, metavar="FILE", required=True, help="Replace the key by this public key."
)
@click.option("--name", "new", metavar="NEW", help="Name the new identity; without it NAME-2.")
def rotate(project: Project, name: str, file: Path, public_key: Path, new: str | None) -> Result[Facts]:
    """Replace the key of identity NAME in FILE from now on, raise the version, sign again."""
    from tuneguard.journey import policies

    return policies.rotate(file, name, public_key=public_key, new=new, project=project)


for each in (sign, check, explain, migrate, set_model, revoke, rotate):
    COMMAND.add_command(each)
