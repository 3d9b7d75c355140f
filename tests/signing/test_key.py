import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneguard.errors import CannotLook, ConfigurationError, NotUnderstood, UsageError
from tuneguard.files import FAULT_AT
from tuneguard.signing.key import KeyType, PublicKey, make_pair, public_path_of, read_public
from world.keys import signer

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("type", KeyType)
def test_a_pair_is_made_and_its_public_half_read_back(tmp_path, type):
    made = make_pair(tmp_path / "root.key", type=type, passphrase=b"secret")

    assert made == read_public(tmp_path / "root.pub")
    assert made.type is type


def test_the_private_file_is_for_its_owner_alone_and_encrypted(tmp_path):
    make_pair(tmp_path / "root.key", passphrase=b"secret")

    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600
    assert (tmp_path / "root.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert sorted(os.listdir(tmp_path)) == ["root.key", "root.pub"]


def test_the_mode_holds_whatever_the_umask_is(tmp_path):
    before = os.umask(0)
    try:
        make_pair(tmp_path / "root.key", passphrase=b"secret")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "root.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "root.pub").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("private", "public"), [("a/root.key", "a/root.pub"), ("a/k", "a/k.pub"), ("k.pem", "k.pub")]
)
def test_the_public_half_lies_beside_the_private_one(private, public):
    assert public_path_of(Path(private)) == Path(public)


def test_a_private_key_cannot_be_called_pub(tmp_path):
    with pytest.raises(UsageError, match="cannot end in"):
        make_pair(tmp_path / "root.pub", passphrase=None)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("taken", ["root.key", "root.pub"])
def test_neither_half_is_ever_overwritten_and_no_half_is_left(tmp_path, taken):
    (tmp_path / taken).write_text("mine")

    with pytest.raises(UsageError, match="already exists"):
        make_pair(tmp_path / "root.key", passphrase=b"secret")

    assert os.listdir(tmp_path) == [taken]
    assert (tmp_path / taken).read_text() == "mine"


def test_a_dangling_link_in_the_place_of_a_key_is_not_followed(tmp_path):
    (tmp_path / "root.key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="already exists"):
        make_pair(tmp_path / "root.key", passphrase=b"secret")

    assert not (tmp_path / "elsewhere").exists()


def test_if_the_public_half_cannot_be_written_the_private_one_is_taken_back(tmp_path):
    longest = "k" * 255  # with `.pub` it is too long for a name

    with pytest.raises(CannotLook, match="too long"):
        make_pair(tmp_path / longest, passphrase=None)

    assert os.listdir(tmp_path) == []


def test_an_empty_passphrase_is_not_a_passphrase(tmp_path):
    with pytest.raises(UsageError, match="passphrase is empty"):
        make_pair(tmp_path / "root.key", passphrase=b"")


def test_killed_at_any_durable_step_a_private_key_is_whole_or_absent(tmp_path):
    program = (
        "import sys; from pathlib import Path; from tuneguard.signing.key import make_pair;"
        "make_pair(Path(sys.argv[1]), passphrase=None)"
    )

    def run(folder, fault):
        folder.mkdir()
        environment = {**os.environ, FAULT_AT: fault, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run([sys.executable, "-c", program, folder / "k.key"], env=environment, check=False)

    assert run(tmp_path / "all", f"0:{tmp_path}/count").returncode == 0
    steps = (tmp_path / "count").read_text().count("\n")
    assert steps >= 6
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        assert run(folder, f"{step}:{tmp_path}/count{step}").returncode == -9
        for name in (name for name in os.listdir(folder) if not name.endswith(".tmp")):
            data = (folder / name).read_bytes()
            assert data.endswith(b"KEY-----\n"), (step, name)


def test_two_encodings_of_one_key_are_one_key():
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    canonical = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    compressed = (
        bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    )  # the same SubjectPublicKeyInfo around the compressed point

    assert PublicKey.from_spki(compressed) == PublicKey.from_spki(canonical)
    with pytest.raises(NotUnderstood, match="canonical"):
        PublicKey(compressed)


def test_pem_base64_and_der_name_the_same_key():
    key = signer().public_key

    assert PublicKey.from_pem(key.pem) == PublicKey.from_base64(key.base64) == PublicKey.from_spki(key.spki)
    assert base64.b64decode(key.base64) == key.spki
    assert len({key.keyid, key.hint}) == 2


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        x25519.X25519PrivateKey.generate(),
    ],
    ids=["rsa", "p521", "secp256k1", "x25519"],
)
def test_keys_of_other_types_are_refused_and_the_accepted_ones_named(key):
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    with pytest.raises(ConfigurationError, match=r"not accepted at policy\.yaml:3") as caught:
        PublicKey.from_pem(pem, "policy.yaml:3")

    assert "Ed25519" in caught.value.help


def test_a_private_key_where_a_public_one_belongs_says_so(tmp_path):
    make_pair(tmp_path / "k.key", passphrase=None)

    with pytest.raises(ConfigurationError, match="private key"):
        read_public(tmp_path / "k.key")


def test_a_file_of_two_keys_is_refused_because_readers_would_differ_about_which_counts(tmp_path):
    (tmp_path / "two.pub").write_bytes(signer().public_key.pem + signer().public_key.pem)

    with pytest.raises(ConfigurationError, match="more than one key"):
        read_public(tmp_path / "two.pub")


@pytest.mark.parametrize("text", ["", "%%%", "AAAA", "é", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"])
def test_what_is_no_key_is_not_understood(text):
    with pytest.raises(NotUnderstood):
        PublicKey.from_base64(text)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader_of_keys(data):
    for read in (PublicKey.from_spki, PublicKey.from_pem):
        with pytest.raises((NotUnderstood, ConfigurationError)):
            read(data)


@pytest.mark.parametrize("type", KeyType)
@given(garbage=st.binary(max_size=200))
@settings(max_examples=50)
def test_garbage_is_no_signature_and_never_an_exception(type, garbage):
    assert not _SIGNERS[type].public_key.verify(garbage, b"message")


@pytest.mark.parametrize("type", KeyType)
def test_each_flipped_bit_of_a_signature_breaks_it(type):
    key, signature = _SIGNERS[type].public_key, _SIGNERS[type].sign(b"message")

    for at in range(len(signature)):
        flipped = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        assert not key.verify(flipped, b"message"), at


def test_a_signature_with_bytes_after_it_or_with_padded_numbers_is_refused():
    key, signature = _SIGNERS[KeyType.P256].public_key, _SIGNERS[KeyType.P256].sign(b"message")
    size = signature[3]
    padded = (
        bytes([0x30, signature[1] + 1, 0x02, size + 1, 0x00]) + signature[4:]
    )  # r with a leading zero too many: BER allows it, DER does not

    assert not key.verify(signature + b"\x00", b"message")
    assert not key.verify(padded, b"message")


def test_the_other_half_of_an_ecdsa_pair_verifies_over_the_same_message_and_no_other():
    key, signature = _SIGNERS[KeyType.P256].public_key, _SIGNERS[KeyType.P256].sign(b"message")
    r, s = decode_dss_signature(signature)
    mirrored = encode_dss_signature(r, P256_ORDER - s)

    assert mirrored != signature
    assert key.verify(mirrored, b"message")
    assert not key.verify(mirrored, b"massage")


def test_a_key_can_be_kept_in_a_set_and_compared():
    one, other = signer().public_key, signer().public_key

    assert {one, PublicKey(one.spki)} == {one}
    assert one != other


_SIGNERS = {type: signer(type) for type in KeyType}
