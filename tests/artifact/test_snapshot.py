"""Snapshots: the hash is the copy's, the copy is nobody else's, and nothing is left of a failed one."""

from __future__ import annotations

import hashlib
import mmap
import os
import resource
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tuneguard.artifact import parallel
from tuneguard.artifact.digest import hash_tree
from tuneguard.artifact.snapshot import PIECE, take
from tuneguard.errors import CannotLook, ChangedWhileRead, ForbiddenTree, UsageError
from world.trees import Meddler

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.findings import Finding

pytestmark = pytest.mark.usefixtures("_no_leaks")

FILES = {"model.safetensors": os.urandom(PIECE + 4097), "a/b/c.json": b"{}", "empty": b"", "a-b": b"1"}


@pytest.fixture
def shared(tmp_path) -> bool:
    """Whether this file system shares blocks, as ``cp`` finds it."""
    (tmp_path / "probe").write_bytes(b"x" * 10_000)
    command = ["cp", "--reflink=always", tmp_path / "probe", tmp_path / "probe2"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_snapshot_holds_the_same_bytes_and_says_how_it_was_made(tree, tmp_path, shared):
    root = tree(FILES)

    snapshot = take(root, tmp_path / "copy")

    assert snapshot.path == tmp_path / "copy"
    assert snapshot.how == ("reflink" if shared else "copy")
    assert snapshot.manifest == hash_tree(root) == hash_tree(snapshot.path)
    assert {file.path: (snapshot.path / file.path).read_bytes() for file in snapshot.manifest.files} == FILES


def test_a_snapshot_is_readable_by_its_owner_alone_and_nothing_in_it_runs(tree, tmp_path):
    root = tree({"run.sh": b"#!/bin/sh\n", "sub/x": b""})
    (root / "run.sh").chmod(0o6777)
    (root / "sub").chmod(0o777)

    take(root, tmp_path / "copy")

    found = {
        place: stat.S_IMODE(place.stat().st_mode)
        for place in [tmp_path / "copy", *(tmp_path / "copy").rglob("*")]
    }
    assert {place.name: mode for place, mode in found.items()} == {
        "copy": 0o500,
        "run.sh": 0o400,
        "sub": 0o500,
        "x": 0o400,
    }


def test_many_small_files_are_copied_too(tree, tmp_path):
    root = tree(
        {f"rows/{number % 5}/{number}": b"%d" % number for number in range(parallel.WORTH_PROCESSES + 100)}
    )

    assert take(root, tmp_path / "copy").manifest.digest == hash_tree(root).digest


def test_progress_is_told_in_bytes(tree, tmp_path):
    meddler = Meddler()

    snapshot = take(tree(FILES), tmp_path / "copy", reporter=meddler)

    assert meddler.done == meddler.total == snapshot.manifest.size


def test_writing_to_the_source_afterwards_does_not_reach_the_snapshot(tree, tmp_path):
    root = tree(FILES)
    os.link(root / "a-b", tmp_path / "another name")
    snapshot = take(root, tmp_path / "copy")

    (tmp_path / "another name").write_bytes(b"EVIL")
    with (root / "model.safetensors").open("r+b") as weights:
        weights.write(b"EVIL")

    assert hash_tree(snapshot.path) == snapshot.manifest


CHANGES = {
    "rewritten": lambda root: (root / "a/b/c.json").write_bytes(b"[]"),
    "rewritten in place with its times put back": lambda root: rewritten(root / "a-b"),
    "replaced": lambda root: ((root / "new").write_bytes(b"[]"), (root / "new").rename(root / "a/b/c.json")),
    "truncated": lambda root: os.truncate(root / "model.safetensors", PIECE),
    "added": lambda root: (root / "a/evil.py").write_bytes(b""),
    "removed": lambda root: (root / "empty").unlink(),
    "replaced by a FIFO": lambda root: ((root / "empty").unlink(), os.mkfifo(root / "empty")),
    "a folder replaced by a link": lambda root: linked(root / "a"),
}


def rewritten(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def linked(folder: Path) -> None:
    folder.rename(folder.parent.parent / "moved")
    folder.symlink_to(folder.parent.parent / "moved")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_rewrite_the_source_while_it_is_copied(tree, tmp_path, change, moment):
    root = tree(FILES)

    with pytest.raises(ChangedWhileRead):
        take(root, tmp_path / "copy", reporter=Meddler(**{moment: lambda: change(root)}))

    assert not (tmp_path / "copy").exists()


def test_rewrite_the_source_through_a_shared_mapping_while_it_is_copied(tree, tmp_path):
    # Such stores may move no time stamp, so that nothing is noticed: then the manifest must be the copy's.
    root = tree({"model.safetensors": os.urandom(4 * PIECE)})
    stop = threading.Event()

    def store() -> None:
        with (root / "model.safetensors").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
            number = 0
            while not stop.is_set():
                number += 1
                mapping[(number * 65_537) % len(mapping)] = number % 256

    storing = threading.Thread(target=store)
    storing.start()
    try:
        for attempt in range(3):
            try:
                snapshot = take(root, tmp_path / f"copy{attempt}")
            except ChangedWhileRead:
                assert not (tmp_path / f"copy{attempt}").exists()
            else:
                weights = (snapshot.path / "model.safetensors").read_bytes()
                assert snapshot.manifest.files[0].sha256 == hashlib.sha256(weights).hexdigest()
    finally:
        stop.set()
        storing.join()


def test_a_target_that_exists_is_left_alone(tree, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "precious").write_text("")

    with pytest.raises(UsageError, match="already exists"):
        take(tree(FILES), tmp_path / "copy")

    assert os.listdir(tmp_path / "copy") == ["precious"]


def test_a_target_that_is_a_dangling_link_is_not_followed(tree, tmp_path):
    (tmp_path / "copy").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="already exists"):
        take(tree(FILES), tmp_path / "copy")

    assert not (tmp_path / "elsewhere").exists()


def test_a_tree_above_the_limit_is_bound_where_nothing_can_be_shared(tree, tmp_path, shared):
    root = tree(FILES)

    snapshot = take(root, tmp_path / "copy", copy_limit=PIECE)

    if shared:
        assert (snapshot.how, snapshot.path) == ("reflink", tmp_path / "copy")
    else:
        assert (snapshot.how, snapshot.path) == ("bind", root)
        assert not (tmp_path / "copy").exists()
    assert snapshot.manifest == hash_tree(root)


def test_a_tree_at_the_limit_is_copied(tree, tmp_path):
    root = tree(FILES)

    assert take(root, tmp_path / "copy", copy_limit=sum(map(len, FILES.values()))).how in ("copy", "reflink")


def test_a_forbidden_tree_is_not_begun(tree, tmp_path):
    root = tree(FILES)
    (root / "link").symlink_to("/etc/passwd")

    with pytest.raises(ForbiddenTree, match="link"):
        take(root, tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


def test_nothing_is_left_of_a_copy_for_which_there_is_no_room(tree, tmp_path, shared):
    if shared:
        pytest.skip("a shared copy needs no room")
    root = tree({**FILES, "z": b""})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PIECE, before[1]))
    try:
        with pytest.raises(CannotLook, match="file too large"):
            take(root, tmp_path / "copy")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not (tmp_path / "copy").exists()


