"""cosign's encrypted key files: its own are opened, hostile ones cost nothing and are never a key."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tuneguard.errors import ConfigurationError, UsageError
from tuneguard.signing.key import read_public
from tuneguard.signing.signers.file import is_encrypted, open_file
from world.keys import cosign_key, no_passphrase

DATA = Path(__file__).parent / "data"
FIXTURE = DATA / "TEST-FIXTURE-cosign-3.1.3.key"


def pkcs8(key) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


SECRET = pkcs8(ec.generate_private_key(ec.SECP256R1()))


def opened(tmp_path, data, passphrase=b"pw"):
    path = tmp_path / "cosign.key"
    path.write_bytes(data)
    return open_file(str(path), lambda _: passphrase)


def test_a_key_that_cosign_made_signs_as_its_public_key_says():
    signer = open_file(str(FIXTURE), lambda _: b"pw")

    assert is_encrypted(str(FIXTURE))
    assert signer.public_key == read_public(FIXTURE.with_suffix(".pub"))
    assert signer.public_key.verify(signer.sign(b"hello"), b"hello")


def test_the_older_label_is_read_too(tmp_path):
    data = cosign_key(SECRET, b"pw", label="ENCRYPTED COSIGN PRIVATE KEY")

    assert opened(tmp_path, data).public_key


def test_an_empty_passphrase_is_one_as_cosign_has_it(tmp_path):
    assert opened(tmp_path, cosign_key(SECRET, b""), b"").public_key


def test_a_wrong_passphrase_is_told_as_such(tmp_path):
    with pytest.raises(UsageError, match="passphrase does not open"):
        opened(tmp_path, cosign_key(SECRET, b"pw"), b"pW")


def test_without_the_extra_it_says_what_to_install_before_it_asks_for_the_passphrase(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl", None)
    monkeypatch.delitem(sys.modules, "nacl.secret", raising=False)

    with pytest.raises(UsageError, match="need the Python package nacl") as caught:
        open_file(str(FIXTURE), no_passphrase)

    assert caught.value.help == "pip install 'tuneguard[cosign]'"


@pytest.mark.parametrize(
    "work",
    [
        (1 << 22, 8, 4),
        (1 << 30, 1, 1),
        (1024, 1 << 20, 1),
        (1024, 8, 1 << 20),
        (1 << 20, 8, 1),
        (1 << 22, 8, 1),
    ],
)
def test_attack_a_key_that_would_take_for_ever_or_all_memory_is_left(tmp_path, work):
    with pytest.raises(ConfigurationError, match="for ever"):
        opened(tmp_path, cosign_key(SECRET, b"pw", work=work))


@pytest.mark.parametrize(
    "work", [(0, 8, 1), (1000, 8, 1), (1024, -8, 1), (1024, 8, 0), (True, 8, 1), (1e3, 8, 1)]
)
def test_numbers_that_are_no_scrypt_are_usage(tmp_path, work):
    with pytest.raises(ConfigurationError, match="is not"):
        opened(tmp_path, cosign_key(SECRET, b"pw", work=work))


@pytest.mark.parametrize(
    "changed",
    [
        {"kdf": {"name": "pbkdf2", "params": {"N": 1024, "r": 8, "p": 1}, "salt": "AAAA"}},
        {"kdf": {}},
        {"kdf": []},
        {"kdf": {"name": "scrypt", "params": {"N": 1024, "r": 8, "p": 1}, "salt": "AAAA"}},
        {"cipher": {"name": "none", "nonce": "AAAA"}},
        {"cipher": {"name": "nacl/secretbox", "nonce": "AAAA"}},
        {"ciphertext": None},
        {"ciphertext": "not base64!"},
    ],
    ids=json.dumps,
)
def test_other_members_are_usage(tmp_path, changed):
    with pytest.raises(ConfigurationError):
        opened(tmp_path, cosign_key(SECRET, b"pw", **changed))


@pytest.mark.parametrize("box", ["", "AAAA"])
def test_a_box_that_is_too_short_does_not_open(tmp_path, box):
    with pytest.raises(UsageError, match="does not open"):
        opened(tmp_path, cosign_key(SECRET, b"pw", ciphertext=box))


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\neHg=\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n",
        b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
    ],
)
def test_a_frame_around_something_else_is_usage(tmp_path, text):
    with pytest.raises(ConfigurationError, match="cosign"):
        opened(tmp_path, text)


def test_two_keys_in_one_file_are_usage(tmp_path):
    with pytest.raises(ConfigurationError):
        opened(tmp_path, cosign_key(SECRET, b"pw") + cosign_key(SECRET, b"pw"))


def test_another_type_of_key_inside_is_refused_by_its_name(tmp_path):
    inside = pkcs8(rsa.generate_private_key(65537, 2048))

    with pytest.raises(ConfigurationError, match="RSA"):
        opened(tmp_path, cosign_key(inside, b"pw"))


def test_no_key_inside_is_said_and_not_shown(tmp_path):
    with pytest.raises(ConfigurationError, match="something else than a key") as caught:
        opened(tmp_path, cosign_key(b"my secret diary", b"pw"))

    assert "diary" not in str(caught.value)


def test_the_passphrase_is_asked_for_before_anything_is_computed():
    with pytest.raises(AssertionError, match="asked for"):
        open_file(str(FIXTURE), no_passphrase)
