"""16 ways in which model_signing 1.1.1 says "verified" of an attacked model; what we say of the same.

`docs/faults.md` lists them. `tests/interop` and `tests/peers` run the real program; here the signatures are
what it writes, made by our own writer with the same members.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from steps import Promotion

from tuneguard import files
from tuneguard.artifact.digest import hash_tree
from tuneguard.attest.foreign import range_hasher, verify_foreign
from tuneguard.attest.predicates import oms
from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.cli.app import run
from tuneguard.errors import ChangedWhileRead, ForbiddenTree, NotUnderstood, TuneguardError
from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.signing.key import make_pair
from tuneguard.trust.verify import verify as judge
from world import company, users
from world.keys import signer

if TYPE_CHECKING:
    from projects import ProjectFolder

SIGNER = signer()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(100))
    (folder / "config.json").write_text("{}")
    return folder


def signature(model: Path, **changes: object) -> oms.Signature:
    """What its signer lists, with members as it may write them."""
    listed = tuple((file.path, file.sha256) for file in hash_tree(model).files)
    return oms.Signature.of(**{"files": listed, **changes})  # type: ignore[arg-type]


def found(model: Path, signed: oms.Signature) -> list[tuple[str, str]]:
    """Rule and path of everything that we say about the model."""
    data = make_bundle(SIGNER, PAYLOAD_TYPE, oms.statement("model", signed).encode())
    manifest = hash_tree(model)
    with files.directory(model) as root, range_hasher(root, manifest) as ranges:
        findings = verify_foreign(manifest, read_bundle(data, "b"), SIGNER.public_key, hash_ranges=ranges)
    return [(finding.rule, finding.location.path) for finding in findings]


@pytest.mark.parametrize("name", [".git/hooks/x", ".github/x.py", ".gitattributes", ".gitignore"])
def test_fault_01_code_under_gits_names_is_seen(model: Path, name: str) -> None:
    signed = signature(model)
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_text("code")

    assert found(model, signed) == [("S-HIDDEN", name)]


def test_fault_02_a_folder_of_code_in_the_place_of_the_ignored_signature(model: Path) -> None:
    signed = signature(model, ignore_paths=("model.sig",))
    (model / "model.sig").mkdir()
    (model / "model.sig/__init__.py").write_text("code")

    assert found(model, signed) == [("S-HIDDEN", "model.sig/__init__.py")]


def test_fault_03_a_linked_folder_of_code_is_refused_whatever_the_signature_allows(
    model: Path, tmp_path: Path
) -> None:
    signed = signature(model, allow_symlinks=True)
    (tmp_path / "code").mkdir()
    (model / "code").symlink_to(tmp_path / "code")

    with pytest.raises(ForbiddenTree):
        found(model, signed)


def test_fault_04_a_folder_that_cannot_be_read_is_not_passed_over() -> None:
    room = Path(tempfile.mkdtemp())
    try:
        room.chmod(0o755)
        (room / "model/hidden").mkdir(parents=True)
        (room / "model/hidden/evil.py").write_text("code")
        (room / "model/hidden").chmod(0o711 if os.geteuid() == 0 else 0o311)
        assert users.said_as(users.SOMEBODY, lambda: hash_tree(room / "model")).startswith("CannotLook: ")
    finally:
        (room / "model/hidden").chmod(0o700)
        shutil.rmtree(room)


def test_fault_05_an_empty_file_that_shards_cannot_list_is_seen_and_a_sharded_model_verifies(
    model: Path,
) -> None:
    data = {path.name: path.read_bytes() for path in model.iterdir()}
    shards = tuple(
        (f"{name}:0:{len(content)}", hashlib.sha256(content).hexdigest())
        for name, content in sorted(data.items())
    )
    signed = oms.Signature.of(shards, method="shards", shard_size=1000)
    assert found(model, signed) == []

    (model / "__init__.py").touch()
    assert found(model, signed) == [("S-HIDDEN", "__init__.py")]


def test_fault_06_a_renamed_file_is_another_model(model: Path) -> None:
    signed, before = signature(model), hash_tree(model).digest
    (model / "config.json").rename(model / "config.py")

    assert signature(model).root == signed.root, "the root that others bind to is the same"
    assert hash_tree(model).digest != before
    assert found(model, signed) == [("S-ADDED", "config.py"), ("S-MISSING", "config.json")]


def test_fault_07_a_file_swapped_while_another_is_still_hashed(model: Path) -> None:
    (model / "big.safetensors").write_bytes(bytes(96 << 20))
    signed = signature(model)

    class Swapping:
        """Acts in the middle of the hashing."""

        def emit(self, *_: object) -> None:
            pass

        def task(self, *arguments: object, **more: object) -> Swapping:
            return self

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, _: int) -> None:
            (model / "config.json").write_text('{"evil": 1}')

    try:
        seen = hash_tree(model, reporter=Swapping())  # type: ignore[arg-type]
    except ChangedWhileRead:
        return
    data = make_bundle(SIGNER, PAYLOAD_TYPE, oms.statement("model", signed).encode())
    findings = verify_foreign(seen, read_bundle(data, "b"), SIGNER.public_key)
    assert [finding.rule for finding in findings] == ["S-CHANGED"]


@pytest.mark.sandbox
def test_fault_08_what_is_swapped_after_the_verification_does_not_go_on(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.verify() == 0
    weights = promotion.copy_path / "model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(b"swapped")

    assert promotion.scan() == 1


def test_fault_09_10_an_old_or_renamed_model_with_its_own_signature_is_intact_and_nothing_more(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pair(tmp_path / "k.key", passphrase=None)
    assert run(["sign", str(model), "--key", str(tmp_path / "k.key"), "--evidence", str(tmp_path / "e")]) == 0
    [made] = (tmp_path / "e").iterdir()
    renamed = model.rename(tmp_path / "the-new-model")

    assert (
        run(["verify", str(renamed), "--signature", str(made), "--public-key", str(tmp_path / "k.pub")]) == 4
    )
    assert "integrity only" in capsys.readouterr().out
    evidence = company.evidence()
    assert judge(company.CHECKPOINT, evidence, company.policy(), company.expecting()).passed
    other = judge(company.CHECKPOINT, evidence, company.policy(), company.expecting(run="043"))
    assert not other.passed


def test_fault_11_an_empty_model_neither_signs_nor_verifies(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TuneguardError, match="empty"):
        oms.sign(SIGNER, "empty", hash_tree(tmp_path / "empty"))
    with pytest.raises(NotUnderstood, match="lists no file"):
        found(model, oms.Signature.of(()))


@pytest.mark.sandbox
def test_fault_12_13_mode_bits_and_outside_names_do_not_reach_what_is_judged(
    trained: ProjectFolder, tmp_path: Path
) -> None:
    """A file of mode 4777 with a second name outside: the copy that is judged and pushed has neither."""
    weights = trained.path / "runs/042/model.safetensors"
    os.link(weights, tmp_path / "outside")
    weights.chmod(0o4777)
    promotion = Promotion(trained)
    assert promotion.copy() == 0

    copied = (promotion.copy_path / "model.safetensors").stat()
    assert copied.st_nlink == 1
    assert copied.st_mode & 0o6022 == 0


def test_fault_14_an_empty_folder_is_refused(model: Path) -> None:
    (model / "empty").mkdir()

    with pytest.raises(ForbiddenTree):
        hash_tree(model)


@pytest.mark.parametrize(
    "names",
    [("caf\u00e9", "cafe\u0301"), ("a\nb",), ("a\x1b[32mVerification succeeded",), (b"\xff\xfe",)],
    ids=["NFC and NFD", "newline", "ANSI", "not UTF-8"],
)
def test_fault_15_names_that_two_readers_take_differently_are_refused_and_printed_safely(
    model: Path, names: tuple[str | bytes, ...]
) -> None:
    for name in names:
        (Path(os.fsdecode(os.path.join(os.fsencode(model), os.fsencode(name))))).write_text("x")

    with pytest.raises(ForbiddenTree) as caught:
        hash_tree(model)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fault_16_no_option_lets_unsigned_files_pass_nor_reads_outside(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed = signature(model)
    (model / "extra.py").write_text("code")
    data = make_bundle(SIGNER, PAYLOAD_TYPE, oms.statement("model", signed).encode())
    (tmp_path / "s").write_bytes(data)
    (tmp_path / "k.pub").write_bytes(SIGNER.public_key.pem)

    ask = ["verify", str(model), "--signature", str(tmp_path / "s"), "--public-key", str(tmp_path / "k.pub")]
    assert run([*ask, "--allow-ignored", "extra.py"]) == 1
    assert "S-ADDED" in capsys.readouterr().out
    outside = oms.Signature.of((("../secret", "0" * 64),))
    with pytest.raises(NotUnderstood):
        found(model, outside)
