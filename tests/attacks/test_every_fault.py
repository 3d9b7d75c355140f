"""One entry that no tree can hold hides nothing: what was changed, taken away or added is told beside it.

Whoever writes to a folder can put an empty folder or a link into it. Every command that judges a tree looks
at the rest of it all the same.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest
from steps import MODEL, Promotion

from tuneguard import limits
from tuneguard.cli.app import run
from tuneguard.signing.key import make_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projects import ProjectFolder

RULES = {
    "T-EMPTY-DIR": lambda folder: (folder / "logs").mkdir(),
    "T-SYMLINK": lambda folder: (folder / "link").symlink_to("config.json"),
    "T-SPECIAL": lambda folder: os.mkfifo(folder / "fifo"),
    "T-NAME": lambda folder: (folder / "model\u202egnp.bin").touch(),
    "T-COLLISION": lambda folder: (folder / "CONFIG.json").write_text("{}"),
    "T-DEPTH": lambda folder: (folder / "/".join("d" * (limits.TREE_DEPTH + 1))).mkdir(parents=True),
}


def damage(folder: Path, changed: str) -> None:
    """An empty folder and a link, beside a file that is changed and one that is added."""
    folder.chmod(0o700)
    for path in folder.iterdir():
        path.chmod(0o600)
    (folder / changed).write_bytes((folder / changed).read_bytes() + b" ")
    (folder / "modeling.py").write_text("print(1)\n")
    (folder / "logs").mkdir()
    (folder / "link").symlink_to("modeling.py")


def told(said: str) -> set[tuple[str, str]]:
    """Rule and path of each finding of a result in JSON."""
    return {(each["rule"], (each["location"] or {}).get("path", "")) for each in json.loads(said)["findings"]}


def refused(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], *arguments: str
) -> set[tuple[str, str]]:
    capsys.readouterr()
    assert project(*arguments, "--json") == 1
    return told(capsys.readouterr().out)


OURS = {("T-EMPTY-DIR", "logs"), ("T-SYMLINK", "link"), ("V09", "modeling.py")}
"""What each judge of a `damage`d tree tells, beside the file that was changed."""


# --- A signature alone -------------------------------------------------------------------------------


@pytest.fixture
def signed(tmp_path: Path) -> Callable[[str], list[str]]:
    """Signs a small model in a form; returns the command that verifies it."""

    def sign(form: str) -> list[str]:
        make_pair(tmp_path / "k.key", passphrase=None)
        model = tmp_path / "model"
        model.mkdir()
        for name in ("a.bin", "b.bin"):
            (model / name).write_bytes(name.encode() * 100)
        (model / "config.json").write_text("{}")
        assert run(["sign", str(model), "--form", form, "--key", str(tmp_path / "k.key")]) == 0
        beside = [*(tmp_path / "model.evidence").glob("*"), model / "manifest.json.sig"]
        return ["verify", str(model), "--signature", str(beside[0]), "--public-key", str(tmp_path / "k.pub")]

    return sign


@pytest.mark.parametrize("form", ["oms", "cosign"])
@pytest.mark.parametrize("rule", RULES)
def test_attack_an_entry_that_no_tree_can_hold_hides_which_files_were_changed(
    signed: Callable[[str], list[str]],
    tmp_path: Path,
    rule: str,
    form: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, model = signed(form), tmp_path / "model"
    with (model / "a.bin").open("ab") as file:
        file.write(b"x")
    (model / "b.bin").unlink()
    (model / "modeling.py").write_text("print(1)\n")
    RULES[rule](model)
    capsys.readouterr()

    assert run([*command, "--json"]) == 1

    said = capsys.readouterr().out
    assert {("S-CHANGED", "a.bin"), ("S-MISSING", "b.bin"), ("S-ADDED", "modeling.py")} <= told(said)
    assert rule in {found for found, _ in told(said)}
    assert json.loads(said)["subjects"][0]["digest"] is None


@pytest.mark.parametrize("rule", RULES)
def test_attack_an_entry_that_no_tree_can_hold_alone_still_refuses(
    signed: Callable[[str], list[str]], tmp_path: Path, rule: str
) -> None:
    command = signed("oms")
    RULES[rule](tmp_path / "model")

    assert run(command) == 1


def test_attack_a_thousand_links_do_not_end_the_list(
    signed: Callable[[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, model = signed("oms"), tmp_path / "model"
    (model / "b.bin").unlink()
    for number in range(limits.TREE_FAULTS * 2):
        (model / f"0-{number}").symlink_to("a.bin")
    capsys.readouterr()

    assert run(command) == 1

    said = capsys.readouterr().out
    assert "b.bin" in said
    assert f"holds {limits.TREE_FAULTS} more such entries" in said


def test_attack_a_signed_file_replaced_by_a_socket(
    signed: Callable[[str], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, model = signed("oms"), tmp_path / "model"
    (model / "b.bin").unlink()
    monkeypatch.chdir(model)  # the path of a socket is at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("b.bin")
    capsys.readouterr()

    assert run([*command, "--json"]) == 1

    assert told(capsys.readouterr().out) == {("T-SPECIAL", "b.bin"), ("S-MISSING", "b.bin")}


def test_what_no_verifier_looks_at_is_told_beside_the_faults_of_a_tree_to_be_signed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pair(tmp_path / "k.key", passphrase=None)
    (tmp_path / "model/logs").mkdir(parents=True)
    (tmp_path / "model/.gitattributes").touch()

    assert run(["sign", str(tmp_path / "model"), "--key", str(tmp_path / "k.key"), "--json"]) == 1

    assert told(capsys.readouterr().out) == {("T-EMPTY-DIR", "logs"), ("S-OVERLOOKED", ".gitattributes")}
    assert not (tmp_path / "model.evidence").exists()


# --- Evidence, a policy, and all that a project judges -----------------------------------------------


@pytest.mark.sandbox
@pytest.mark.parametrize("purpose", [("--for", "promote", "--run", "042"), ("--for", "load"), ()])
def test_attack_an_empty_folder_hides_a_changed_checkpoint_from_verify(
    trained: ProjectFolder, purpose: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(trained.path / "runs/042", "config.json")

    found = refused(trained, capsys, "verify", "runs/042", *purpose, *(("--model", MODEL) if purpose else ()))

    expected = OURS | {("V07", "config.json")}
    if "load" in purpose:  # no verdict was made, and the signature is not asked for
        expected = {each for each in OURS if each[0][0] == "T"}
    assert expected <= found


@pytest.mark.sandbox
def test_attack_an_empty_folder_hides_a_changed_checkpoint_from_the_promotion(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(trained.path / "runs/042", "config.json")

    promoting = ("--to", "oci:registry:ft-042", "--model", MODEL, "--run", "042")
    assert refused(trained, capsys, "promote", "runs/042", *promoting) >= OURS | {("V07", "config.json")}

    assert not list((trained.path / ".tuneguard/attempts").iterdir())
    assert not (trained.path / "registry").exists()


@pytest.mark.sandbox
@pytest.mark.parametrize("command", ["decide", "push"])
def test_attack_an_empty_folder_put_into_what_was_judged(
    trained: ProjectFolder, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Promotion(trained).passed()
    before = sorted((trained.path / "runs/042.evidence").iterdir())
    damage(trained.path / "runs/042", "config.json")

    to = ("--to", "oci:registry:ft-042", "--model", MODEL, "--run", "042")
    found = refused(trained, capsys, command, "runs/042", *to)

    assert {("T-EMPTY-DIR", "logs"), ("T-SYMLINK", "link")} <= found
    assert any(rule.startswith("V") for rule, _ in found)
    assert sorted((trained.path / "runs/042.evidence").iterdir()) == before


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("folder", "changed"), [("data/train", "tickets.jsonl"), ("models/base", "config.json")]
)
def test_attack_an_empty_folder_hides_poisoned_inputs_from_the_run(
    project: ProjectFolder, folder: str, changed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(project.path / folder, changed)

    assert refused(project, capsys, "run", "--run", "042") >= OURS | {("V07", changed)}

    assert not (project.path / "runs/042.evidence").exists()


@pytest.mark.sandbox
def test_attack_an_empty_folder_hides_an_edit_from_resuming(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(trained.path / "runs/042", "config.json")

    found = refused(trained, capsys, "run", "--run", "043", "--resume", "runs/042")

    assert found >= OURS | {("V07", "config.json")}


@pytest.mark.parametrize("bundle", ["as it is", "a link"])
def test_attack_an_empty_folder_hides_poisoned_data_from_verify_data(
    project: ProjectFolder, bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.path / "data/inside"
    shutil.copytree(project.path / "data/train", folder)
    said = ("--source", "tests", "--license", "CC0-1.0", "--classification", "internal", "--version", "1")
    assert (
        project("seal", "data/inside", "--as", "dataset", "--name", f"{MODEL}-train", *said, "--inside") == 0
    )
    damage(folder, "tickets.jsonl")
    if bundle == "a link":
        (folder / "manifest.json").rename(project.path / "elsewhere.json")
        (folder / "manifest.json").symlink_to(project.path / "elsewhere.json")

    files = ("--manifest", "data/inside/manifest.json", "--checksums", "data/inside/checksums.sha256")
    assert refused(project, capsys, "verify-data", *files) >= OURS | {("V07", "tickets.jsonl")}


def test_attack_bytes_that_are_no_evidence_do_not_hide_the_faults(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.path / "data/train"
    damage(folder, "tickets.jsonl")
    for number in range(limits.EVIDENCE_FILES + 1):
        (project.path / f"data/train.evidence/seal-{number}.sigstore.json").touch()

    found = refused(project, capsys, "verify", "data/train", "--for", "train", "--model", MODEL)

    assert {("T-EMPTY-DIR", "logs"), ("T-SYMLINK", "link")} <= found


def test_a_sound_tree_is_told_as_before(project: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert project("verify", "data/train", "--for", "train", "--model", MODEL, "--json") == 0

    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["subjects"][0]["digest"] == said["facts"]["tree"]
