"""Nothing here reaches the network: libraries are told so, and a socket to any other machine is refused."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "offline",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",  # two threads on a small model wait for each other
    "GLOO_SOCKET_IFNAME": "lo",
}
CHILD = Path(__file__).parent / "child"
"""On PYTHONPATH its `sitecustomize` does in a child what `enforce` does here."""


def enforce() -> None:
    """Set the environment for this process and its children, and refuse sockets."""
    os.environ.update(ENVIRONMENT)
    paths = [str(CHILD), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    sys.addaudithook(refuse)


def refuse(event: str, arguments: tuple) -> None:
    """An audit hook: a connection or a look-up that leaves the machine is an error with the address in it."""
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"  # a Unix socket has a path
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not is_here(host):
        raise ConnectionRefusedError(f"{event}: the tests of frameworks do not reach {host}")


def is_here(host: object) -> bool:
    """Whether a host is this machine."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", os.uname().nodename):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False
