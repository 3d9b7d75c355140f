"""Flushing a tree: each file and each folder's names, before anybody vouches for it."""

from __future__ import annotations

import os

import pytest

from tuneguard.artifact.digest import hash_tree
from tuneguard.artifact.durable import flush
from tuneguard.errors import CannotLook
from tuneguard.files import FAULT_AT, directory

pytestmark = pytest.mark.usefixtures("_no_leaks")


def test_every_file_and_then_every_folder_is_flushed_the_deepest_first(tree, tmp_path, monkeypatch):
    root = tree({"b": b"1", "a/c/d": b"2", "a/c/e": b"3"})
    manifest = hash_tree(root)
    monkeypatch.setenv(FAULT_AT, f"0:{tmp_path}/count")

    with directory(root) as top:
        flush(top, manifest, name="tree")

    assert (tmp_path / "count").read_text().split() == [
        *("fsync:a/c/d", "fsync:a/c/e", "fsync:b"),
        *("fsync:a/c/", "fsync:a/", "fsync:/"),
    ]


@pytest.mark.parametrize("swap", [os.unlink, lambda path: (path.unlink(), path.symlink_to("b"))])
def test_a_file_that_is_gone_could_not_be_flushed(tree, swap):
    root = tree({"a": b"1", "b": b"2"})
    manifest = hash_tree(root)
    swap(root / "a")

    with directory(root) as top, pytest.raises(CannotLook, match="tree/a"):
        flush(top, manifest, name="tree")
