"""The 28 faults of common sign and verify scripts: what an insider does, and what we say.

`docs/faults.md` lists them. Cosign's manifest form proves integrity at most, so an intact folder is exit code
4 here too.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from steps import Promotion

from tuneguard import files, limits
from tuneguard.cli.app import run
from tuneguard.signing.bundle import read_bundle
from tuneguard.signing.key import make_pair
from tuneguard.signing.signer import open_signer
from tuneguard.trust.verify import verify as judge
from world import company
from world.certificates import authority, leaf
from world.keys import no_passphrase
from world.services import environment

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

INTACT, REFUSED, USAGE, COULD_NOT_LOOK = 4, 1, 2, 3


def tuneguard(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_pair(tmp_path / "k.key", passphrase=None)
    return tmp_path / "k.key"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(100))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def signed(model: Path, key: Path) -> Path:
    assert sign(model, key) == 0
    assert verify(model, key) == INTACT
    return model


def sign(model: Path, key: Path, *more: object) -> int:
    return tuneguard("sign", model, "--form", "cosign", "--key", key, *more)


def verify(model: Path, key: Path, *more: object) -> int:
    signature = model / "manifest.json.sig"
    return tuneguard(
        "verify", model, "--signature", signature, "--public-key", key.with_suffix(".pub"), *more
    )


def resign(model: Path, key: Path, listing: bytes) -> None:
    """The insider has the key once, or another tool signs what it is given."""
    (model / "manifest.json").write_bytes(listing)
    (model / "manifest.json.sig").write_bytes(open_signer(str(key), no_passphrase).sign(listing))


# --- passed verification, though attacked ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling_x.py"], ids=["fault 1", "fault 2"])
def test_fault_01_02_a_file_is_added_beside_the_signed_ones(
    signed: Path, key: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed / name).write_bytes(b"inert")

    assert verify(signed, key) == REFUSED
    assert "S-ADDED" in capsys.readouterr().out


def test_fault_03_a_link_to_a_folder_of_code(signed: Path, key: Path, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (signed / "code").symlink_to(tmp_path / "code")

    assert verify(signed, key) == REFUSED


def test_fault_04_a_signed_file_becomes_a_link_to_the_same_bytes_elsewhere(
    signed: Path, key: Path, tmp_path: Path
) -> None:
    (signed / "config.json").rename(tmp_path / "mine.json")
    (signed / "config.json").symlink_to(tmp_path / "mine.json")

    assert verify(signed, key) == REFUSED


def test_fault_05_a_link_out_of_the_folder_is_not_followed_and_signed(model: Path, key: Path) -> None:
    (model / "hostname").symlink_to("/etc/hostname")

    assert sign(model, key) == REFUSED
    assert not (model / "manifest.json").exists()


def test_fault_06_07_an_older_runs_checkpoint_with_its_evidence_in_this_runs_place(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("042", "042.evidence"):
        (trained.path / "runs" / name).rename(trained.path / "runs" / name.replace("042", "043"))

    assert trained("verify", "runs/043", "--run", "043") == REFUSED
    assert "is about run 042, expected is run 043" in capsys.readouterr().out


def test_fault_08_an_empty_checkpoint_is_not_signed(tmp_path: Path, key: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert sign(tmp_path / "empty", key) == REFUSED


def test_fault_09_an_empty_signed_list_covers_nothing(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resign(model, key, b'{"files": {}, "metadata": {}}')

    assert verify(model, key) == COULD_NOT_LOOK
    said = capsys.readouterr()
    assert "lists no file" in said.err
    assert "Intact" not in said.out + said.err


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret"])
def test_fault_10_a_signed_list_does_not_lead_out_of_the_folder(
    model: Path, key: Path, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (model.parent / "secret").write_text("secret")
    digest = hashlib.sha256(b"secret").hexdigest()
    resign(model, key, json.dumps({"files": {path: digest}, "metadata": {}}).encode())

    assert verify(model, key) == COULD_NOT_LOOK
    said = capsys.readouterr()
    assert "the path" in said.err
    assert "Intact" not in said.out + said.err


def test_fault_11_one_name_with_two_digests_is_not_understood(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = hashlib.sha256(b"{}").hexdigest()
    names = f'"config.json": "{"0" * 64}", "config.json": "{good}"'
    resign(model, key, f'{{"files": {{{names}}}, "metadata": {{}}}}'.encode())

    assert verify(model, key) == COULD_NOT_LOOK
    assert "duplicate key `config.json`" in capsys.readouterr().err


def test_fault_12_a_special_file_is_not_skipped_when_signing(model: Path, key: Path) -> None:
    os.mkfifo(model / "pipe")

    assert sign(model, key) == REFUSED


# --- failed or hung ----------------------------------------------------------------------------------


def test_fault_13_a_fifo_in_place_of_a_signed_file_does_not_hang_the_verifier(
    signed: Path, key: Path
) -> None:
    (signed / "config.json").unlink()
    os.mkfifo(signed / "config.json")

    assert verify(signed, key) == REFUSED


def test_fault_14_signing_twice_leaves_the_first_signature_whole(signed: Path, key: Path) -> None:
    assert sign(signed, key) == USAGE
    assert verify(signed, key) == INTACT


# --- by reading ----------------------------------------------------------------------------------------


def test_fault_15_signing_needs_no_program_of_some_version(model: Path, key: Path) -> None:
    with environment(PATH="/nowhere"):
        assert sign(model, key) == 0


def test_fault_16_a_certificate_that_was_asked_for_is_in_the_signature(model: Path, tmp_path: Path) -> None:
    root = authority("Root")
    holder = leaf(root)
    holder.write(tmp_path, "leaf")
    evidence = tmp_path / "evidence"
    given = ("--key", tmp_path / "leaf.key", "--certificate", tmp_path / "leaf.pem", "--evidence", evidence)

    assert tuneguard("sign", model, *given) == 0
    [made] = evidence.iterdir()
    assert read_bundle(made.read_bytes(), "b").certificates == (holder.der,)


def test_fault_17_nothing_is_sent_anywhere_to_sign_with_a_key(
    model: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("spoke to the network")

    monkeypatch.setattr(socket.socket, "connect", connect)

    assert sign(model, key) == 0
    assert verify(model, key) == INTACT


def test_fault_18_the_list_that_was_verified_is_the_one_that_is_compared(
    signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read once; between two readings somebody could have put another there."""
    seen = []
    real = files.read_bounded

    def read(path, *arguments, **more):
        seen.append(str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(files, "read_bounded", read)

    assert verify(signed, key) == INTACT
    assert sum(path.endswith("manifest.json") for path in seen) == 1


def test_fault_19_a_run_binds_its_data_base_code_configuration_and_time(trained: ProjectFolder) -> None:
    [path] = (trained.path / "runs/042.evidence").glob("provenance-*")
    said = json.loads(read_bundle(path.read_bytes(), "p").payload)["predicate"]

    parameters = said["buildDefinition"]["externalParameters"]
    assert parameters["run"] == "042"
    assert parameters["model"] == "support-llama"
    assert len(said["buildDefinition"]["resolvedDependencies"]) >= 4
    assert said["runDetails"]["metadata"]["finishedOn"]


@pytest.mark.parametrize(
    "change",
    [{"revoked": {"at": "2026-01-02T00:00:00Z", "reason": "lost"}}, {"validUntil": "2026-01-02T00:00:00Z"}],
)
def test_fault_20_a_key_ends_and_serves_one_role(change: dict[str, object]) -> None:
    expected = company.expecting()
    evidence = company.evidence()
    assert judge(company.CHECKPOINT, evidence, company.policy(), expected).passed

    ended = company.policy(lambda text: text["identities"]["ci"].update(change))
    assert not judge(company.CHECKPOINT, evidence, ended, expected).passed


def test_fault_21_a_key_for_statements_signs_no_untyped_list(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained("sign", "runs/042", "--form", "cosign") == REFUSED
    assert "one key never signs both" in capsys.readouterr().err


def test_fault_22_a_key_service_that_is_away_is_not_called_a_wrong_signature(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tuneguard.signing import remote

    monkeypatch.setattr(remote, "sleep", lambda _: None)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with environment(VAULT_ADDR=address, VAULT_TOKEN="t"):
            assert tuneguard("sign", model, "--form", "cosign", "--key", "hashivault://builder") == 3

    assert "cannot be reached" in capsys.readouterr().err


def test_fault_23_every_fault_is_told_and_machines_can_read_it(
    signed: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed / "model.safetensors").write_bytes(b"other")
    (signed / "config.json").unlink()
    (signed / "new.py").write_text("")
    capsys.readouterr()

    assert verify(signed, key, "--json") == REFUSED
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {each["rule"] for each in found} == {"S-CHANGED", "S-MISSING", "S-ADDED"}


def test_fault_24_a_crash_between_the_two_files_leaves_nothing_that_verifies_and_is_mended(
    signed: Path, key: Path
) -> None:
    (signed / "manifest.json.sig").unlink()
    assert verify(signed, key) == USAGE

    assert sign(signed, key) == 0
    assert verify(signed, key) == INTACT


def test_fault_25_what_somebody_else_put_there_is_not_signed_as_the_runs(project: ProjectFolder) -> None:
    """A folder that the run did not make itself is none of its output."""
    planted = project.path / "runs/042"
    planted.mkdir(parents=True)
    (planted / "model.safetensors").write_bytes(b"planted")

    assert project("run", "--run", "042") == REFUSED
    assert not (project.path / "runs/042.evidence").exists()


def test_fault_26_files_are_read_in_large_blocks() -> None:
    """`bench/hashing.py` has the figures."""
    assert limits.HASH_BUFFER >= 32 * 8192


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"[]",
        b"{}",
        b'{"files": 7, "metadata": {}}',
        b'{"files": {"a": 7}, "metadata": {}}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_fault_27_a_malformed_list_is_one_sentence_and_no_traceback(
    model: Path, key: Path, listing: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    resign(model, key, listing)

    assert verify(model, key) == COULD_NOT_LOOK
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said


@pytest.mark.sandbox
def test_fault_28_what_is_judged_and_pushed_is_a_copy_that_nobody_else_can_write(
    trained: ProjectFolder,
) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    weights = trained.path / "runs/042/model.safetensors"
    weights.parent.chmod(0o700)
    weights.chmod(0o600)
    weights.write_bytes(b"changed after the copy")

    assert promotion.verify() == 0
    assert promotion.copy_path.stat().st_mode & 0o077 == 0
