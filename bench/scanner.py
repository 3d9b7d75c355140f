"""How fast the scanner reads, and how much memory it takes, on large and on hostile files.

    python bench/scanner.py [--quick] [--temp DIR]

Pickles are compared with `pickletools.genops` over the same bytes in the same run, which only splits
a stream into opcodes and follows nothing. Plain bytes are compared with `zlib.crc32` over them. Each
scan runs in a process of its own, whose start-up is not counted and whose peak memory is.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from tuneguard.scanner.engine import scan_paths  # noqa: E402 (found by the line above)
from tuneguard.scanner.rule import rules  # noqa: E402 (found by the line above)
from world import pickles as p  # noqa: E402 (found by the line above)
from world.zips import torch_zip  # noqa: E402 (found by the line above)

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


def main() -> None:
    options = arguments()
    scale = 10 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="tuneguard-bench-", dir=options.temp) as folder:
        for name, make in CASES.items():
            path = Path(folder) / NAMES.get(name, "model.pkl")
            compared = make(path, scale)
            run(name, path, compared)
            path.unlink()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--temp", type=Path, help="where the files are made; by default the system's")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(options.child)))
        sys.exit()
    return options


def measured(path: Path) -> dict[str, float | str]:
    """One scan, in this process."""
    rules()
    before = peak_memory()
    start = time.process_time()
    result = scan_paths([path])
    seconds = time.process_time() - start
    return {"seconds": seconds, "mib": (peak_memory() - before) / 1024, "verdict": str(result.verdict)}


def peak_memory() -> int:
    """KiB. From the kernel's own mark, since `ru_maxrss` is inherited from the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def run(name: str, path: Path, compared: Callable[[], str] | None) -> None:
    size = path.stat().st_size / MIB
    command = [sys.executable, __file__, "--child", str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    took, peak = found["seconds"], found["mib"]
    print(f"{name:<38} {size:7.1f} MiB {took:6.2f} s {peak:5.0f} MiB memory  {found['verdict']}")
    if compared is not None:
        other, seconds = compared()
        print(f"{'':<38} {took / seconds:.2f} × {other} ({seconds:.2f} s)", flush=True)


def genops(data: bytes) -> tuple[str, float]:
    start = time.process_time()
    for _ in pickletools.genops(data):
        pass
    return "pickletools.genops", time.process_time() - start


def crc32(path: Path) -> tuple[str, float]:
    start = time.process_time()
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(MIB):
            value = zlib.crc32(chunk, value)
    return "zlib.crc32 over the file", time.process_time() - start


def small_objects(path: Path, scale: int):
    rows = [{"name": f"row{i}", "value": i * 1.5, "tags": ["a", "b", i]} for i in range(700_000 // scale)]
    data = pickle.dumps(rows, protocol=4)
    path.write_bytes(data)
    return lambda: genops(data)


def optimizer(path: Path, scale: int):
    count = 90_000 // scale
    numbers = os.urandom(900 * 4)
    numbers = b"\0" + numbers[1:]
    state = b"".join(p.integer(i) + p.tensor(str(i), 900) + b"s" for i in range(count))
    data = p.stream(b"}", state)
    path.write_bytes(torch_zip(data, dict.fromkeys(map(str, range(count)), numbers)))
    return lambda: genops(data)


def tensors(path: Path, scale: int):
    size = 1024 * MIB // scale
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        block = b"\0" + os.urandom(MIB - 1)
        for _ in range(size // MIB):
            file.write(block)
        file.write(block[: size % MIB])
    return lambda: crc32(path)


def hostile(body: Callable[[int], bytes]):
    def make(path: Path, scale: int) -> None:
        path.write_bytes(p.proto(4) + body(50_000_000 // scale))

    return make


CASES = {
    "700,000 small objects": small_objects,
    "an optimizer state of 90,000 tensors": optimizer,
    "one tensor": tensors,
    "hostile: dictionaries in the memo": hostile(lambda n: b"}\x94" * (n // 2)),
    "hostile: dictionaries on the stack": hostile(lambda n: b"}" * n),
    "hostile: marks": hostile(lambda n: b"(" * n),
    "hostile: one tuple in another": hostile(lambda n: b")" + b"\x85" * n),
    "hostile: a list of numbers": hostile(lambda n: b"](" + b"K\x01" * (n // 2) + b"e"),
    "hostile: keys": hostile(lambda n: b"}" + b"K\x01Ns" * (n // 4)),
    "hostile: names": hostile(lambda n: b"".join(b"ca\n%d\n0" % i for i in range(n // 10))),
    "hostile: calls": hostile(lambda n: b"cposix\nsystem\n\x940" + b"h\x00)R0" * (n // 5)),
}

NAMES = {"an optimizer state of 90,000 tensors": "optimizer.pt", "one tensor": "model.safetensors"}

if __name__ == "__main__":
    main()
