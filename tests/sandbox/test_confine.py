"""A process that gave up the network and writing cannot take them back, nor can its children."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TRIES = """\
import fcntl, json, os, pty, socket, subprocess, sys
from pathlib import Path
from tuneguard.sandbox.confine import confine
allowed, denied, network = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "network"
terminal = pty.openpty()[1]
failed = confine(
    network=network,
    writable=[allowed, allowed / "new/deep", allowed / "nowhere"],
    attributes=sys.argv[3] != "attributes",
)

def tried(what):
    try:
        what()
    except OSError as error:
        return error.errno
    return 0

def unshared():
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")

def cloned(flags):
    import ctypes, platform
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.syscall({"x86_64": 56, "aarch64": 220}[platform.machine()], flags, 0, 0, 0, 0)
    if made == 0:
        os._exit(0)
    if made < 0:
        raise OSError(ctypes.get_errno(), "clone")
    os.waitpid(made, 0)

def opened(what):
    there = os.open(denied / "there", os.O_RDONLY)
    try:
        what(there)
    finally:
        os.close(there)

def child():
    code = f"import socket; socket.socket(); open({str(denied / 'child')!r}, 'w')"
    if subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode:
        raise PermissionError(13, "child")

print(json.dumps({
    "failed": failed,
    "write": tried(lambda: (allowed / "made").write_text("x")),
    "rename": tried(lambda: (allowed / "made").rename(allowed / "moved")),
    "write elsewhere": tried(lambda: (denied / "made").write_text("x")),
    "change": tried(lambda: (denied / "there").write_text("x")),
    "truncate": tried(lambda: os.truncate(denied / "there", 0)),
    "remove": tried(lambda: (denied / "there").unlink()),
    "folder": tried(lambda: (denied / "folder").mkdir()),
    "link": tried(lambda: os.link(denied / "there", allowed / "linked")),
    "move in": tried(lambda: (denied / "there").rename(allowed / "taken")),
    "read": tried(lambda: (denied / "there").read_text()),
    "null": tried(lambda: Path("/dev/null").write_text("x")),
    "internet": tried(lambda: socket.socket(socket.AF_INET)),
    "internet6": tried(lambda: socket.socket(socket.AF_INET6)),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "trace": tried(lambda: os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))),
    "signal": tried(lambda: os.kill(os.getppid(), 0)),
    "namespace": tried(lambda: os.unshare(os.CLONE_NEWUSER) if hasattr(os, "unshare") else unshared()),
    "new namespace": tried(lambda: cloned(0x10000000 | 17)),
    "set-id": tried(lambda: (allowed / "moved").chmod(0o4755)),
    "chmod": tried(lambda: (denied / "there").chmod(0o777)),
    "chown": tried(lambda: os.chown(denied / "there", os.getuid(), os.getgid())),
    "xattr": tried(lambda: os.setxattr(denied / "there", "user.a", b"b")),
    "utime": tried(lambda: os.utime(denied / "there", (0, 0))),
    "fchmod": tried(lambda: opened(lambda there: os.fchmod(there, 0o777))),
    "unlock": tried(lambda: opened(lambda there: fcntl.flock(there, fcntl.LOCK_UN))),
    "flags": tried(lambda: opened(lambda there: fcntl.ioctl(there, 0x40086602, bytes(8)))),
    "type": tried(lambda: fcntl.ioctl(terminal, 0x5412, b"x")),
    "unix": tried(lambda: socket.socket(socket.AF_UNIX)),
    "child": tried(child),
}))
"""
OF_ATTRIBUTES = {"chmod", "chown", "xattr", "utime", "fchmod", "flags", "unlock"}
PERM, ACCES, XDEV, NOSUPPORT = 1, 13, 18, 97


def outcome(tmp_path: Path, network: str) -> dict[str, int | dict[str, str]]:
    allowed, denied = tmp_path / "allowed", tmp_path / "denied"
    allowed.mkdir()
    denied.mkdir()
    (allowed / "nowhere").symlink_to("not/there")  # hides no rule, and takes none away
    (denied / "there").write_text("kept")
    (denied / "there").chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", TRIES, allowed, denied, network], capture_output=True, check=True, text=True
    )
    found: dict[str, int | dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.sandbox
def test_what_was_given_up(tmp_path: Path):
    found = outcome(tmp_path, "none")

    assert found["failed"] == {}
    assert {name for name, code in found.items() if code == 0} - OF_ATTRIBUTES == {
        "write",
        "rename",
        "read",
        "null",
    }
    assert found["internet"] == found["internet6"] == found["netlink"] == found["unix"] == NOSUPPORT
    assert found["new namespace"] == found["set-id"] == found["type"] == PERM
    assert (tmp_path / "denied/there").read_text() == "kept"
    assert {found[name] for name in ("write elsewhere", "change", "truncate", "remove", "folder")} == {ACCES}


@pytest.mark.sandbox
def test_the_network_stays_where_it_is_needed(tmp_path: Path):
    found = outcome(tmp_path, "network")

    assert found["internet"] == found["unix"] == 0
    assert found["change"] == ACCES


@pytest.mark.sandbox
def test_attack_a_file_elsewhere_opened_to_everybody(tmp_path: Path):
    """Landlock governs no modes: a step that mounts nothing to write keeps them all."""
    found = outcome(tmp_path, "attributes")

    assert {found[name] for name in OF_ATTRIBUTES - {"fchmod"}} == {PERM}
    assert found["write"] == found["fchmod"] == 0  # every writer of files calls the latter, to no effect
    there = (tmp_path / "denied/there").stat()
    assert there.st_mode & 0o777 == 0o644
    assert there.st_mtime > 0
