"""Canaries: what lies outside a sandbox, which probes from inside must not reach."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tuneguard.errors import CannotLook
from tuneguard.files import printable
from tuneguard.sandbox import layout


class CannotPlaceCanaries(CannotLook):
    """Nothing can be written where temporary files go, which proves nothing about a sandbox."""


@dataclass
class Canaries:
    """The canaries outside, which the probes must not reach: a file, two listeners, made-up files."""

    folder: Path = field(init=False)
    abstract: str = field(init=False)
    _listeners: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="tuneguard-"))
            try:
                self._fill()
            except BaseException:
                self.remove()
                raise
        except OSError as error:
            raise CannotPlaceCanaries(
                f"no temporary file can be written: {printable(error.strerror or str(error)).lower()}",
                help="free some space, or name another folder for such files: TMPDIR",
            ) from error
        return self

    def _fill(self) -> None:
        for name, text in layout.MADE.items():
            (self.folder / name).write_text(text, "ascii")
            (self.folder / name).chmod(0o644)  # whatever our umask: the command may have another uid
        (self.folder / "canary").write_bytes(b"")
        self.abstract = self.folder.name
        tcp = socket.create_server(("127.0.0.1", 0), backlog=1)
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listeners += [tcp, unix]
        unix.bind("\0" + self.abstract)
        unix.listen(1)

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Once the controls are tried it has served: what is bound stays bound when its name is gone."""
        for listener in self._listeners:
            listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def outside(self) -> dict[str, Any]:
        """What the trials compare with and try to reach."""
        return {
            "net": os.readlink("/proc/self/ns/net"),
            "pid": os.readlink("/proc/self/ns/pid"),
            "supervisor": os.getpid(),
            "canary": str(self.folder / "canary"),
            "port": self._listeners[0].getsockname()[1],
            "abstract": self.abstract,
        }
