"""The socket between the supervisor and the first process of the sandbox: a JSON object a line."""

from __future__ import annotations

import json
import socket
from typing import Any

Plan = dict[str, Any]


class Line:
    """The socket to the supervisor."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._held = b""

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def emit(self, **message: Any) -> None:
        """Send one message."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> Plan | None:
        """Wait for one message; None at the end."""
        while b"\n" not in self._held:
            data = self._socket.recv(1 << 16)
            if not data:
                return None
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        message: Plan = json.loads(line)
        return message
