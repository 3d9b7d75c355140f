"""Model signatures both ways with the reference implementation: what we write it reads, and the reverse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tuneguard import files
from tuneguard.artifact.digest import hash_tree
from tuneguard.attest.foreign import range_hasher, verify_foreign
from tuneguard.attest.predicates import oms
from tuneguard.errors import Refused, UsageError
from tuneguard.findings import Verdict, judge
from tuneguard.signing.bundle import read_bundle
from tuneguard.signing.key import KeyType, make_pair, read_public
from tuneguard.signing.signer import open_signer
from tuneguard.typed import read
from world.keys import no_passphrase

pytestmark = pytest.mark.skipif(
    find_spec("model_signing") is None or find_spec("OpenSSL") is None,
    reason="the peer model_signing is not installed (pip install model-signing pyopenssl)",
)


def model_signing(*arguments):
    """Run the reference implementation's command; it says why on standard error and exits with 1."""
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


SIGN_IN_SHARDS = """
import sys
import model_signing
model, signature, key, size = sys.argv[1:]
hashing = model_signing.hashing.Config().use_shard_serialization(shard_size=int(size))
config = model_signing.signing.Config().use_elliptic_key_signer(private_key=key)
config.set_hashing_config(hashing).sign(model, signature)
"""
"""Only its library makes shards; its command line has no such option."""


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A small model whose names sort differently by path components than by code points."""
    root = tmp_path_factory.mktemp("original") / "model"
    for path, data in {
        "config.json": b"{}",
        "weights/part-1.safetensors": b"\x00" * 3000,
        "weights/part-2.safetensors": b"\x01" * 1000,
        "weights-index.json": b"{}",
        "weights.bin": b"\x02" * 10,
        "empty.txt": b"",
        "name with spaces:1:2/é.txt": b"text",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


@pytest.fixture
def model(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "k.key"
    make_pair(path, passphrase=None)
    return path


@pytest.fixture(scope="module")
def theirs(original, key, tmp_path_factory):
    """A signature that the reference implementation's command made over the original."""
    signature = tmp_path_factory.mktemp("theirs") / "model.sig"
    done = model_signing("sign", "key", original, "--private_key", key, "--signature", signature)
    assert done.returncode == 0, done.stderr
    return signature


def faults(model, signature, key, allow=()):
    """What we find wrong: rule and path."""
    manifest = hash_tree(model)
    bundle = read_bundle(signature.read_bytes(), signature.name)
    with files.directory(model) as root, range_hasher(root, manifest) as ranges:
        found = verify_foreign(
            manifest, bundle, read_public(key.with_suffix(".pub")), allow, hash_ranges=ranges
        )
    return [
        (finding.rule, finding.location.path) for finding in found if judge([finding], []) is Verdict.REFUSED
    ]


@pytest.mark.parametrize("type", [KeyType.P256, KeyType.P384])
def test_it_verifies_what_we_sign(model, tmp_path, type):
    make_pair(tmp_path / "k.key", type=type, passphrase=b"secret")
    signer = open_signer(str(tmp_path / "k.key"), lambda _: b"secret")
    signature = tmp_path / "model.sig"
    signature.write_bytes(oms.sign(signer, model.name, hash_tree(model)))

    done = model_signing("verify", "key", model, "--signature", signature, "--public_key", tmp_path / "k.pub")
    assert done.returncode == 0, done.stderr

    (model / "config.json").write_bytes(b'{"changed": true}')
    done = model_signing("verify", "key", model, "--signature", signature, "--public_key", tmp_path / "k.pub")
    assert done.returncode == 1
    assert "config.json" in done.stdout + done.stderr


def test_its_root_digest_is_ours(original, theirs):
    statement = json.loads(read_bundle(theirs.read_bytes(), "theirs").payload)
    listed = read(statement["predicate"], oms.Signature, "theirs")

    assert statement["subject"][0]["digest"] == {"sha256": listed.root}
    assert dict(listed.files) == dict(oms.from_manifest(hash_tree(original)).files)


