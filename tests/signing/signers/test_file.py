import os
import subprocess
from pathlib import Path

import pytest

from tuneguard import limits
from tuneguard.errors import ConfigurationError, Refused, UsageError
from tuneguard.signing.key import KeyType, make_pair, read_public
from tuneguard.signing.signers.file import open_file, path_of
from world.keys import no_passphrase


@pytest.fixture
def key(tmp_path):
    make_pair(tmp_path / "k.key", passphrase=b"open sesame")
    return tmp_path / "k.key"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("k.key", "k.key"),
        ("//odd/path", "//odd/path"),
        ("file:k.key", "k.key"),
        ("file:/abs/k.key", "/abs/k.key"),
        ("file:///abs/k.key", "/abs/k.key"),
        ("file:with%20percent", "with%20percent"),
    ],
)
def test_a_file_uri_is_the_path_as_it_is_written(uri, path):
    assert path_of(uri) == Path(path)


@pytest.mark.parametrize("uri", ["file://host/k.key", "file:", "", "a\0b"])
def test_a_file_uri_with_a_host_or_without_a_path_is_refused(uri):
    with pytest.raises(UsageError):
        path_of(uri)


def test_a_wrong_passphrase_is_told_apart_from_a_broken_file(key):
    with pytest.raises(UsageError, match="passphrase does not open"):
        open_file(str(key), lambda _: b"open barley")

    key.write_bytes(b"not a key at all")
    with pytest.raises(ConfigurationError, match="not a private key"):
        open_file(str(key), no_passphrase)


@pytest.mark.parametrize("passphrase", [b"", b"x" * (limits.PASSPHRASE_BYTES + 1)])
def test_an_empty_or_endless_passphrase_is_refused(key, passphrase):
    with pytest.raises(UsageError, match="passphrase"):
        open_file(str(key), lambda _: passphrase)


def test_a_public_key_in_the_private_ones_place_says_so(key):
    with pytest.raises(ConfigurationError, match="public key"):
        open_file(str(key.with_suffix(".pub")), no_passphrase)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    "arguments", [["-algorithm", "RSA"], ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]]
)
def test_keys_of_other_types_are_refused_with_the_types_that_are_not(tmp_path, arguments):
    path = tmp_path / "other.key"
    subprocess.run(["openssl", "genpkey", *arguments, "-out", path], check=True, capture_output=True)

    with pytest.raises(ConfigurationError) as caught:
        open_file(str(path), no_passphrase)

    assert "P-256" in caught.value.help


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("cipher", [[], ["-aes256", "-passout", "pass:old"]], ids=["plain", "encrypted"])
def test_the_older_pem_form_of_an_ec_key_is_read(tmp_path, cipher):
    path = tmp_path / "old.key"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "new"],
        check=True,
    )
    subprocess.run(
        ["openssl", "ec", "-in", tmp_path / "new", *cipher, "-out", path], check=True, capture_output=True
    )
    assert b"EC PRIVATE KEY" in path.read_bytes()

    assert open_file(str(path), lambda _: b"old").public_key.type is KeyType.P256


def test_a_key_is_found_behind_a_link_as_clusters_mount_secrets(tmp_path, key):
    (tmp_path / "link.key").symlink_to(key)

    signer = open_file(str(tmp_path / "link.key"), lambda _: b"open sesame")

    assert signer.public_key == read_public(key.with_suffix(".pub"))


def test_a_fifo_in_the_place_of_a_key_is_wrong_usage_and_nothing_hangs(tmp_path):
    os.mkfifo(tmp_path / "fifo.key")

    with pytest.raises(UsageError, match="not a regular file"):
        open_file(str(tmp_path / "fifo.key"), no_passphrase)


@pytest.mark.parametrize("suffix", [".key", ".pub"])
def test_attack_a_key_file_that_every_user_may_write_is_refused(tmp_path, key, suffix):
    path = key.with_suffix(suffix)
    path.chmod(path.stat().st_mode | 0o002)
    (tmp_path / "link").symlink_to(path)

    for name in (path, tmp_path / "link"):
        with pytest.raises(Refused, match="every user may write"):
            open_file(str(name), no_passphrase) if suffix == ".key" else read_public(name)


def test_a_key_file_of_absurd_size_is_not_read(tmp_path):
    path = tmp_path / "big.key"
    path.write_bytes(b"-" * (limits.KEY_BYTES + 1))

    with pytest.raises(UsageError, match="larger"):
        open_file(str(path), no_passphrase)


def test_the_private_and_the_public_file_are_one_pair(key):
    signer = open_file(str(key), lambda _: b"open sesame")

    assert signer.public_key == read_public(key.with_suffix(".pub"))
