"""Removal: any tree that foreign code may leave behind, and nothing outside of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuneguard.artifact.removal import remove
from tuneguard.artifact.snapshot import take
from tuneguard.errors import CannotLook, Refused
from world.trees import as_nobody, deep, make_tree

pytestmark = pytest.mark.usefixtures("_no_leaks")


def test_a_snapshot_is_removed(tree, tmp_path):
    take(tree({"a/b/c": b"1", "d": b"2"}), tmp_path / "copy")

    remove(tmp_path / "copy")

    assert os.listdir(tmp_path) == ["tree"]


def test_what_is_not_there_is_removed_already(tmp_path):
    remove(tmp_path / "none")
    remove(tmp_path / "none" / "deeper")


def test_ten_thousand_levels_are_removed(in_memory):
    deep(in_memory / "tree", 10_000)

    remove(in_memory / "tree")

    assert os.listdir(in_memory) == []


def test_links_are_removed_and_what_they_point_to_is_not(tree, tmp_path):
    outside = make_tree(tmp_path / "outside", {"precious": b""})
    root = tree({"a/b": b""})
    (root / "folder").symlink_to(outside)
    (root / "a/file").symlink_to(outside / "precious")
    os.mkfifo(root / "a/fifo")

    remove(root)

    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert (outside / "precious").exists()


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("outside"), lambda path: path.write_bytes(b"")]
)
def test_only_a_folder_is_removed(tmp_path, make):
    make_tree(tmp_path / "outside", {"precious": b""})
    make(tmp_path / "x")

    with pytest.raises(Refused, match="is not a folder"):
        remove(tmp_path / "x")

    assert (tmp_path / "outside/precious").exists()
    assert os.path.lexists(tmp_path / "x")


def test_names_of_any_bytes_and_folders_without_permissions_are_removed(in_memory):
    in_memory.chmod(0o777)
    with as_nobody():
        root = make_tree(in_memory / "tree", {"a/b/c": b"", "d/e": b""})
        Path(os.fsdecode(bytes(root) + b"/a/\xff\n\x1b")).mkdir()
        (root / "a/b").chmod(0)
        (root / "a").chmod(0)
        root.chmod(0o500)

        remove(root)

    assert os.listdir(in_memory) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is somebody else's")
def test_what_may_not_be_deleted_is_told_and_stays(in_memory):
    in_memory.chmod(0o755)
    root = make_tree(in_memory / "tree", {"a": b""})

    with as_nobody(), pytest.raises(CannotLook, match="permission denied"):
        remove(root)

    assert (root / "a").exists()


def test_what_is_mounted_inside_survives(tmp_path):
    code = "import pathlib, sys, tuneguard.artifact.removal as it; it.remove(pathlib.Path(sys.argv[1]))"
    script = """
        mount --bind "$1/outside" "$1/tree/a/mounted" || exit 77
        "$2" -c "$3" "$1/tree" 2>&1 | tail -1
    """
    make_tree(tmp_path / "outside", {"precious": b""})
    (tmp_path / "tree/a/mounted").mkdir(parents=True)
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        ["unshare", "-Umr", "sh", "-c", script, "sh", tmp_path, sys.executable, code],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("this machine gives no mount namespace")

    assert "something is mounted in it" in done.stdout
    assert (tmp_path / "outside/precious").exists()