def test_we_verify_what_it_signs(model, theirs, key):
    assert faults(model, theirs, key) == []


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (lambda model: (model / "config.json").write_bytes(b"[]"), ("S-CHANGED", "config.json")),
        (lambda model: (model / "weights.bin").unlink(), ("S-MISSING", "weights.bin")),
        (lambda model: (model / "run.py").write_bytes(b"x"), ("S-ADDED", "run.py")),
        (lambda model: (model / "empty.txt").rename(model / "empty.py"), ("S-ADDED", "empty.py")),
    ],
    ids=["changed", "missing", "added", "renamed with equal bytes"],
)
def test_we_refuse_what_changed_since_it_signed(model, theirs, key, attack, expected):
    attack(model)

    assert expected in faults(model, theirs, key)


def test_we_refuse_its_signature_by_another_key(model, theirs, tmp_path):
    make_pair(tmp_path / "other.key", passphrase=None)

    assert [rule for rule, _ in faults(model, theirs, tmp_path / "other.key")] == ["S-KEY"]


@pytest.mark.parametrize("hidden", [".git/hooks/x", ".gitattributes", ".gitignore", ".github/x.py"])
def test_code_that_it_cannot_see_under_gits_names_is_refused_until_exactly_it_is_allowed(
    model, theirs, key, hidden
):
    (model / hidden).parent.mkdir(parents=True, exist_ok=True)
    (model / hidden).write_bytes(b"import os")

    assert faults(model, theirs, key) == [("S-HIDDEN", hidden)]
    assert faults(model, theirs, key, allow=[hidden.partition("/")[0] + "/other"]) == [("S-HIDDEN", hidden)]
    assert faults(model, theirs, key, allow=[hidden]) == []


def test_that_very_tree_passes_the_reference_implementation(model, theirs, key):
    """Why we refuse it: everybody else says that it is intact."""
    (model / ".github").mkdir()
    (model / ".github" / "evil.py").write_bytes(b"import os")

    done = model_signing(
        "verify", "key", model, "--signature", theirs, "--public_key", key.with_suffix(".pub")
    )
    assert done.returncode == 0, done.stderr


def test_what_its_signer_chose_to_ignore_is_refused_and_so_is_a_signature_inside_the_tree(model, key):
    (model / "cache").mkdir()
    (model / "cache" / "x.bin").write_bytes(b"x")
    signature = model / "model.sig"
    arguments = ("--private_key", key, "--signature", signature, "--ignore-paths", model / "cache")
    assert model_signing("sign", "key", model, *arguments).returncode == 0

    assert faults(model, signature, key) == [("S-HIDDEN", "cache/x.bin"), ("S-HIDDEN", "model.sig")]
    assert faults(model, signature, key, allow=["cache/x.bin", "model.sig"]) == []


def test_its_shard_form_is_verified_and_the_empty_file_that_it_cannot_list_is_refused(model, key, tmp_path):
    signature = tmp_path / "shards.sig"
    (model / "name with spaces:1:2" / "é.txt").rename(model / "é.txt")
    (model / "name with spaces:1:2").rmdir()
    subprocess.run([sys.executable, "-c", SIGN_IN_SHARDS, model, signature, key, "1024"], check=True)

    assert faults(model, signature, key) == [("S-HIDDEN", "empty.txt")]
    assert faults(model, signature, key, allow=["empty.txt"]) == []

    (model / "__init__.py").touch()
    with (model / "weights" / "part-1.safetensors").open("r+b") as file:
        file.seek(2500)
        file.write(b"!")
    (model / "weights.bin").write_bytes(b"shorter")
    assert faults(model, signature, key, allow=["empty.txt"]) == [
        ("S-HIDDEN", "__init__.py"),
        ("S-CHANGED", "weights.bin"),
        ("S-CHANGED", "weights/part-1.safetensors"),
    ]


def test_a_tree_that_it_would_only_half_see_is_not_signed_and_the_file_to_remove_is_named(model, key):
    (model / ".gitattributes").write_bytes(b"*.safetensors filter=lfs")

    with pytest.raises(Refused, match=r"\.gitattributes") as caught:
        oms.sign(open_signer(str(key), no_passphrase), "model", hash_tree(model))

    assert caught.value.help.startswith("remove .gitattributes")


def test_an_ed25519_key_is_refused_for_signing_because_it_would_not_be_read(model, tmp_path):
    make_pair(tmp_path / "k.key", type=KeyType.ED25519, passphrase=None)

    with pytest.raises(UsageError, match="Ed25519") as caught:
        oms.sign(open_signer(str(tmp_path / "k.key"), no_passphrase), "model", hash_tree(model))

    assert "p256" in caught.value.help
