"""Manifests as values, their digest, and the two foreign forms, against the tools that speak them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.artifact.digest import hash_tree
from tuneguard.artifact.manifest import Difference, File, Manifest
from tuneguard.artifact.tree import fault_of_path
from tuneguard.errors import NotUnderstood

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def manifest(**files: str) -> Manifest:
    return Manifest(tuple(File(path, 1, sha256) for path, sha256 in sorted(files.items())))


def test_the_digest_is_the_hash_of_the_lines():
    assert manifest(x=A, y=B).digest == hashlib.sha256(f"{A}  x\n{B}  y\n".encode()).hexdigest()


def test_the_digest_commits_to_names():
    assert manifest(config_json=A).digest != manifest(config_py=A).digest


def test_the_same_manifest_differs_in_nothing():
    assert not manifest(x=A).compare(manifest(x=A))


def test_a_difference_names_what_is_missing_added_and_changed():
    difference = manifest(gone=A, kept=A, other=A).compare(manifest(kept=A, new=B, other=C))

    assert difference == Difference(missing=("gone",), added=("new",), changed=(("other", A, C),))
    assert difference


def test_paths_are_left_out_by_name():
    assert manifest(x=A, y=B).without({"y", "not there"}) == manifest(x=A)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ([("b", 1, A), ("a", 1, A)], "a path out of its bytes' order"),
        ([("a", 1, A), ("a", 1, B)], "a path that is listed twice"),
        ([("/etc/passwd", 1, A)], "a path that is absolute"),
        ([("a/../../b", 1, A)], "a path that is empty, . or .."),
        ([("", 1, A)], "a path that is empty, . or .."),
        ([("a\nb", 1, A)], "a path that holds a control character or a line separator"),
        ([("a", -1, A)], "a negative size"),
        ([("a", 1, A.upper())], "a digest that is not 64 lower hex digits"),
        ([("a", 1, A + "\n")], "a digest that is not 64 lower hex digits"),
    ],
)
def test_a_list_that_is_no_tree_makes_no_manifest(files, fault):
    with pytest.raises(NotUnderstood) as caught:
        Manifest(tuple(File(*file) for file in files))

    assert str(caught.value).startswith(f"{fault} in a manifest")


def test_sha256sum_accepts_what_we_write(tree):
    root = tree({"a/b c.json": b"1", "-rf": b"2", "модель": b"3", " x": b"4", "*y": b""})
    (root.parent / "checksums.sha256").write_bytes(hash_tree(root).to_checksums())

    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", "../checksums.sha256"], cwd=root, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout.count(b": OK\n"), checked.stderr) == (0, 5, b"")


@pytest.mark.parametrize("mode", ["--text", "--binary"])
def test_we_read_what_sha256sum_writes(tree, mode):
    root = tree({"a/b c.json": b"1", "модель": b"3", " x": b"4"})
    found = hash_tree(root)
    written = subprocess.run(
        ["sha256sum", mode, *(file.path for file in found.files)], cwd=root, capture_output=True, check=True
    ).stdout

    assert Manifest.read_checksums(written, "c") == {file.path: file.sha256 for file in found.files}


def test_a_name_that_sha256sum_escapes_is_refused(tmp_path):
    (tmp_path / "a\\b").write_bytes(b"")
    written = subprocess.run(["sha256sum", "a\\b"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert written.startswith(b"\\")

    with pytest.raises(NotUnderstood, match="no line of sha256sum"):
        Manifest.read_checksums(written, "c")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x", "is no line of sha256sum: 64 hex digits, two spaces, a path at sums:1"),
        (
            f"{A}  a\n\n{B}  b\n".encode(),
            "is no line of sha256sum: 64 hex digits, two spaces, a path at sums:2",
        ),
        (f"{A}  a\n{B}  a\n".encode(), "the path a is listed twice at sums:2"),
        (f"{A}  ../a\n".encode(), "the path ../a is empty, . or .. at sums:1"),
        (f"{A}  ./a\n".encode(), "the path ./a is empty, . or .. at sums:1"),
        (f"{A}  /a\n".encode(), "the path /a is absolute at sums:1"),
        (f"{A}  a\r\n".encode(), "the path a\\x0d holds a control character or a line separator at sums:1"),
        (A.encode() + b"  \xff\n", "is not UTF-8 at sums:1"),
    ],
)
def test_other_lines_are_not_understood_and_their_place_is_told(data, message):
    with pytest.raises(NotUnderstood) as caught:
        Manifest.read_checksums(data, "sums")

    assert str(caught.value) == message


def test_the_usual_dot_slash_is_told_how_to_mend():
    with pytest.raises(NotUnderstood) as caught:
        Manifest.read_checksums(f"{A}  ./a\n".encode(), "sums")

    assert caught.value.help == "write the path without ./"


def test_checksums_of_more_bytes_than_the_bound_are_not_read(monkeypatch):
    monkeypatch.setattr(limits, "MANIFEST_BYTES", 10)

    with pytest.raises(NotUnderstood, match="larger than 10 bytes"):
        Manifest.read_checksums(f"{A}  a\n".encode(), "sums")


def seed_manifest(folder: Path) -> dict:
    """The plain script's `compute_checkpoint_manifest`, its indentation restored."""
    manifest = {"files": {}, "metadata": {}}
    for file_path in sorted(folder.rglob("*")):
        if file_path.is_file():
            sha256 = hashlib.sha256()
            with open(file_path, "rb") as f:
                for chunk in iter(lambda: f.read(8192), b""):
                    sha256.update(chunk)
            relative = str(file_path.relative_to(folder))
            manifest["files"][relative] = sha256.hexdigest()
    return manifest


