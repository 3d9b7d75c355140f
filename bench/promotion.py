"""How many bytes of a tree the steps of a promotion read, and how long a step needs that reads none.

    python bench/promotion.py [--quick] [--temp DIR]

The bytes are those that the kernel counted for this process and its children (``rchar`` of
``/proc/self/io``); what is mapped into memory is not in it. A step that hashes the copy is the peer.

Then a whole promotion of a signed run, without the measuring, in units of one ``digest`` of its tree. It
needs a sandbox, in which the run is made.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "journey")]

from projects import ProjectFolder, set_up  # noqa: E402 (found by the line above)
from steps import Promotion  # noqa: E402 (found by the line above)

from tuneguard.artifact import snapshot  # noqa: E402 (found by the line above)
from tuneguard.artifact.digest import hash_tree  # noqa: E402 (found by the line above)
from tuneguard.project import evidence_log  # noqa: E402 (found by the line above)
from tuneguard.project.project import Project  # noqa: E402 (found by the line above)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
MIB = 1 << 20
ATTEMPT = "0" * 32
BEFORE = ("copy", "verify", "scan", "evaluate", "decide", "push", "push", "record")
"""Where a tree was hashed before steps worked from the manifest of the copy."""


TARGET = 6
TRAIN = """\
import json, os, pathlib, shutil, struct, sys
base, checkpoint, size = pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4]), {size}
shutil.copy(base / "config.json", checkpoint / "config.json")
names = [f"model-0000{{n}}-of-00004.safetensors" for n in range(1, 5)]
block = os.urandom(1 << 20)
for name in names:
    tensor = {{name[:11]: {{"dtype": "F32", "shape": [size // 16], "data_offsets": [0, size // 4]}}}}
    header = json.dumps(tensor).encode()
    header += b" " * (-len(header) % 8)
    with (checkpoint / name).open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size // 4 >> 20):
            file.write(block)
index = {{"metadata": {{"total_size": size}}, "weight_map": {{name[:11]: name for name in names}}}}
(checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the bytes")
    parser.add_argument("--temp", type=Path, help="where the files are made; by default the system's")
    options = parser.parse_args()
    size = (128 if options.quick else 2048) * MIB
    with tempfile.TemporaryDirectory(prefix="tuneguard-bench-", dir=options.temp) as folder:
        reading_steps(Path(folder), size)
    with tempfile.TemporaryDirectory(prefix="tuneguard-bench-", dir=options.temp) as folder:
        whole(Path(folder), size)


def reading_steps(folder: Path, size: int) -> None:
    """The bytes that single steps read."""
    here = Project(project_option=folder / "tuneguard.yaml")
    source = folder / "checkpoint"
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


def whole(folder: Path, size: int) -> None:
    """A promotion step by step, the measuring left out, in units of one digest of the tree."""
    project = ProjectFolder(folder / "project")
    os.environ["TUNEGUARD_HOME"] = str(folder / "home")
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):
        set_up(project)
        project.write("code/train.py", TRAIN.format(size=size))
        if project("run", "--run", "042", "--quiet") != 0:
            raise SystemExit("error: the run was refused: see above")
        checkpoint = project.path / "runs/042"
        hash_tree(checkpoint)  # into the page cache
        _, _, unit = measured(lambda: hash_tree(checkpoint))
        attempt, seconds = Promotion(project), {}
        pushed = project.path / "pushed.json"
        for name, step in {
            "copy": attempt.copy,
            "verify": attempt.verify,
            "scan": attempt.scan,
            "evaluate": attempt.evaluate,
            "decide": attempt.decide,
            "push": lambda: attempt.push("--json", "--output", str(pushed)),
            "record": lambda: attempt.record(json.loads(pushed.read_text())["facts"]["manifest"]),
        }.items():
            code, _, seconds[name] = measured(step)
            if code:
                raise SystemExit(f"error: {name} ended with {code}")
    del seconds["evaluate"]
    total = sum(seconds.values()) / unit
    each = ", ".join(f"{name} {taken / unit:.2f}" for name, taken in seconds.items())
    reached = "reached" if total <= TARGET else "missed"
    print(f"promotion without the measuring, in units of one digest of the tree ({unit:.2f} s)")
    print(f"  {total:.2f} in all   target {TARGET}: {reached}   ({each})")


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
