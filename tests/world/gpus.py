"""Stand-ins for GPUs: a folder that looks like the root of a machine with NVIDIA's driver.

Its device nodes lead to harmless devices of this machine, so a sandbox can open them; nothing computes. Those
of the GPUs lead to terminals that were made for them: nobody else holds one.
"""

from __future__ import annotations

import contextlib
import os
import platform
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NODES = {
    "nvidiactl": "/dev/null",
    "nvidia-uvm": "/dev/random",
    "nvidia-uvm-tools": "/dev/urandom",
    "nvidia-caps/nvidia-cap12": "/dev/null",
    "nvidia-caps/nvidia-cap13": "/dev/zero",
}
"""Each node that GPUs share or that is a part's, and the harmless device that it is."""
UUIDS = tuple(f"GPU-{number}0000000-aaaa-bbbb-cccc-ddddeeeeffff" for number in range(2))
PART = "MIG-50000000-aaaa-bbbb-cccc-ddddeeeeffff"
DRIVER = "570.86.15"
CUDA = "/opt/nvidia/lib/libcuda.so.1"

_CACHE = "<20s 2I B3x I 12x"
_ENTRY = "<iIIIQ"
_FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03}


@contextlib.contextmanager
def machine(root: Path, *, cards: int = 2, libraries: tuple[str, ...] = (CUDA,)) -> Iterator[Path]:
    """A root with a driver, `cards` GPUs and their nodes, and libraries where the loader looks."""
    for name, real in NODES.items():
        node = root / "dev" / name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.symlink_to(real)
    held = [_terminal(root / f"dev/nvidia{number}") for number in range(cards)]
    for number in range(cards):
        describe(root, number)
    version = root / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True, exist_ok=True)
    version.write_text(
        f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {DRIVER}  Release Build\nGCC\n"
    )
    for path in libraries:
        real = root / path.lstrip("/")
        real.parent.mkdir(parents=True, exist_ok=True)
        real.with_name(real.name.removesuffix(".1") + f".{DRIVER}").write_bytes(b"a library of the driver")
        real.symlink_to(real.name.removesuffix(".1") + f".{DRIVER}")
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/ld.so.cache").write_bytes(_cache(libraries))
    yield root
    for descriptor in held:
        os.close(descriptor)


def hold(node: Path) -> int:
    """Open a node, as a process does that uses the GPU."""
    return os.open(node, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def _terminal(node: Path) -> int:
    """A new terminal at `node`. It is there while the descriptor is open."""
    held, terminal = os.openpty()
    path = os.ttyname(terminal)
    os.close(terminal)
    os.chmod(path, 0o666)
    node.symlink_to(path)
    return held


def describe(root: Path, number: int, **changed: str) -> None:
    """What the driver says of a GPU, with some of it changed: ``Gpu_UUID="…"``."""
    said = {
        "Model": "NVIDIA H100 PCIe",
        "GPU UUID": UUIDS[number],
        "Device Minor": str(number),
        "GPU Excluded": "No",
    } | {name.replace("_", " "): value for name, value in changed.items()}
    folder = root / f"proc/driver/nvidia/gpus/0000:{number + 1:02x}:00.0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "information").write_text("".join(f"{name}: \t {value}\n" for name, value in said.items()))


def specification(name: str, *nodes: str, **common: object) -> dict[str, object]:
    """What nvidia-ctk writes for a device with these nodes: number, UUID and ``all`` are its names."""
    edits = {"deviceNodes": [{"path": node} for node in nodes]}
    return {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": each, "containerEdits": edits} for each in ("0", name, "all")],
        "containerEdits": {
            "env": ["NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [{"path": "/dev/nvidiactl"}, {"path": "/dev/nvidia-uvm"}],
            "hooks": [
                {
                    "hookName": "createContainer",
                    "path": "/usr/bin/nvidia-cdi-hook",
                    "args": ["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib", "--folder", "/lib"],
                }
            ],
            **common,
        },
    }


def _cache(paths: tuple[str, ...]) -> bytes:
    """What ldconfig writes, in the form of glibc 2.32 and newer."""
    texts, entries = b"", b""
    begin = struct.calcsize(_CACHE) + len(paths) * struct.calcsize(_ENTRY)
    for path in paths:
        name = path.rsplit("/", 1)[1].encode() + b"\0"
        entries += struct.pack(
            _ENTRY, _FLAGS[platform.machine()], begin + len(texts), begin + len(texts) + len(name), 0, 0
        )
        texts += name + path.encode() + b"\0"
    return struct.pack(_CACHE, b"glibc-ld.so.cache1.1", len(paths), len(texts), 2, 0) + entries + texts
