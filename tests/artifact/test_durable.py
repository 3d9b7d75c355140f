"""Flushing a tree: each file and each folder's names, before anybody vouches for it."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tuneguard.artifact import durable
from tuneguard.artifact.digest import hash_tree
from tuneguard.artifact.durable import flush, flushed_meanwhile
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


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_file_is_flushed_while_it_is_written_and_closed_only_after_that(tmp_path, monkeypatch, pool):
    monkeypatch.setattr(durable, "EARLY_BYTES", 100)
    begun, written, flushed = threading.Event(), threading.Event(), []

    def slow(descriptor: int) -> None:
        begun.set()
        written.wait()
        flushed.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(durable.os, "fdatasync", slow)
    with (tmp_path / "a").open("wb", buffering=0) as file:
        with flushed_meanwhile(file.fileno(), pool) as wrote:
            for _ in range(5):
                wrote(file.write(bytes(50)))
            begun.wait()
            written.set()

        assert flushed == [250]


@pytest.mark.parametrize("more", [0, 1])
def test_a_disk_that_fails_in_between_is_told(tmp_path, monkeypatch, pool, more):
    """The kernel tells it once: the last flush would succeed."""
    monkeypatch.setattr(durable, "EARLY_BYTES", 1)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable.os, "fdatasync", fail)

    def write(descriptor: int) -> None:
        with flushed_meanwhile(descriptor, pool) as wrote:
            wrote(1)
            for _ in range(more):
                pool.submit(int).result()  # the flush before it is over
                wrote(1)

    with (tmp_path / "a").open("wb") as file, pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write(file.fileno())


def test_what_ends_the_writing_is_told_and_not_what_the_disk_said(monkeypatch, pool):
    monkeypatch.setattr(durable, "EARLY_BYTES", 1)
    monkeypatch.setattr(durable.os, "fdatasync", os.close)  # fails: of no descriptor

    def write() -> None:
        with flushed_meanwhile(-1, pool) as wrote:
            wrote(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
