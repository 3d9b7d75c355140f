"""Foreign signatures over a tree, told as attacks. `tests/interop` does the same with real foreign ones."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tuneguard import files
from tuneguard.artifact.digest import hash_tree
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest import foreign
from tuneguard.attest.foreign import range_hasher, verify_foreign
from tuneguard.attest.predicates import oms
from tuneguard.attest.statement import PAYLOAD_TYPE, Resource, Statement
from tuneguard.errors import ChangedWhileRead, NotUnderstood
from tuneguard.findings import Severity
from tuneguard.signing.bundle import make_bundle, read_bundle
from world.keys import signer

SIGNER = signer()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def manifest(**contents):
    """A manifest of files by name; `__` stands for `/`."""
    paths = {name.replace("__", "/"): data for name, data in contents.items()}
    return Manifest(tuple(File(path, len(data), sha(data)) for path, data in sorted(paths.items())))


def bundle(signature, *, by=SIGNER, payload_type=PAYLOAD_TYPE):
    payload = oms.statement("model", signature).encode()
    return read_bundle(make_bundle(by, payload_type, payload), "model.sig")


def judged(tree, signature, allow=(), **options):
    found = verify_foreign(tree, bundle(signature), SIGNER.public_key, allow, **options)
    return [(finding.rule, finding.location.path) for finding in found]


def listing(tree, **changes):
    """The signature over `tree`, with fields changed as another signer might have written them."""
    values = {"files": tuple((file.path, file.sha256) for file in tree.files), **changes}
    return oms.Signature.of(**values)


MODEL = manifest(config=b"{}", weights__a=b"a", weights__b=b"b")


def test_an_intact_tree_has_no_finding():
    assert judged(MODEL, listing(MODEL)) == []


def test_every_fault_is_reported_and_not_the_first():
    found = manifest(config=b"[]", weights__a=b"a", zz=b"new")

    assert judged(found, listing(MODEL)) == [
        ("S-CHANGED", "config"),
        ("S-ADDED", "zz"),
        ("S-MISSING", "weights/b"),
    ]


def test_files_that_swapped_their_names_are_found_although_the_root_digest_is_the_same():
    """The OMS root covers digests and not names: config.json could become config.py."""
    swapped = manifest(config=b"{}", weights__a=b"b", weights__b=b"a")

    assert judged(swapped, listing(MODEL)) == [("S-CHANGED", "weights/a"), ("S-CHANGED", "weights/b")]


def test_a_signature_by_another_key_is_the_only_finding_because_nothing_else_is_believed():
    found = verify_foreign(
        manifest(config=b"[]"), bundle(listing(MODEL), by=signer()), SIGNER.public_key, where="m.sig"
    )

    assert [(finding.rule, finding.severity) for finding in found] == [("S-KEY", Severity.CRITICAL)]


def test_bytes_that_the_key_signed_as_something_else_are_no_model_signature():
    policy = bundle(listing(MODEL), payload_type="application/vnd.tuneguard.policy.v1+yaml")

    with pytest.raises(NotUnderstood, match="not a statement"):
        verify_foreign(MODEL, policy, SIGNER.public_key)


def test_a_statement_of_another_type_by_the_right_key_is_no_model_signature():
    statement = Statement((Resource("m", {"sha256": "0" * 64}),), "https://slsa.dev/provenance/v1", {})
    signed = read_bundle(make_bundle(SIGNER, PAYLOAD_TYPE, statement.encode()), "m.sig")

    with pytest.raises(NotUnderstood, match="not a model signature"):
        verify_foreign(MODEL, signed, SIGNER.public_key)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("cache", "cache/x"),
        ("cache/", "cache/x"),
        ("./cache", "cache/x"),
        ("cache/x", "cache/x"),
        (".", "cache/x"),
        ("a/../cache", "a/../cache"),
    ],
)
def test_what_ignore_paths_hide_is_refused_one_by_one(rule, path):
    tree = manifest(config=b"{}", cache__x=b"import os")
    kept = tuple((file.path, file.sha256) for file in tree.files if file.path == "config")
    signature = oms.Signature.of(kept, ignore_paths=(rule,))

    rules = [rule for rule, _ in judged(tree, signature)]

    assert rules == (["S-HIDDEN"] if path == "cache/x" else ["S-ADDED"])
    assert judged(tree, signature, allow=["cache"])[0][0] == rules[0]


def test_an_ignored_folder_does_not_hide_a_folder_whose_name_begins_alike():
    tree = manifest(config=b"{}", cached__x=b"x")
    signature = oms.Signature.of((("config", sha(b"{}")),), ignore_paths=("cache",))

    assert judged(tree, signature) == [("S-ADDED", "cached/x")]


@pytest.mark.parametrize("name", oms.ALWAYS_IGNORED)
def test_gits_names_hide_at_the_top_only_whatever_the_bundle_says(name):
    tree = Manifest(
        tuple(File(path, 1, sha(b"x")) for path in sorted([f"{name}/x", "config", f"sub/{name}/x"]))
    )
    signature = oms.Signature.of((("config", sha(b"x")),))

    assert judged(tree, signature) == [("S-HIDDEN", f"{name}/x"), ("S-ADDED", f"sub/{name}/x")]


def test_allowing_a_path_allows_exactly_it_and_only_where_it_was_hidden():
    tree = Manifest(tuple(File(path, 1, sha(b"x")) for path in (".git/a", ".git/b", "config", "extra")))
    signature = oms.Signature.of((("config", sha(b"x")),))
    found = verify_foreign(tree, bundle(signature), SIGNER.public_key, [".git/a", "extra"])

    assert [(finding.rule, finding.severity, finding.location.path) for finding in found] == [
        ("S-ALLOWED", Severity.LOW, ".git/a"),
        ("S-HIDDEN", Severity.HIGH, ".git/b"),
        ("S-ADDED", Severity.HIGH, "extra"),
    ]


def test_a_hidden_file_says_how_to_allow_exactly_it_and_its_name_is_printed_safely():
    tree = manifest(config=b"{}", cache__x=b"x")
    signature = oms.Signature.of((("config", sha(b"{}")),), ignore_paths=("cache", "\x1b[31m"))
    (found,) = verify_foreign(tree, bundle(signature), SIGNER.public_key)

    assert "--allow-ignored cache/x" in found.fix
    assert "\x1b" not in found.message


def test_a_listed_file_under_an_ignored_name_is_still_compared():
    tree = manifest(config=b"{}", cache__x=b"changed")
    signature = listing(manifest(config=b"{}", cache__x=b"x"), ignore_paths=("cache",))

    assert judged(tree, signature) == [("S-CHANGED", "cache/x")]


def test_a_subject_that_is_not_the_root_of_the_list_is_not_understood():
    statement = oms.statement("m", listing(MODEL))
    other = Statement((Resource("m", {"sha256": "0" * 64}),), oms.TYPE, statement.predicate)
    signed = read_bundle(make_bundle(SIGNER, PAYLOAD_TYPE, other.encode()), "m.sig")

    with pytest.raises(NotUnderstood, match="root digest"):
        verify_foreign(MODEL, signed, SIGNER.public_key)


# --- The shard form --------------------------------------------------------------------------------


def shards(contents, size):
    """The signature in the shard form, as the specification tells to write it."""
    ranges = {
        f"{path}:{start}:{min(start + size, len(data))}": sha(data[start : start + size])
        for path, data in sorted(contents.items())
        for start in range(0, len(data), size)
    }
    return oms.Signature.of(tuple(ranges.items()), method="shards", shard_size=size)


CONTENTS = {"big": bytes(range(256)) * 10, "small": b"abc", "exact": b"x" * 1000, "odd:1:2": b"colons"}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "model"
    root.mkdir()
    for path, data in CONTENTS.items():
        (root / path).write_bytes(data)
    return root


def judged_on_disk(root, signature, allow=(), found=None):
    found = found or hash_tree(root)
    with files.directory(root) as descriptor, range_hasher(descriptor, found) as ranges:
        return judged(found, signature, allow, hash_ranges=ranges)


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000])
def test_shards_of_any_size_are_verified(tree, size):
    assert judged_on_disk(tree, shards(CONTENTS, size)) == []


@pytest.mark.parametrize(
    ("path", "data", "rule"),
    [
        ("big", CONTENTS["big"][:-1] + b"!", "S-CHANGED"),
        ("big", CONTENTS["big"][:-1], "S-CHANGED"),
        ("big", CONTENTS["big"][:1000], "S-CHANGED"),
        ("big", CONTENTS["big"] + b"!", "S-CHANGED"),
        ("exact", CONTENTS["exact"] + b"x", "S-CHANGED"),
        ("small", b"", "S-CHANGED"),
        ("new", b"new", "S-ADDED"),
        ("__init__.py", b"", "S-HIDDEN"),
    ],
)
def test_a_change_in_any_range_or_size_is_found(tree, path, data, rule):
    (tree / path).write_bytes(data)

    assert judged_on_disk(tree, shards(CONTENTS, 1000)) == [(rule, path)]


def test_a_missing_file_is_found_in_the_shard_form(tree):
    (tree / "small").unlink()

    assert judged_on_disk(tree, shards(CONTENTS, 1000)) == [("S-MISSING", "small")]


def test_an_empty_file_may_be_allowed_by_name_in_the_shard_form(tree):
    (tree / "__init__.py").touch()

    assert judged_on_disk(tree, shards(CONTENTS, 1000), ["__init__.py"]) == [("S-ALLOWED", "__init__.py")]


def test_ranges_left_out_or_overlapping_do_not_cover_a_file(tree):
    whole = shards(CONTENTS, 1000)
    gap = oms.Signature.of(whole.files[1:], method="shards", shard_size=1000)
    twice = tuple((name.replace("big:1000:2000", "big:0:2000"), digest) for name, digest in whole.files)

    assert judged_on_disk(tree, gap) == [("S-CHANGED", "big")]
    assert judged_on_disk(tree, oms.Signature.of(twice, method="shards", shard_size=1000)) == [
        ("S-CHANGED", "big")
    ]


def test_a_shard_size_of_one_byte_does_not_make_us_hash_what_the_list_cannot_hold():
    huge = Manifest((File("weights", 1 << 50, "0" * 64),))
    signature = oms.Signature.of((("weights:0:1", sha(b"x")),), method="shards", shard_size=1)

    def never(file, size):
        raise AssertionError(f"hashed {file.path}")

    assert judged(huge, signature, hash_ranges=never) == [("S-CHANGED", "weights")]


def test_without_the_files_the_shard_form_is_not_understood():
    with pytest.raises(NotUnderstood, match="shard form"):
        judged(MODEL, shards({"config": b"{}"}, 1000))


def test_a_file_that_changes_between_the_two_readings_is_refused(tree):
    before = hash_tree(tree)
    (tree / "big").write_bytes(bytes(len(CONTENTS["big"])))

    with pytest.raises(ChangedWhileRead, match="big"):
        judged_on_disk(tree, shards(CONTENTS, 1000), found=before)


def test_every_finding_has_an_explanation():
    rooms = Path(foreign.__file__).parent
    source = (rooms / "foreign.py").read_text() + (rooms / "predicates" / "oms.py").read_text()
    used = re.findall(r'(?:Finding\(|rule=)"(S-[A-Z]+)"', source)

    assert set(foreign.RULES) == set(used)
