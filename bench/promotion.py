"""How many bytes of a tree the steps of a promotion read, and how long a step needs that reads none.

    python bench/promotion.py [--quick] [--temp DIR]

The bytes are those that the kernel counted for this process and its children (``rchar`` of
``/proc/self/io``); what is mapped into memory is not in it. A step that hashes the copy is the peer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from tuneguard.artifact import snapshot  # noqa: E402 (found by the line above)
from tuneguard.project import evidence_log  # noqa: E402 (found by the line above)
from tuneguard.project.project import Project  # noqa: E402 (found by the line above)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
MIB = 1 << 20
ATTEMPT = "0" * 32
BEFORE = ("copy", "verify", "scan", "evaluate", "decide", "push", "push", "record")
"""Where a tree was hashed before steps worked from the manifest of the copy."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the bytes")
    parser.add_argument("--temp", type=Path, help="where the files are made; by default the system's")
    options = parser.parse_args()
    size = (128 if options.quick else 2048) * MIB
    with tempfile.TemporaryDirectory(prefix="tuneguard-bench-", dir=options.temp) as folder:
        here = Project(project_option=Path(folder) / "tuneguard.yaml")
        source = Path(folder) / "checkpoint"
        source.mkdir()
        for number in range(1, 5):
            (source / f"model-{number}-of-4.safetensors").write_bytes(os.urandom(MIB) * (size // 4 // MIB))
        attempt = here.state_directory("attempts") / ATTEMPT
        attempt.mkdir(mode=0o700)
        taken, copied, copying = measured(lambda: snapshot.take(source, attempt / "tree"))
        evidence_log.keep_manifest(taken.manifest, attempt)
        tree = taken.manifest.digest
        _, hashed, hashing = measured(lambda: evidence_log.bound(taken.path, tree, here))
        _, read, reading = measured(lambda: evidence_log.copied(taken.path, tree, ATTEMPT, here))
        snapshot.remove(taken.path)
    print(f"4 files, {size // MIB:,} MiB")
    print(
        f"  copy:                       {copied / size:6.2f} of the tree read, {copying:7.3f} s ({taken.how})"
    )
    print(f"  a step that hashes:         {hashed / size:6.2f} of the tree read, {hashing:7.3f} s")
    print(f"  a step that reads no bytes: {read / size:6.2f} of the tree read, {reading:7.3f} s")
    now = ("copy", "scan", "evaluate", "push")
    print(f"  passes in a promotion:      {len(now)} ({', '.join(now)}), and {len(BEFORE)} before")


def measured(call: Callable[[], T]) -> tuple[T, int, float]:
    """What the call returns, how many bytes were read meanwhile, and the seconds."""
    bytes_before, before = read_so_far(), time.perf_counter()
    result = call()
    seconds = time.perf_counter() - before
    return result, read_so_far() - bytes_before, seconds


def read_so_far() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, value = line.partition(": ")
        if name == "rchar":
            return int(value)
    raise SystemExit("error: /proc/self/io names no rchar")


if __name__ == "__main__":
    main()
