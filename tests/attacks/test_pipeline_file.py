"""The pipeline file is the adversary's: what it asks for, it does not get."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from projects import Project

pytestmark = pytest.mark.sandbox

STEAL = """\
import pathlib, shutil, sys
shutil.copytree(pathlib.Path(sys.argv[0]).parent, pathlib.Path(sys.argv[4]) / "loot")
"""


def asked(project: Project, old: str, new: str) -> None:
    text = (project.path / "tuneguard.yaml").read_text()
    assert old in text
    project.write("tuneguard.yaml", text.replace(old, new))


@pytest.mark.parametrize("where", ["home", "project", "link"])
def test_attack_the_folder_of_the_keys_named_as_the_code(
    project: Project, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = Path(os.environ["TUNEGUARD_HOME"]) / "keys/support-llama"
    if where == "project":
        keys = keys.rename(project.path / "keys")
    (keys / "train.py").write_text(STEAL)
    named = str(keys)
    if where == "link":
        (project.path / "shared").symlink_to(keys.parent)
        named = "shared/support-llama"
    asked(project, "code: {path: code}", f"code: {{path: {named}}}")
    builder = ("--key", f"builder={keys}/builder.key")

    assert project("run", "--run", "042", *builder) == 1

    assert ("private key" if where == "project" else "in the project's folder") in capsys.readouterr().err
    assert not any(project.path.glob("runs/042/*"))


def test_attack_a_key_named_as_the_configuration(project: Project) -> None:
    root = Path(os.environ["TUNEGUARD_HOME"]) / "root.key"
    asked(project, "config: train-config.yaml", f"config: {root}")

    assert project("run", "--run", "042") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("code: {path: code}", "code: {path: data/eval}"),
        ("code: {path: code}", "code: {path: data}"),
        ("config: train-config.yaml", "config: data/eval/accuracy.jsonl"),
    ],
)
def test_attack_the_evaluation_set_shown_to_the_training(
    project: Project, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(project, old, new)

    assert project("run", "--run", "042") == 1
    assert "the evaluation set" in capsys.readouterr().err


@pytest.mark.parametrize(
    "path", ["../startup-{run}", "runs/{run}/../../../startup", ".tuneguard/reports/{run}", "link/{run}"]
)
def test_attack_a_checkpoint_written_where_programs_are_started_from(project: Project, path: str) -> None:
    (project.path / "link").symlink_to(project.path.parent)
    before = set(project.path.parent.rglob("*"))
    asked(project, "runs/{run}", path)

    assert project("run", "--run", "042") == 1

    made = {path.relative_to(project.path.parent) for path in set(project.path.parent.rglob("*")) - before}
    assert {str(path) for path in made} <= {"project/.tuneguard", "project/.tuneguard/ledger.db"}


def test_attack_a_run_id_that_leads_out_of_the_runs(project: Project) -> None:
    assert project("train", "--run", "../../../outside") == 2
    assert not (project.path.parent / "outside").exists()


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


def oid(text: str) -> bytes:
    return der(0x06, bytes.fromhex(text))


def number(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


PBKDF2 = der(0x30, oid("2a864886f70d01050c"), der(0x30, der(0x04, bytes(8)), number(2**31 - 1)))
SCRYPT = der(
    0x30,
    oid("2b06010401da47040b"),
    der(0x30, der(0x04, bytes(8)), number(2**20), number(8), number(2**20)),
)


@pytest.mark.parametrize("derivation", [PBKDF2, SCRYPT])
def test_attack_a_key_that_takes_for_ever_to_open(
    project: Project, derivation: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    cipher = der(0x30, oid("60864801650304012a"), der(0x04, bytes(16)))
    scheme = der(0x30, oid("2a864886f70d01050d"), der(0x30, derivation, cipher))
    body = base64.b64encode(der(0x30, scheme, der(0x04, bytes(16)))).decode()
    label = "ENCRYPTED PRIVATE KEY"
    key = project.write("slow.key", f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    secret = project.write("secret", "x")
    asked(project, "registry:", f"keys: {{builder: {key}}}\nregistry:")

    assert project("sign", "models/base", "--passphrase-file", str(secret)) == 3
    assert "for ever" in capsys.readouterr().err
