"""Hashing: the digest that anyone can recompute, on any number of lanes, of files that stand still."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneguard.artifact import hasher, parallel
from tuneguard.artifact.digest import hash_descriptor, hash_file, hash_tree
from tuneguard.artifact.manifest import File
from tuneguard.errors import CannotLook, ChangedWhileRead, ForbiddenTree, Refused, UsageError
from tuneguard.files import directory
from tuneguard.limits import HASH_BUFFER
from world.trees import Meddler, as_nobody, make_tree

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.findings import Finding

pytestmark = pytest.mark.usefixtures("_no_leaks")

LARGE = parallel.SMALL * 3 + 17


def by_hand(root: Path) -> str:
    """The tree digest with find, sort and sha256sum alone."""
    command = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -- | sha256sum"
    done = subprocess.run(command, shell=True, cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def many(count: int) -> dict[str, bytes]:
    return {f"rows/{number % 7}/{number}.json": b"%d" % number for number in range(count)}


def test_find_sort_and_sha256sum_alone_recompute_the_digest(tree):
    root = tree(
        {
            "model.safetensors": os.urandom(LARGE),
            "a/z": b"1",
            "a-b": b"2",
            "a/b/c": b"",
            "-rf": b"3",
            "модель é.json": b"4",
            "Z x": b"5",
        }
    )

    assert hash_tree(root).digest == by_hand(root)


names = st.text(st.sampled_from("ab-.é_Zя *\\"), min_size=1, max_size=8).filter(lambda name: name.strip("."))


@given(st.dictionaries(names, st.binary(max_size=50), min_size=1, max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_that_passes_has_the_digest_that_the_tools_compute(tmp_path_factory, files):
    root = make_tree(tmp_path_factory.mktemp("any"), {f"d/{name}": data for name, data in files.items()})
    try:
        found = hash_tree(root)
    except ForbiddenTree:
        return

    assert found.digest == by_hand(root)


def test_each_file_has_its_size_and_hash(tree):
    data = os.urandom(LARGE)

    assert hash_tree(tree({"w": data, "e": b""})).files == (
        File("e", 0, hashlib.sha256(b"").hexdigest()),
        File("w", LARGE, hashlib.sha256(data).hexdigest()),
    )


@pytest.fixture
def small_blocks(monkeypatch):
    """Few files are enough for worker processes: `MANY` are."""
    monkeypatch.setattr(parallel, "BLOCK_FILES", 64)
    monkeypatch.setattr(parallel, "WORTH_PROCESSES", 128)


MANY = 300


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_lanes_does_not_matter(tree, workers):
    root = tree({**many(300), "w": os.urandom(LARGE), "v": os.urandom(LARGE * 2)})

    assert hash_tree(root, workers=workers).digest == by_hand(root)


def test_many_small_files_are_hashed_by_processes_with_the_same_result(tree):
    files = {**many(parallel.WORTH_PROCESSES + 700), "w": os.urandom(LARGE)}

    found = hash_tree(tree(files), workers=2)

    assert {file.path: file.sha256 for file in found.files} == {
        path: hashlib.sha256(data).hexdigest() for path, data in files.items()
    }


@pytest.mark.parametrize("count", [3, MANY])
def test_progress_is_told_in_bytes_and_ends_at_the_total(tree, small_blocks, count):
    files = {**many(count), "w": os.urandom(LARGE)}
    meddler = Meddler()

    found = hash_tree(tree(files), reporter=meddler, workers=2)

    assert meddler.done == meddler.total == found.size == sum(map(len, files.values()))


def test_a_descriptor_is_hashed_whatever_its_path_points_to_now(tree, tmp_path):
    root = tree({"a": b"1"})
    with directory(root) as descriptor:
        root.rename(tmp_path / "moved")
        make_tree(root, {"a": b"evil"})

        assert hash_descriptor(descriptor, name="x").files[0].sha256 == hashlib.sha256(b"1").hexdigest()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


CHANGES = {
    "rewritten with the same size": lambda root: (root / "small").write_bytes(b"EVIL"),
    "appended to": lambda root: append(root / "small", b"x"),
    "truncated": lambda root: os.truncate(root / "large", 10),
    "replaced": lambda root: (root / "new").rename(root / "small"),
    "removed": lambda root: (root / "small").unlink(),
    "added": lambda root: (root / "added").write_bytes(b""),
    "replaced by a FIFO": lambda root: ((root / "small").unlink(), os.mkfifo(root / "small")),
    "replaced by a link": lambda root: ((root / "small").unlink(), (root / "small").symlink_to("large")),
    "moved with its folder": lambda root: (root / "sub").rename(root / "bus"),
    "touched": lambda root: os.utime(root / "sub/deep"),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_tree_that_changes_while_it_is_hashed_refuses(tree, change, moment):
    root = tree({"small": b"good", "large": os.urandom(LARGE), "new": b"EVIL", "sub/deep": b"1"})
    meddler = Meddler(**{moment: lambda: change(root)})

    with pytest.raises(Refused) as caught:
        hash_tree(root, reporter=meddler)

    assert isinstance(caught.value, ChangedWhileRead) or str(caught.value).startswith("is a symbolic link")


def test_a_change_names_the_file_and_says_what_to_do(tree):
    root = tree({"a/small": b"good"})

    with pytest.raises(ChangedWhileRead) as caught:
        hash_tree(root, reporter=Meddler(after=lambda: (root / "a/small").write_bytes(b"EVIL")))

    assert str(caught.value) == f"changed while it was read at {root}/a/small"
    assert caught.value.help == "stop what writes to it, and run again"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_one_changed_file_among_many_in_worker_processes_refuses(tree, small_blocks, moment):
    root = tree(many(MANY))
    meddler = Meddler(**{moment: lambda: (root / "rows/3/10.json").write_bytes(b"xx")})

    with pytest.raises(ChangedWhileRead, match=r"rows/3/10\.json"):
        hash_tree(root, reporter=meddler, workers=2)


def test_a_file_that_grows_for_ever_ends_the_hashing(tree):
    root = tree({"log": b"x" * LARGE, **{f"f{number}": os.urandom(LARGE) for number in range(8)}})
    stop, grown = threading.Event(), threading.Event()

    def grow() -> None:
        with (root / "log").open("ab", buffering=0) as log:
            while not stop.is_set():
                log.write(b"x" * 4096)
                grown.set()

    def wait_for_more() -> None:
        grown.clear()
        grown.wait()

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        with pytest.raises(ChangedWhileRead, match="log"):
            hash_tree(root, reporter=Meddler(before=wait_for_more))
    finally:
        stop.set()
        growing.join()


SIZES = [0, 1, 5000, HASH_BUFFER - 1, HASH_BUFFER, HASH_BUFFER + 1]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_system_that_gives_less_than_was_asked_for_is_read_to_the_end(tree, monkeypatch, size):
    data = os.urandom(size)
    readv = os.readv
    monkeypatch.setattr(hasher.os, "readv", lambda descriptor, into: readv(descriptor, [into[0][:4000]]))

    assert hash_tree(tree({"x": data})).files == (File("x", size, hashlib.sha256(data).hexdigest()),)


@pytest.mark.parametrize(
    ("says", "holds"), [(size, size + 1) for size in SIZES] + [(1, 0), (LARGE + 1, LARGE)]
)
def test_a_file_that_holds_more_or_less_than_it_says_is_not_hashed(tmp_path, monkeypatch, says, holds):
    (tmp_path / "says").write_bytes(bytes(says))
    (tmp_path / "holds").write_bytes(bytes(holds))
    status = os.stat(tmp_path / "says")
    monkeypatch.setattr(hasher.os, "fstat", lambda _: status)

    with (tmp_path / "holds").open("rb") as file, pytest.raises(hasher.Unsteady):
        hasher.Hasher(-1).hash_open(file.fileno())


@pytest.mark.parametrize("count", [1, MANY])
def test_an_unreadable_file_is_told_as_such(tree, small_blocks, count):
    root = tree({"a": b"", **many(count)})
    (root / "rows/0/0.json").chmod(0)
    with directory(root) as descriptor, as_nobody(), pytest.raises(CannotLook) as caught:
        hash_descriptor(descriptor, name="tree", workers=2)

    assert str(caught.value) == "permission denied at tree/rows/0/0.json"


def test_an_interrupt_ends_all_lanes_and_processes(tree, small_blocks):
    root = tree({**many(MANY), "w": os.urandom(LARGE)})

    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        hash_tree(root, reporter=Meddler(before=interrupt), workers=2)

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash")]


def test_a_refused_tree_ends_the_processes_that_began_early(tree, small_blocks):
    root = tree(many(MANY))
    (root / "rows/6/link").symlink_to("/etc/passwd")

    with pytest.raises(ForbiddenTree):
        hash_tree(root, workers=2)


def test_a_worker_process_that_dies_is_no_answer(tree):
    with directory(tree({"a": b""})) as descriptor:
        worker = parallel._Worker(descriptor)
        try:
            os.kill(worker._process.pid, signal.SIGKILL)
            worker._process.wait()
            with pytest.raises(CannotLook, match="ended early"):
                worker.hash(["a"])
        finally:
            worker.close()


def test_a_root_that_is_missing_a_file_or_a_link_is_told_apart(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)

    for name, kind in [("none", UsageError), ("file", UsageError), ("link", Refused)]:
        with pytest.raises(kind, match=name):
            hash_tree(tmp_path / name)


def test_one_file_is_hashed_by_itself(tmp_path):
    data = os.urandom(LARGE)
    (tmp_path / "config.yaml").write_bytes(data)

    assert hash_file(tmp_path / "config.yaml") == File("config.yaml", LARGE, hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_only_a_regular_file_is_hashed_by_itself(tmp_path, make):
    make(tmp_path / "x")

    with pytest.raises(Refused, match=r"is not a regular file|is a symbolic link"):
        hash_file(tmp_path / "x")


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        hash_file(tmp_path / "x")


def test_beside_faults_the_rest_of_a_tree_is_hashed(tree):
    root = tree({"a": b"1", "b/c": b"2"})
    honest = hash_tree(root)
    (root / "b" / "logs").mkdir()
    faults: list[Finding] = []

    assert hash_tree(root, faults=faults) == honest
    assert [fault.rule for fault in faults] == ["T-EMPTY-DIR"]
