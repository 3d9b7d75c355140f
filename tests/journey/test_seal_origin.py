"""A seal states where its files are from: another's signature that was verified, data they were made from."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from projects import MODEL, SEAL

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.attest.predicates import seal
from tuneguard.attest.statement import Sha256Set, Statement
from tuneguard.signing.bundle import read_bundle
from tuneguard.signing.key import make_pair, read_public

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import ProjectFolder

ROW = '{"prompt": "ticket", "completion": " answer"}\n'


def sealing(project: ProjectFolder, folder: str, *more: object, name: str = "more") -> int:
    return project("seal", folder, "--as", "dataset", "--name", name, *SEAL, *map(str, more))


def sealed(folder: Path) -> tuple[seal.Seal, str]:
    """The seal beside a folder, and the digest of its bundle."""
    [piece] = [piece for piece in evidence.read(evidence.folder_of(folder)) if piece.kind == "seal"]
    said = Statement.decode(read_bundle(piece.data, "seal").payload, "seal")
    return seal.PREDICATE.read(said, "seal"), piece.sha256


# --- Signatures by others ----------------------------------------------------------------------------


@pytest.fixture
def signed(project: ProjectFolder) -> Path:
    """A folder with a signature beside its files, as ``model_signing`` puts it there: ``model.sig``."""
    project.write("data/more/a.jsonl", ROW)
    make_pair(project.path / "publisher.key", passphrase=None)
    assert project("sign", "data/more", "--key", "publisher.key", "--quiet") == 0
    folder = project.path / "data/more"
    [made] = evidence.folder_of(folder).iterdir()
    made.rename(folder / "model.sig")
    return folder


def test_a_signature_that_lies_beside_the_files_is_verified_and_recorded(
    project: ProjectFolder, signed: Path
) -> None:
    named = ("--signature", "data/more/model.sig", "--public-key", "publisher.pub")

    assert sealing(project, "data/more", *named) == 0

    body, _ = sealed(signed)
    assert body.signed is not None
    assert body.signed.digest.sha256 == hashlib.sha256((signed / "model.sig").read_bytes()).hexdigest()
    assert body.signed.signer == f"key {read_public(project.path / 'publisher.pub').keyid}"
    assert [file.path for file in body.files] == ["a.jsonl", "model.sig"]


@pytest.mark.parametrize("attack", ["changed", "added", "removed", "another key"])
def test_attack_files_that_are_not_as_they_were_signed_are_not_sealed(
    project: ProjectFolder, signed: Path, capsys: pytest.CaptureFixture[str], attack: str
) -> None:
    key = "publisher.pub"
    if attack == "changed":
        (signed / "a.jsonl").write_text(ROW * 2)
    elif attack == "added":
        (signed / "b.jsonl").write_text(ROW)
    elif attack == "removed":
        (signed / "a.jsonl").rename(signed / "b.jsonl")
    else:
        make_pair(project.path / "another.key", passphrase=None)
        key = "another.pub"

    assert sealing(project, "data/more", "--signature", "data/more/model.sig", "--public-key", key) == 1

    assert "is not as the key" in capsys.readouterr().err
    assert not any(evidence.folder_of(signed).iterdir())


def test_a_signer_without_a_signature_and_the_reverse_are_usage_errors(
    project: ProjectFolder, signed: Path
) -> None:
    assert sealing(project, "data/more", "--public-key", "publisher.pub") == 2
    assert sealing(project, "data/more", "--signature", "data/more/model.sig") == 2
    assert not any(evidence.folder_of(signed).iterdir())


# --- What the files were made from -------------------------------------------------------------------


@pytest.fixture
def raw(project: ProjectFolder) -> Path:
    project.write("data/raw/a.jsonl", ROW * 2)
    project.write("tools/clean/clean.py", "print('cleaned')\n")
    assert sealing(project, "data/raw", "--quiet", name="raw") == 0
    return project.path / "data/raw"


def test_a_seal_names_the_seals_and_the_code_that_its_files_were_made_from(
    project: ProjectFolder, raw: Path
) -> None:
    project.write("data/more/a.jsonl", ROW)
    body, bundle = sealed(raw)

    assert sealing(project, "data/more", "--derived-from", "data/raw", "--transform", "tools/clean") == 0

    derived = sealed(project.path / "data/more")[0].derived
    assert derived is not None
    [origin] = derived.inputs
    assert (origin.name, origin.version) == ("raw", "1")
    assert origin.digest.dir_hash == body.manifest.digest
    assert origin.seal == Sha256Set(bundle)
    assert derived.transform is not None
    assert derived.transform.digest == {"dirHash": hash_tree(project.path / "tools/clean").digest}


def test_an_input_that_was_sealed_inside_and_code_of_one_file_are_named_too(project: ProjectFolder) -> None:
    project.write("data/raw/a.jsonl", ROW * 2)
    script = project.write("clean.py", "print('cleaned')\n")
    before = hash_tree(project.path / "data/raw").digest
    assert sealing(project, "data/raw", "--inside", "--quiet", name="raw") == 0
    project.write("data/more/a.jsonl", ROW)

    assert sealing(project, "data/more", "--derived-from", "data/raw", "--transform", "clean.py") == 0

    derived = sealed(project.path / "data/more")[0].derived
    assert derived is not None
    assert derived.inputs[0].digest.dir_hash == before
    assert derived.transform == seal.Transform(
        "clean.py", {"sha256": hashlib.sha256(script.read_bytes()).hexdigest()}
    )


@pytest.mark.parametrize("attack", ["changed", "not sealed", "sealed by nobody"])
def test_attack_an_input_that_no_seal_counts_for(project: ProjectFolder, raw: Path, attack: str) -> None:
    project.write("data/more/a.jsonl", ROW)
    if attack == "changed":
        (raw / "a.jsonl").write_text(ROW * 3)
    elif attack == "not sealed":
        evidence.folder_of(raw).rename(project.path / "away")
    else:
        [bundle] = evidence.folder_of(raw).glob("seal-*")
        text = bundle.read_text()
        made = json.loads(text)
        made["dsseEnvelope"]["signatures"][0]["sig"] = made["dsseEnvelope"]["signatures"][0]["sig"][::-1]
        bundle.unlink()
        evidence.write(evidence.folder_of(raw), "seal", json.dumps(made).encode())

    assert sealing(project, "data/more", "--derived-from", "data/raw") == 1

    assert not evidence.folder_of(project.path / "data/more").exists()


def test_code_without_data_that_it_was_run_on_is_a_usage_error(project: ProjectFolder, raw: Path) -> None:
    assert sealing(project, "data/raw", "--transform", "tools/clean") == 2


def test_a_trace_of_data_goes_back_to_what_they_were_made_from(
    project: ProjectFolder, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("data/more/a.jsonl", ROW)
    sealing(project, "data/more", "--derived-from", "data/raw", "--transform", "tools/clean", "--quiet")
    capsys.readouterr()

    assert project("trace", "data/more", "--json") == 0

    [derived] = json.loads(capsys.readouterr().out)["facts"]["derived"]
    assert (derived["name"], derived["tree"]) == ("more", hash_tree(project.path / "data/more").digest)
    assert [(each["role"], each["name"]) for each in derived["from"]] == [
        ("input", "raw"),
        ("transform", "clean"),
    ]
    assert derived["from"][0]["digest"] == {"dirHash": hash_tree(raw).digest}


@pytest.mark.sandbox
@pytest.mark.parametrize("where", ["beside", "inside"])
def test_a_trace_of_a_checkpoint_crosses_preprocessing(
    project: ProjectFolder, raw: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    for file in evidence.folder_of(project.path / "data/train").iterdir():
        file.unlink()
    more = ("--derived-from", "data/raw", "--transform", "tools/clean", "--quiet")
    inside = ("--inside",) if where == "inside" else ()
    assert sealing(project, "data/train", *more, *inside, name=f"{MODEL}-train") == 0
    assert project("run", "--run", "042", "--quiet") == 0
    capsys.readouterr()

    assert project("trace", "runs/042") == 0
    said = capsys.readouterr()
    assert project("trace", "runs/042", "--format", "html", "--output", "trace.html") == 0

    line = f"raw@1  {hash_tree(raw).digest[:12]}"
    assert line in said.out + said.err
    page = (project.path / "trace.html").read_text()
    assert f"input of {MODEL}-train@1" in page
    assert "stated by the seal" in page
