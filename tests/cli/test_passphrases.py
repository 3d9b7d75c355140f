"""Passphrases: asked for when a key needs one, handed to a step on a descriptor, never printed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tuneguard.cli.app import run
from tuneguard.cli.options import passphrase_source
from tuneguard.errors import UsageError
from tuneguard.plan.handover import PASSPHRASE_FD

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.needs("openssl")
def test_a_key_is_encrypted_with_the_passphrase_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("correct horse\n")

    assert run(["keygen", str(tmp_path / "k"), "--passphrase-file", str(tmp_path / "secret"), "--quiet"]) == 0

    key = (tmp_path / "k").read_bytes()
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in key
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    opened = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "k", "-passin", "pass:correct horse", "-noout"],
        capture_output=True,
        check=False,
    )
    assert opened.returncode == 0


def test_an_unencrypted_key_must_be_asked_for_by_its_dangerous_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keygen", str(tmp_path / "k")]) == 2
    assert "--passphrase-file" in capsys.readouterr().err

    assert run(["keygen", str(tmp_path / "k"), "--unsafe-no-passphrase"]) == 0
    assert "who reads the file can sign" in capsys.readouterr().out


def test_an_empty_passphrase_is_none_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")

    assert run(["keygen", str(tmp_path / "k"), "--passphrase-env", "EMPTY"]) == 2
    assert not (tmp_path / "k").exists()


def test_keygen_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_text("somebody's")

    assert run(["keygen", str(tmp_path / "k"), "--unsafe-no-passphrase", "--quiet"]) == 2
    assert not (tmp_path / "k").exists()
    assert (tmp_path / "k.pub").read_text() == "somebody's"


def test_an_inherited_descriptor_is_read_once_closed_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"handed over")
    os.close(writing)
    monkeypatch.setenv(PASSPHRASE_FD, str(reading))

    ask = passphrase_source(None, None)

    assert PASSPHRASE_FD not in os.environ
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reading)
    assert ask("any key") == b"handed over"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_variable_and_a_file_with_or_without_a_line_end_open_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (tmp_path / "secret").write_bytes(f" correct horse {end}".encode())
    monkeypatch.setenv("SECRET", f" correct horse {end}")

    assert passphrase_source(tmp_path / "secret", None)("key") == b" correct horse "
    assert passphrase_source(None, "SECRET")("key") == b" correct horse "


def test_a_variable_that_is_not_set_is_usage() -> None:
    with pytest.raises(UsageError, match="NOT_THERE is not set"):
        passphrase_source(None, "NOT_THERE")("key")


def test_two_keys_for_one_role_are_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tuneguard", "sign", tmp_path, "--key", "builder=a", "--key", "builder=b"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "--key is given twice for builder" in done.stderr
