"""`sign --form cosign` and `verify --signature`: cosign's manifest form, both ways, and integrity only."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from tuneguard.cli.app import run
from tuneguard.signing.bundle import BUNDLE_TYPE
from tuneguard.signing.key import KeyType, make_pair
from tuneguard.signing.signer import open_signer
from world.keys import no_passphrase

if TYPE_CHECKING:
    from pathlib import Path


def tuneguard(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_pair(tmp_path / "k.key", passphrase=None)
    return tmp_path / "k.key"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(100))
    (folder / "sub" / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def signed(model: Path, key: Path) -> Path:
    assert tuneguard("sign", model, "--form", "cosign", "--key", key) == 0
    return model


def verify(model: Path, key: Path, *more: object, signature: Path | None = None) -> int:
    given = signature or model / "manifest.json.sig"
    return tuneguard("verify", model, "--signature", given, "--public-key", key.with_suffix(".pub"), *more)


def resign(model: Path, key: Path, listing: object) -> None:
    """As somebody with the key, or another tool, would sign any list."""
    data = listing if isinstance(listing, bytes) else json.dumps(listing).encode()
    (model / "manifest.json").write_bytes(data)
    made = open_signer(str(key), no_passphrase).sign(data)
    (model / "manifest.json.sig").write_bytes(base64.b64encode(made))


def test_what_we_sign_is_intact_and_that_is_all_that_we_say(
    signed: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(signed, key) == 4

    assert "integrity only" in capsys.readouterr().out
    listed = json.loads((signed / "manifest.json").read_text())
    assert list(listed["files"]) == ["sub/config.json", "tokenizer.json", "weights.safetensors"]


@pytest.mark.parametrize("asked", [("--run", "042"), ("--model", "m"), ("--for", "load")])
def test_what_such_a_signature_cannot_say_is_not_asked_of_it(
    signed: Path, key: Path, asked: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(signed, key, *asked) == 2
    assert "names no use, no model and no run" in capsys.readouterr().err


def test_evidence_of_the_tree_before_is_said_to_fit_no_longer(
    model: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tuneguard("sign", model, "--key", key) == 0
    assert tuneguard("sign", model, "--form", "cosign", "--key", key) == 0

    assert "no longer fits" in capsys.readouterr().out


@pytest.mark.parametrize("aside", ["manifest.json", "manifest.json.sig"])
def test_attack_what_bears_the_lists_or_the_signatures_name_is_judged_when_the_real_one_lies_elsewhere(
    signed: Path, key: Path, tmp_path: Path, aside: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / aside).write_bytes((signed / aside).read_bytes())
    (signed / aside).unlink()
    (signed / aside).mkdir()
    (signed / aside / "__init__.py").write_text("print('inert')\n")
    given = {
        name: (tmp_path if name == aside else signed) / name
        for name in ("manifest.json", "manifest.json.sig")
    }

    assert (
        verify(signed, key, "--manifest", given["manifest.json"], signature=given["manifest.json.sig"]) == 1
    )
    assert f"S-ADDED  {aside}/__init__.py" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["weights.safetensors", "manifest.json", "manifest.json.sig"])
@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_attack_a_fifo_or_a_link_in_place_of_a_file_is_refused_at_once(
    signed: Path, key: Path, tmp_path: Path, place: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (signed / place).rename(tmp_path / "moved")
    if kind == "fifo":
        os.mkfifo(signed / place)
    else:
        (signed / place).symlink_to(tmp_path / "moved")

    assert verify(signed, key) == 1
    said = capsys.readouterr()
    assert f"T-{'SPECIAL' if kind == 'fifo' else 'SYMLINK'}  {place}" in said.out + said.err


def test_attack_a_changed_list_beside_cosigns_bundle_is_refused_and_not_called_unreadable(
    signed: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (signed / "manifest.json").read_bytes()
    digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(content).digest()).decode()}
    made = base64.b64encode((signed / "manifest.json.sig").read_bytes()).decode()
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "messageSignature": {"messageDigest": digest, "signature": made},
    }
    (signed / "manifest.json.sig").write_text(json.dumps(bundle))
    assert verify(signed, key) == 4

    (signed / "manifest.json").write_bytes(content + b" ")
    assert verify(signed, key) == 1
    said = capsys.readouterr().out
    assert "S-BYTES" in said
    assert f"over those with the digest {hashlib.sha256(content).hexdigest()[:12]}" in said
    assert "ask the signer" not in said


def test_a_changed_list_beside_a_signature_alone_may_be_another_keys_or_changed(
    signed: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = signed / "manifest.json"
    listing.write_bytes(listing.read_bytes() + b" ")

    assert verify(signed, key) == 1
    assert "or was changed since" in capsys.readouterr().out


def test_list_and_signature_may_lie_elsewhere(signed: Path, key: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "manifest.json.sig"):
        (signed / name).rename(tmp_path / name)

    assert (
        verify(
            signed, key, "--manifest", tmp_path / "manifest.json", signature=tmp_path / "manifest.json.sig"
        )
        == 4
    )


@pytest.mark.parametrize(
    ("name", "rule"),
    [("weights.safetensors", "S-CHANGED"), ("tokenizer.json", "S-MISSING"), ("extra.py", "S-ADDED"),
     (".gitattributes", "S-ADDED"), ("sub/manifest.json", "S-ADDED"), ("manifest.json.sig2", "S-ADDED")],
)  # fmt: skip
def test_every_difference_is_found(
    signed: Path, key: Path, name: str, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if rule == "S-MISSING":
        (signed / name).unlink()
    else:
        (signed / name).write_bytes(b"other")

    assert verify(signed, key) == 1
    assert rule in capsys.readouterr().out


def test_another_key_is_refused_and_nothing_else_is_believed(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pair(tmp_path / "other.key", passphrase=None)
    (signed / "weights.safetensors").write_bytes(b"other")

    assert verify(signed, tmp_path / "other.key") == 1
    said = capsys.readouterr().out
    assert "S-KEY" in said
    assert "S-CHANGED" not in said


@pytest.mark.parametrize(
    "listing",
    [
        b"", b"[]", b"{}", {"files": {}}, {"files": [], "metadata": {}}, {"files": {}, "metadata": {}},
        {"files": {"../x": "0" * 64}, "metadata": {}}, {"files": {"/etc/passwd": "0" * 64}, "metadata": {}},
        {"files": {"a": "0" * 63}, "metadata": {}}, {"files": {"a": 7}, "metadata": {}},
        {"files": {"a\0b": "0" * 64}, "metadata": {}}, {"files": {"a": "0" * 64}, "metadata": {}, "more": 1},
        b'{"files": {"a": NaN}, "metadata": {}}', b'{"files": {}, "metadata": {"size": Infinity}}',
        b'{"files": ' + b"[" * 100_000 + b"]" * 100_000 + b', "metadata": {}}',
        b'{"files": {"a": "' + b"0" * 64 + b'", "a": "' + b"1" * 64 + b'"}, "metadata": {}}',
        b'{"files": {}, "files": {}, "metadata": {}}',
    ],
)  # fmt: skip
def test_a_signed_list_that_is_none_is_never_called_intact(model: Path, key: Path, listing: object) -> None:
    resign(model, key, listing)

    assert verify(model, key) == 3


def test_signing_again_is_refused_and_loses_nothing(
    signed: Path, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in signed.iterdir() if path.is_file()}

    assert tuneguard("sign", signed, "--form", "cosign", "--key", key) == 2

    assert "already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in signed.iterdir() if path.is_file()} == before


def test_a_killed_signing_is_finished_by_the_next(signed: Path, key: Path) -> None:
    (signed / "manifest.json.sig").unlink()

    assert tuneguard("sign", signed, "--form", "cosign", "--key", key) == 0
    assert verify(signed, key) == 4


def test_a_manifest_of_somebody_elses_is_not_overwritten(model: Path, key: Path) -> None:
    (model / "manifest.json").write_text("mine")

    assert tuneguard("sign", model, "--form", "cosign", "--key", key) == 2
    assert (model / "manifest.json").read_text() == "mine"


def test_an_empty_tree_is_not_signed(tmp_path: Path, key: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert tuneguard("sign", tmp_path / "empty", "--form", "cosign", "--key", key) == 1


@pytest.mark.parametrize("type", [KeyType.P384, KeyType.ED25519])
def test_a_key_that_not_both_tools_take_is_refused(
    model: Path, tmp_path: Path, type: KeyType, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pair(tmp_path / "other.key", type=type, passphrase=None)

    assert tuneguard("sign", model, "--form", "cosign", "--key", tmp_path / "other.key") == 2
    assert "P-256" in capsys.readouterr().err


def test_a_certificate_does_not_go_along(model: Path, key: Path) -> None:
    assert tuneguard("sign", model, "--form", "cosign", "--key", key, "--certificate", key) == 2
    assert tuneguard("sign", model, "--key", key, "--certificate-chain", key) == 2
