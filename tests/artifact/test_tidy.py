"""A tree that a stranger wrote becomes this user's alone."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile

import pytest

from tuneguard import limits
from tuneguard.artifact.tidy import tidy
from tuneguard.errors import CannotLook, Refused
from tuneguard.files import directory
from world import users

LETS_A_USER_WRITE = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 7, 2**32 - 1), (2, 7, 61234), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1))
)
"""An access control list as the kernel takes it: the owner, user 61234, the group, the mask, others."""


def tidied(path, most=1 << 30):
    with directory(path) as root:
        tidy(root, name="the tree", most=most)


def modes(path):
    return {str(each.relative_to(path)): oct(each.lstat().st_mode & 0o7777) for each in path.rglob("*")}


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "weights").write_bytes(b"1234")
    (folder / "deep" / "deeper" / "config").write_bytes(b"12")
    return folder


@pytest.mark.parametrize("mode", [0o777, 0o7777, 0o000, 0o070])
def test_whatever_mode_the_stranger_set_it_is_ours_alone(tree, mode):
    for path in sorted(tree.rglob("*"), reverse=True):
        path.chmod(mode)
    tree.chmod(mode | 0o700)

    tidied(tree)

    assert tree.stat().st_mode & 0o7777 == 0o700
    assert modes(tree) == {
        "weights": "0o600", "deep": "0o700", "deep/deeper": "0o700", "deep/deeper/config": "0o600"
    }  # fmt: skip


def test_extended_attributes_and_access_lists_go(tree):
    for path in (tree, tree / "deep", tree / "weights"):
        os.setxattr(path, "user.note", b"x")
        os.setxattr(path, "system.posix_acl_access", LETS_A_USER_WRITE)
    os.setxattr(tree / "deep", "system.posix_acl_default", LETS_A_USER_WRITE)

    tidied(tree)

    for path in (tree, *tree.rglob("*")):
        assert os.listxattr(path) == []
    assert (tree / "weights").stat().st_mode & 0o7777 == 0o600


def test_no_link_is_followed_and_what_is_no_file_is_left(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"not theirs")
    outside.chmod(0o644)
    (tree / "link").symlink_to(outside)
    (tree / "folder").symlink_to(tmp_path)
    os.mkfifo(tree / "pipe", 0o666)
    with directory(tree) as root, socket.socket(socket.AF_UNIX) as end:
        end.bind(f"/proc/self/fd/{root}/socket")

    tidied(tree)

    assert outside.stat().st_mode & 0o777 == 0o644
    assert (tree / "link").is_symlink()
    assert (tree / "pipe").is_fifo()


def test_holes_and_each_name_of_a_file_count_and_nothing_is_read(tree):
    os.truncate(tree / "weights", 1 << 40)

    with pytest.raises(Refused, match="holds more than 1,073,741,824 bytes, holes in files counted"):
        tidied(tree)

    os.truncate(tree / "weights", 400)
    os.link(tree / "weights", tree / "again")
    with pytest.raises(Refused, match="holds more than 801 bytes"):
        tidied(tree, most=801)
    tidied(tree, most=802)


def test_more_entries_than_anybody_needs_are_refused(tree, monkeypatch):
    monkeypatch.setattr(limits, "OUTPUT_ENTRIES", 3)

    with pytest.raises(Refused, match="holds more than 3 files and folders"):
        tidied(tree)


def test_a_tree_that_is_too_deep_ends_where_the_walk_will_refuse_it(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(limits.TREE_DEPTH + 500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    tidied(tmp_path)


AS_USER = """
import os
from tuneguard.artifact.tidy import tidy
os.mkdir("tree"); os.mkdir("tree/shut"); open("tree/shut/file", "w").close()
os.chmod("tree/shut/file", 0); os.chmod("tree/shut", 0)
root = os.open("tree", os.O_RDONLY)
tidy(root, name="the tree", most=10)
print(oct(os.stat("tree/shut").st_mode), oct(os.stat("tree/shut/file").st_mode))
"""


def test_an_ordinary_user_too_gets_into_folders_that_were_shut():
    folder = tempfile.mkdtemp(prefix="tuneguard-test-")
    os.chmod(folder, 0o777)

    done = users.program("-c", AS_USER, cwd=folder)

    shutil.rmtree(folder)
    assert done.stdout == "0o40700 0o100600\n", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_cannot_be_changed_is_an_error_and_not_passed_over(tree):
    if subprocess.run(["chattr", "+i", str(tree / "weights")], check=False, capture_output=True).returncode:
        pytest.skip("no immutable files here")
    try:
        (tree / "deep").chmod(0o777)
        with pytest.raises(CannotLook, match="operation not permitted"):
            tidied(tree)
    finally:
        subprocess.run(["chattr", "-i", str(tree / "weights")], check=True)
