"""The command line both ways with the reference implementation of OpenSSF Model Signing.

What its and our commands sign, ours and its verify; ours never calls it more than intact, and says what
it leaves out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from tuneguard.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    find_spec("model_signing") is None or find_spec("OpenSSL") is None,
    reason="the peer model_signing is not installed (pip install model-signing pyopenssl)",
)

FILES = {"config.json": b"{}", "model.safetensors": b"\x00" * 3000, "sub/part.bin": b"\x01" * 10}


def tuneguard(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def model_signing(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def plant(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    plant(tmp_path / "model", FILES)
    return tmp_path / "model"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    assert tuneguard("keygen", tmp_path / "k.key", "--unsafe-no-passphrase", "--quiet") == 0
    return tmp_path / "k.key"


def theirs(model: Path, key: Path, *more: object) -> Path:
    """A signature that the reference implementation's command makes."""
    signature = model.with_name("model.sig")
    done = model_signing("sign", "key", model, "--private_key", key, "--signature", signature, *more)
    assert done.returncode == 0, done.stderr
    return signature


def verify(model: Path, signature: Path, key: Path, *more: object) -> int:
    public = key.with_suffix(".pub")
    return tuneguard("verify", model, "--signature", signature, "--public-key", public, *more)


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Path by rule of the findings in the result just printed."""
    return {
        finding["rule"]: finding["location"]["path"]
        for finding in json.loads(capsys.readouterr().out)["findings"]
    }


# --- What we sign ------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["p256", "p384"])
def test_its_command_accepts_what_our_command_signs_and_nothing_changed(
    model: Path, tmp_path: Path, type: str
) -> None:
    key = tmp_path / f"{type}.key"
    assert tuneguard("keygen", key, "--type", type, "--unsafe-no-passphrase", "--quiet") == 0

    assert tuneguard("sign", model, "--key", key, "--quiet") == 0

    [signature] = (tmp_path / "model.evidence").iterdir()
    given = ("--signature", signature, "--public_key", key.with_suffix(".pub"))
    done = model_signing("verify", "key", model, *given)
    assert done.returncode == 0, done.stderr
    assert verify(model, signature, key) == 4
    (model / "sub/part.bin").write_bytes(b"\x02" * 10)
    assert model_signing("verify", "key", model, *given).returncode == 1
    assert verify(model, signature, key) == 1


@pytest.mark.parametrize("name", [".gitattributes", ".gitignore", ".git/config", ".github/workflows/ci.yml"])
def test_a_tree_that_holds_what_its_verifiers_overlook_is_not_signed(
    model: Path, key: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(model, {name: b"x"})

    assert tuneguard("sign", model, "--key", key) == 1

    said = capsys.readouterr().err
    assert f"help: remove {name.partition('/')[0]}" in said
    assert not (model.parent / "model.evidence").exists()


def test_such_a_name_deeper_in_the_tree_is_signed_and_seen_by_both(model: Path, key: Path) -> None:
    plant(model, {"sub/.gitattributes": b"x"})

    assert tuneguard("sign", model, "--key", key, "--quiet") == 0

    [signature] = (model.parent / "model.evidence").iterdir()
    given = ("--signature", signature, "--public_key", key.with_suffix(".pub"))
    assert model_signing("verify", "key", model, *given).returncode == 0
    plant(model, {"sub/.gitattributes": b"y"})
    assert model_signing("verify", "key", model, *given).returncode == 1
    assert verify(model, signature, key) == 1


def test_a_download_from_a_hub_can_be_sealed_though_it_cannot_be_signed(model: Path, key: Path) -> None:
    """Sealing is closed-world and overlooks nothing, so it needs no such rule."""
    plant(model, {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
    said = (
        "--name",
        "n",
        "--version",
        "1",
        "--source",
        "hub",
        "--license",
        "MIT",
        "--classification",
        "open",
    )

    assert tuneguard("sign", model, "--key", key) == 1
    assert tuneguard("seal", model, "--as", "dataset", *said, "--key", f"data-steward={key}") == 0


def test_a_key_that_its_verifiers_do_not_read_signs_no_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "ed.key"
    assert tuneguard("keygen", key, "--type", "ed25519", "--unsafe-no-passphrase", "--quiet") == 0

    assert tuneguard("sign", model, "--key", key) == 2

    assert "an Ed25519 key cannot sign a model" in capsys.readouterr().err
    assert not (model.parent / "model.evidence").exists()


# --- What it signs -----------------------------------------------------------------------------------


def test_what_its_command_signs_is_intact_and_that_is_all_that_we_say(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = theirs(model, key)

    assert verify(model, signature, key) == 4

    said = capsys.readouterr().out
    assert "Intact" in said
    assert "integrity only: the signature names no run, no role and no model" in said
    assert "integrity only, which does not pass" in said


def test_json_calls_it_not_understood_and_never_passed(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = theirs(model, key)
    capsys.readouterr()

    assert verify(model, signature, key, "--json") == 4

    result = json.loads(capsys.readouterr().out)
    assert (result["verdict"], result["findings"], result["error"]) == ("integrity-only", [], None)
    assert "integrity only" in result["notes"][0]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"config.json": b"{ }"}, ("S-CHANGED", "config.json")),
        ({"added.py": b"import os"}, ("S-ADDED", "added.py")),
        ({}, ("S-MISSING", "sub/part.bin")),
    ],
)
def test_what_changed_since_it_signed_is_refused_and_named(
    model: Path,
    key: Path,
    change: dict[str, bytes],
    rule: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    signature = theirs(model, key)
    plant(model, change)
    if not change:
        shutil.rmtree(model / "sub")
    capsys.readouterr()

    assert verify(model, signature, key, "--json") == 1

    assert found(capsys) == dict([rule])


def test_another_key_than_the_signers_is_refused(
    model: Path, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = theirs(model, key)
    assert tuneguard("keygen", tmp_path / "other.key", "--unsafe-no-passphrase", "--quiet") == 0
    capsys.readouterr()

    assert verify(model, signature, tmp_path / "other.key", "--json") == 1

    assert found(capsys).keys() == {"S-KEY"}


@pytest.mark.parametrize("name", [".gitattributes", ".gitignore", ".git/hooks/post-checkout", ".github/a.py"])
def test_code_hidden_where_the_specification_never_looks_is_refused_until_exactly_it_is_allowed(
    model: Path, key: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = theirs(model, key)
    plant(model, {name: b"import os"})
    public = key.with_suffix(".pub")
    given = ("--signature", signature, "--public_key", public)
    assert model_signing("verify", "key", model, *given).returncode == 0  # it does not see it

    assert verify(model, signature, key) == 1
    assert f"--allow-ignored {name}" in capsys.readouterr().out

    assert verify(model, signature, key, "--allow-ignored", name) == 4
    assert verify(model, signature, key, "--allow-ignored", name.split("/", maxsplit=1)[0] + "/other") == 1
    plant(model, {f"{name}2": b"x"})
    assert verify(model, signature, key, "--allow-ignored", name) == 1


def test_what_its_signer_chose_to_ignore_is_refused_until_exactly_it_is_allowed(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = theirs(model, key, "--ignore-paths", model / "sub")
    plant(model, {"sub/loader.py": b"import os"})
    capsys.readouterr()

    assert verify(model, signature, key) == 1
    said = capsys.readouterr().out
    assert "--allow-ignored sub/part.bin" in said
    assert "--allow-ignored sub/loader.py" in said

    assert verify(model, signature, key, "--allow-ignored", "sub/part.bin") == 1
    both = ("--allow-ignored", "sub/part.bin", "--allow-ignored", "sub/loader.py")
    assert verify(model, signature, key, *both) == 4
    assert verify(model, signature, key, "--allow-ignored", "sub") == 1, "a folder is not a path"


def test_what_is_covered_cannot_be_allowed_to_change(model: Path, key: Path) -> None:
    signature = theirs(model, key)
    plant(model, {"config.json": b"{ }", "added.py": b"x"})

    allowed = ("--allow-ignored", "config.json", "--allow-ignored", "added.py")
    assert verify(model, signature, key, *allowed) == 1


# --- What is no signature ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bundle", "code"),
    [(b"", 3), (b"{}", 3), (b"\x80\x04.", 3), (None, 2)],
    ids=["empty", "no bundle", "a pickle", "missing"],
)
def test_what_is_no_signature_could_not_be_looked_at(
    model: Path, key: Path, bundle: bytes | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = model.with_name("model.sig")
    if bundle is not None:
        signature.write_bytes(bundle)

    assert verify(model, signature, key) == code

    said = capsys.readouterr().err
    assert "model.sig" in said
    assert said.count("error: ") == 1


def test_a_truncated_signature_could_not_be_looked_at(model: Path, key: Path) -> None:
    signature = theirs(model, key)
    signature.write_bytes(signature.read_bytes()[:-20])

    assert verify(model, signature, key) == 3


@pytest.mark.parametrize(
    "given",
    [
        ("--public-key", "x"),
        ("--certificate-root", "x"),
        ("--trusted-root", "x"),
        ("--allow-ignored", "x"),
    ],
)
def test_who_signed_goes_together_with_the_signature(
    model: Path, given: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tuneguard("verify", model, *given) == 2
    assert "go together" in capsys.readouterr().err


def test_a_seal_is_no_model_signature(model: Path, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ("--name", "n", "--version", "1", "--source", "s", "--license", "l", "--classification", "c")
    assert tuneguard("seal", model, "--as", "dataset", *said, "--key", f"data-steward={key}", "--quiet") == 0
    [seal] = (model.parent / "model.evidence").glob("seal-*")

    assert verify(model, seal, key) == 3
    assert "not a model signature" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--public-key", "x", "--certificate-root", "x"),
        ("--public-key", "x", "--certificate-identity", "x"),
        ("--trusted-root", "x"),
        ("--trusted-root", "x", "--certificate-identity", "a@b.example"),
        ("--certificate-root", "x", "--certificate-oidc-issuer", "https://b.example"),
    ],
)
def test_who_signed_is_named_in_one_whole_way(
    model: Path, given: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tuneguard("verify", model, "--signature", "x", *given) == 2
    assert "one of three methods" in capsys.readouterr().err