def test_nothing_is_left_of_an_interrupted_copy(tree, tmp_path):
    def interrupt() -> None:
        raise KeyboardInterrupt

    for moment in ("before", "after"):
        with pytest.raises(KeyboardInterrupt):
            take(tree(FILES), tmp_path / "copy", reporter=Meddler(**{moment: interrupt}))

        assert not (tmp_path / "copy").exists()


def test_faults_are_left_out_of_a_copy_and_told(tree, tmp_path):
    root = tree({"a": b"1", "b/c": b"2"})
    honest = hash_tree(root)
    (root / "b" / "logs").mkdir()
    (root / "link").symlink_to("a")
    faults: list[Finding] = []

    snapshot = take(root, tmp_path / "copy", faults=faults)

    assert snapshot.manifest == honest
    assert [fault.rule for fault in faults] == ["T-EMPTY-DIR", "T-SYMLINK"]
    assert not (tmp_path / "copy" / "link").is_symlink()


def test_a_folder_of_faults_alone_makes_an_empty_copy(tmp_path):
    (tmp_path / "source").mkdir()
    faults: list[Finding] = []

    assert take(tmp_path / "source", tmp_path / "copy", faults=faults).manifest.files == ()
    assert [fault.rule for fault in faults] == ["T-EMPTY-DIR"]


def test_a_tree_with_faults_that_is_bound_tells_each_once(tree, tmp_path):
    root = tree({"a": b"1"})
    (root / "link").symlink_to("a")
    faults: list[Finding] = []

    assert take(root, tmp_path / "copy", copy_limit=0, faults=faults).how in ("bind", "reflink")
    assert [fault.rule for fault in faults] == ["T-SYMLINK"]


def test_only_the_files_to_keep_are_copied_and_the_folders_that_hold_one(tree, tmp_path):
    source = tree({"a/b/weights": b"w", "a/c/optimizer": b"o", "d/optimizer": b"o", "config": b"c"})

    taken = take(source, tmp_path / "copy", keep=lambda path: not path.endswith("optimizer"))

    assert [file.path for file in taken.manifest.files] == ["a/b/weights", "config"]
    assert hash_tree(tmp_path / "copy") == taken.manifest
