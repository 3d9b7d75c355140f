"""Pulling: what a registry, or whoever writes to it, can do to a model on its way."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from steps import MODEL, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import ProjectFolder

pytestmark = pytest.mark.sandbox
REFERENCE = "oci:registry:ft-042"


def nothing_left(project: ProjectFolder) -> bool:
    """No folder, no evidence, no half-written leftover of a pull."""
    return not [path.name for path in project.path.iterdir() if "served" in path.name]


def blob_of(project: ProjectFolder, name: str) -> Path:
    """The blob of a file of the model in the layout."""
    import hashlib

    data = (project.path / "runs/042" / name).read_bytes()
    return project.path / "registry/blobs/sha256" / hashlib.sha256(data).hexdigest()


def test_pull_brings_the_same_bytes_and_their_evidence(pushed: ProjectFolder) -> None:
    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 0

    for path in (pushed.path / "runs/042").iterdir():
        assert (pushed.path / "served" / path.name).read_bytes() == path.read_bytes()
    assert pushed("verify", "served", "--for", "load", "--model", MODEL, "--run", "042") == 0


def test_pull_by_digest(pushed: ProjectFolder) -> None:
    digest = verdicts(pushed)[0]["subject"][1]["digest"]["sha256"]

    assert pushed("pull", f"oci:registry@sha256:{digest}", "served", "--model", MODEL) == 0


def test_pull_by_tag_says_which_release_it_followed(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed("pull", REFERENCE, "served", "--model", MODEL)

    assert "of ft-042, to be renewed before" in capsys.readouterr().out


def test_attack_a_blob_swapped_in_the_registry(pushed: ProjectFolder) -> None:
    blob = blob_of(pushed, "model.safetensors")
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-4] + b"\0\0\0\0")

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 1
    assert nothing_left(pushed)


def test_attack_a_blob_cut_short(pushed: ProjectFolder) -> None:
    blob = blob_of(pushed, "model.safetensors")
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-4])

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 1
    assert nothing_left(pushed)


def test_a_missing_blob_is_could_not_look(pushed: ProjectFolder) -> None:
    blob_of(pushed, "model.safetensors").unlink()

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) in (1, 3)
    assert nothing_left(pushed)


def test_attack_evidence_stripped_from_the_registry(pushed: ProjectFolder) -> None:
    index = pushed.path / "registry/index.json"
    plain = json.loads(index.read_text())
    plain["manifests"] = [
        entry
        for entry in plain["manifests"]
        if "annotations" in entry and "org.opencontainers.image.ref.name" in entry["annotations"]
    ]
    index.chmod(0o600)
    index.write_text(json.dumps(plain))

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 1
    assert nothing_left(pushed)


def test_attack_another_run_expected_than_the_one_that_was_promoted(pushed: ProjectFolder) -> None:
    assert pushed("pull", REFERENCE, "served", "--model", MODEL, "--run", "099") == 1
    assert nothing_left(pushed)


def test_a_folder_that_is_there_is_never_pulled_into(pushed: ProjectFolder) -> None:
    (pushed.path / "served").mkdir()

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 2


def test_an_unknown_tag_is_usage(pushed: ProjectFolder) -> None:
    assert pushed("pull", "oci:registry:nothing", "served", "--model", MODEL) == 2
    assert nothing_left(pushed)


def test_a_layout_needs_a_model(pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert pushed("pull", REFERENCE, "served") == 2
    assert "--model" in capsys.readouterr().err


def test_trace_tells_what_a_pulled_model_was_made_from(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed("pull", REFERENCE, "served", "--model", MODEL)
    capsys.readouterr()

    assert pushed("trace", "served", "--json") == 0

    facts = json.loads(capsys.readouterr().out)["facts"]
    assert facts["lineage"]["run"] == "042"
    assert {item["role"] for item in facts["lineage"]["from"]} == {"data", "base", "code", "config"}
    assert [(entry["event"], entry["command"]) for entry in facts["history"]][-3:] == [
        ("tagged", "push"),
        ("begun", "pull"),
        ("done", "pull"),
    ]


def test_trace_finds_a_tree_by_its_manifests_digest(pushed: ProjectFolder) -> None:
    digest = verdicts(pushed)[0]["subject"][1]["digest"]["sha256"]

    assert pushed("trace", f"sha256:{digest}") == 0


def test_trace_finds_a_tree_by_the_digits_that_every_output_shows(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    subjects = verdicts(pushed)[0]["subject"]
    for digest in (subjects[0]["digest"]["dirHash"], subjects[1]["digest"]["sha256"]):
        capsys.readouterr()
        assert pushed("trace", digest[:12], "--json") == 0
        assert json.loads(capsys.readouterr().out)["facts"]["tree"] == subjects[0]["digest"]["dirHash"]

    assert pushed("trace", "0" * 12) == 3


def test_trace_of_an_unknown_digest_could_not_look(pushed: ProjectFolder) -> None:
    assert pushed("trace", "0" * 64) == 3


def meddled(monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]) -> None:
    """Let somebody at the half-written folder, after its last byte was verified and before its name."""
    from tuneguard.artifact import durable

    flush = durable.flush

    def meddling(root: int, *arguments: Any, **more: Any) -> None:
        flush(root, *arguments, **more)
        change(Path(os.readlink(f"/proc/self/fd/{root}")))

    monkeypatch.setattr(durable, "flush", meddling)


def swap(folder: Path) -> None:
    """Other bytes under the same name, of the same size and with the same time."""
    file = folder / "model.safetensors"
    before = file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [swap, lambda folder: (folder / "added.py").write_text("inert")], ids=["swapped", "added"]
)
def test_attack_the_half_written_folder_is_changed_before_it_gets_its_name(
    pushed: ProjectFolder, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    meddled(monkeypatch, change)

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 1
    assert nothing_left(pushed)


def test_a_file_system_that_moves_time_stamps_after_a_flush_is_answered_by_hashing(
    pushed: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    meddled(monkeypatch, lambda folder: os.utime(folder / "model.safetensors"))

    assert pushed("pull", REFERENCE, "served", "--model", MODEL) == 0
