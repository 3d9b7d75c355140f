"""Keys and signatures both ways with openssl."""

from __future__ import annotations

import subprocess

import pytest

from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.signing.envelope import pae
from tuneguard.signing.key import KeyType, PublicKey, make_pair, read_public
from tuneguard.signing.signer import open_signer
from world.keys import no_passphrase

pytestmark = pytest.mark.needs("openssl")

DIGEST = {KeyType.P256: "-sha256", KeyType.P384: "-sha384"}


def openssl(*arguments, check=True):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=check)


@pytest.mark.parametrize("type", KeyType)
def test_openssl_opens_our_encrypted_key_and_finds_the_same_public_half(tmp_path, type):
    make_pair(tmp_path / "k.key", type=type, passphrase=b"p\xc3\xa4ss word")

    found = openssl("pkey", "-in", tmp_path / "k.key", "-passin", "pass:päss word", "-pubout").stdout

    assert found == (tmp_path / "k.pub").read_bytes()
    wrong = openssl("pkey", "-in", tmp_path / "k.key", "-passin", "pass:wrong", check=False)
    assert wrong.returncode != 0


@pytest.mark.parametrize("type", [KeyType.P256, KeyType.P384])
def test_openssl_verifies_the_signature_in_our_bundle_over_the_envelopes_bytes(tmp_path, type):
    public = make_pair(tmp_path / "k.key", type=type, passphrase=None)
    signer = open_signer(str(tmp_path / "k.key"), no_passphrase)
    bundle = read_bundle(make_bundle(signer, "application/vnd.in-toto+json", "{}é".encode()), "b")
    (tmp_path / "signed").write_bytes(pae(bundle.payload_type, bundle.payload))
    (tmp_path / "sig").write_bytes(bundle.signature)

    arguments = ("-verify", tmp_path / "k.pub", "-signature", tmp_path / "sig", tmp_path / "signed")
    assert b"Verified OK" in openssl("dgst", DIGEST[type], *arguments).stdout

    (tmp_path / "signed").write_bytes(bundle.payload)
    assert openssl("dgst", DIGEST[type], *arguments, check=False).returncode != 0
    assert bundle.signed_by(public)


def test_openssl_verifies_our_ed25519_signature(tmp_path):
    make_pair(tmp_path / "k.key", type=KeyType.ED25519, passphrase=None)
    (tmp_path / "message").write_bytes(b"hello")
    (tmp_path / "sig").write_bytes(open_signer(str(tmp_path / "k.key"), no_passphrase).sign(b"hello"))

    done = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "k.pub", "-rawin",
        "-in", tmp_path / "message", "-sigfile", tmp_path / "sig",
    )  # fmt: skip

    assert b"Verified Successfully" in done.stdout


@pytest.mark.parametrize(
    ("type", "options"),
    [
        (KeyType.P256, ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        (
            KeyType.P384,
            ["-algorithm", "EC", "-pkeyopt", "group:P-384", "-aes256", "-pass", "pass:pw"],
        ),
        (KeyType.ED25519, ["-algorithm", "ED25519"]),
    ],
)
def test_we_sign_with_openssls_keys_and_it_verifies(tmp_path, type, options):
    openssl("genpkey", *options, "-out", tmp_path / "k.key")
    openssl("pkey", "-in", tmp_path / "k.key", "-passin", "pass:pw", "-pubout", "-out", tmp_path / "k.pub")

    signer = open_signer(str(tmp_path / "k.key"), lambda _: b"pw")

    assert signer.public_key == read_public(tmp_path / "k.pub")
    assert signer.public_key.type is type


def test_we_verify_what_openssl_signs(tmp_path):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "k.key")
    openssl("pkey", "-in", tmp_path / "k.key", "-pubout", "-out", tmp_path / "k.pub")
    (tmp_path / "message").write_bytes(b"hello")
    openssl("dgst", "-sha256", "-sign", tmp_path / "k.key", "-out", tmp_path / "sig", tmp_path / "message")

    key = read_public(tmp_path / "k.pub")

    assert key.verify((tmp_path / "sig").read_bytes(), b"hello")
    assert not key.verify((tmp_path / "sig").read_bytes(), b"hullo")


def test_the_fingerprint_that_we_print_is_openssls(tmp_path):
    key = make_pair(tmp_path / "k.key", passphrase=None)
    openssl("pkey", "-pubin", "-in", tmp_path / "k.pub", "-outform", "DER", "-out", tmp_path / "der")

    found = openssl("dgst", "-sha256", "-r", tmp_path / "der").stdout.split()[0].decode()

    assert found == key.keyid
    assert PublicKey.from_spki((tmp_path / "der").read_bytes()) == key
