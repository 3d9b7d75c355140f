"""What Tuneguard says to do next is pasted into a shell; the pipeline file has a word in it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

NAMES = ("$(touch PWNED)", "a; touch PWNED #", "a' ; touch PWNED ; '", "`touch PWNED`")


@pytest.mark.parametrize("name", NAMES)
def test_attack_a_command_in_the_pipeline_file_that_is_pasted_as_what_is_next(
    project: ProjectFolder, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (project.path / "tuneguard.yaml").read_text()
    text = text.replace('"runs/{run}"', json.dumps(f"{name}/{{run}}")).replace(
        '"oci:registry"', json.dumps(f"oci:{name}")
    )
    project.write("tuneguard.yaml", text)

    assert project("run", "--run", "042", "--json") == 0

    following = json.loads(capfd.readouterr().out)["next"]
    stub = "tuneguard() { printf '%s\\n' \"$@\"; }\n"
    done = subprocess.run(
        ["sh"], input=stub + following, cwd=project.path, capture_output=True, text=True, check=True
    )
    told = [
        "promote",
        f"{name}/042",
        "--to",
        f"oci:{name}:ft-042",
        "--model",
        "support-llama",
        "--run",
        "042",
    ]
    assert done.stdout.splitlines() == told
    assert not list(project.path.rglob("PWNED"))


HELD = ("runs/", "oci:registry", "ft-", "code", "train-config.yaml")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\u202e", "\x9b2J"])
@pytest.mark.parametrize("held", HELD)
def test_attack_a_name_in_the_pipeline_file_that_a_terminal_would_act_on(
    project: ProjectFolder, name: str, held: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (project.path / "tuneguard.yaml").read_text()
    for value in ('"runs/{run}"', '"oci:registry"', '"ft-{run}"', "path: code", "config: train-config.yaml"):
        if held in value:
            key, _, plain = value.rpartition(" ")
            told = json.dumps(plain.strip('"').replace(held, held + name))
            text = text.replace(value, f"{key} {told}")
    project.write("tuneguard.yaml", text)

    assert project("run", "--run", "042") == 2

    said = capfd.readouterr().err
    assert "holds a character that is not shown as it is" in said
    assert said.replace("\n", "").isprintable()