def test_the_seeds_manifest_is_written_byte_for_byte(tree, tmp_path):
    root = tree({"a/z": b"1", "a-b": b"2", "a.json": b"3", "Z/ы/x": b"4", "a/b/c": b"", "🙂": b"5"})
    with open(tmp_path / "manifest.json", "w") as f:
        json.dump(seed_manifest(root), f, indent=2)

    found = hash_tree(root)

    assert found.to_cosign_manifest() == (tmp_path / "manifest.json").read_bytes()
    assert [file.path for file in found.files][:3] == [
        "Z/ы/x",
        "a-b",
        "a.json",
    ]  # another order than the seed's


def test_the_seeds_manifest_of_nothing_is_written_as_it_writes_it():
    assert Manifest(()).to_cosign_manifest() == json.dumps({"files": {}, "metadata": {}}, indent=2).encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", 'is no manifest: {"files": {…}, "metadata": {…}}'),
        ('{"files": {}}', 'is no manifest: {"files": {…}, "metadata": {…}}'),
        ('{"files": {}, "metadata": {}, "more": 1}', 'is no manifest: {"files": {…}, "metadata": {…}}'),
        ('{"files": [], "metadata": {}}', "`files` and `metadata` must both be objects"),
        (f'{{"files": {{"a": "{A}", "a": "{B}"}}, "metadata": {{}}}}', "duplicate key `a`"),
        (f'{{"files": {{"../a": "{A}"}}, "metadata": {{}}}}', "the path ../a is empty, . or .."),
        (f'{{"files": {{"/a": "{A}"}}, "metadata": {{}}}}', "the path /a is absolute"),
        (
            f'{{"files": {{"a\\u0000": "{A}"}}, "metadata": {{}}}}',
            "the path a\\x00 holds a control character",
        ),
        ('{"files": {"a": "abc"}, "metadata": {}}', "the SHA-256 of a is not 64 lower hex digits"),
        ('{"files": {"a": null}, "metadata": {}}', "the SHA-256 of a is not 64 lower hex digits"),
        ('{"files": {"\\ud800": 1}, "metadata": {}}', "half of a surrogate pair"),
        ("{", "is not JSON"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_a_seed_manifest_of_another_shape_is_not_understood(text, message):
    with pytest.raises(NotUnderstood) as caught:
        Manifest.read_cosign_manifest(text.encode(), "manifest.json")

    assert message in str(caught.value)


paths = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(
    lambda path: fault_of_path(path) is None
)
manifests = st.dictionaries(paths, st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=8).map(
    lambda files: Manifest(tuple(File(path, 0, sha256) for path, sha256 in sorted(files.items())))
)


@given(manifests)
def test_both_forms_are_read_back_as_they_were_written(written):
    files = {file.path: file.sha256 for file in written.files}

    assert Manifest.read_checksums(written.to_checksums(), "c") == files
    assert Manifest.read_cosign_manifest(written.to_cosign_manifest(), "m") == files


@given(manifests, manifests)
def test_two_manifests_have_one_digest_exactly_if_nothing_differs(one, other):
    assert (one.digest == other.digest) == (not one.compare(other))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_our_words(data):
    for read in (Manifest.read_checksums, Manifest.read_cosign_manifest):
        with contextlib.suppress(NotUnderstood):
            assert all(fault_of_path(path) is None for path in read(data, "x"))
