"""A training that waits for help, and a process outside that looks for it, to hand it an open descriptor.

Both are inert: what is handed on is a file of the test's own, and the training prints what it read there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from world import users

if TYPE_CHECKING:
    from pathlib import Path

WAITING = """
import os, socket, sys
os.chdir(sys.argv[-1])
os.chmod(".", 0o777)
listener = socket.socket(socket.AF_UNIX)
listener.bind("meet")
os.chmod("meet", 0o777)
listener.listen()
listener.settimeout(0.05)
print("waiting", flush=True)
while not os.path.exists("stop"):
    try:
        other, _ = listener.accept()
    except TimeoutError:
        continue
    _, handed, _, _ = socket.recv_fds(other, 100, 1)
    print("was handed", os.read(handed[0], 100).decode(), flush=True)
os.unlink("stop")
os.unlink("meet")
"""
"""The training: it opens the folder named last to everybody, and listens there until it finds ``stop``."""

HELPER = """
import json, os, socket, sys
folder, inside, path = sys.argv[1:]
processes = [name for name in os.listdir("/proc") if name.isdigit()]
met, refused = [], set()
for place in (folder, *(f"/proc/{process}/root{inside}" for process in processes)):
    try:
        os.chdir(place)
        with socket.socket(socket.AF_UNIX) as line, open(path, "rb") as file:
            line.connect("meet")
            socket.send_fds(line, [b"take this"], [file.fileno()])
        met.append("folder" if place == folder else "proc")
    except OSError as error:
        if place == folder:
            refused.add(error.strerror)
print(json.dumps({"uid": os.getuid(), "met": sorted(set(met)), "refused": sorted(refused)}))
"""
"""The helper: it tries the folder by its path out here, and by way of every process's root."""


def helped(folder: Path, inside: str, path: Path, uid: int = users.SOMEBODY) -> dict[str, Any]:
    """Run the helper as a user. Says where it met the training."""
    done = users.program("-I", "-S", "-c", HELPER, str(folder), inside, str(path), uid=uid)
    said: dict[str, Any] = json.loads(done.stdout)
    return said
