"""How fast trees are hashed, as ratios to what else this machine can do, measured in the same run.

    python bench/hashing.py [--quick] [--temp DIR] [--rounds N]

All files are in the page cache, start-up of our interpreter is not counted, that of the tools is.
Each competitor runs once a round, in turn; its best round counts, by the clock and, in brackets, by
processor time, which says the same on a machine that does nothing else and is steadier on one that
does. Needs `openssl` and coreutils; model_signing is compared where it is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from tuneguard.artifact.digest import hash_tree  # noqa: E402 (found by the line above)
from tuneguard.artifact.parallel import cores  # noqa: E402

MIB = 1 << 20


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="tuneguard-bench-", dir=options.temp) as folder:
        for part in (four_files, one_file, small_files):
            part(Path(folder), options.quick, options.rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the bytes, a tenth of the files")
    parser.add_argument("--temp", type=Path, help="where the files are made; by default the system's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak_memory(options.peak)))
        sys.exit()
    return options


def four_files(folder: Path, quick: bool, rounds: int) -> None:
    size = (64 if quick else 1024) * MIB
    tree = folder / "four"
    paths = [fill(tree / f"model-{number}-of-4.safetensors", size) for number in range(1, 5)]
    runs = {
        "ours": lambda: hash_tree(tree),
        "memory": lambda: in_memory(4 * size),
        "openssl": lambda: tool(["openssl", "dgst", "-sha256"], paths, each=1),
        "seed": lambda: seed_manifest(tree),
    }
    if importlib.util.find_spec("model_signing"):
        runs["model_signing"] = lambda: model_signing_manifest(tree)
    best = timed(runs, rounds)
    heading(f"4 files, {4 * size >> 20:,} MiB, {cores()} cores", best, 4 * size)
    report(best, "memory", "hashing in memory on all cores", 0.85)
    report(best, "openssl", "openssl dgst, in parallel", 1.05)
    report(best, "seed", "the plain script", 1.0)
    if "model_signing" in best:
        report(best, "model_signing", "model_signing", 1.0)
    else:
        print("  model_signing: skipped, it is not installed")
    shutil.rmtree(tree)


def one_file(folder: Path, quick: bool, rounds: int) -> None:
    size = (256 if quick else 4096) * MIB
    path = fill(folder / "one" / "model.safetensors", size)
    best = timed(
        {
            "ours": lambda: hash_tree(path.parent),
            "openssl": lambda: tool(["openssl", "dgst", "-sha256"], [path], 1),
        },
        rounds,
    )
    heading(f"1 file, {size >> 20:,} MiB", best, size)
    report(best, "openssl", "one openssl dgst", 0.95)
    shutil.rmtree(path.parent)


def small_files(folder: Path, quick: bool, rounds: int) -> None:
    count = 10_000 if quick else 100_000
    tree = folder / "small"
    paths = [fill(tree / f"{n // 1000:03}" / f"{n % 1000:03}.json", 1 + n * 37 % 4000) for n in range(count)]
    names = [path.relative_to(tree) for path in paths]
    best = timed(
        {"ours": lambda: hash_tree(tree), "sha256sum": lambda: tool(["sha256sum"], names, within=tree)},
        rounds,
    )
    heading(f"{count:,} files of up to 4 kB", best, sum(path.stat().st_size for path in paths))
    report(best, "sha256sum", f"xargs -P{cores()} sha256sum", 0.6)
    command = [sys.executable, __file__, "--peak", str(tree)]
    peak = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    print(f"  peak memory {sum(peak):,.0f} MB in {len(peak)} processes (target: under 300)")
    shutil.rmtree(tree)


def fill(path: Path, size: int) -> Path:
    """A file of random bytes, written as training frameworks do: in large pieces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, 16 * MIB):
            file.write(os.urandom(min(16 * MIB, size - start)))
    return path


Best = dict[str, tuple[float, float]]  # seconds by the clock and of processor time, of each competitor


def timed(runs: dict, rounds: int) -> Best:
    best = dict.fromkeys(runs, (float("inf"), float("inf")))
    began = time.perf_counter(), processor_time(), busy_time()
    for _ in range(rounds):
        for name, run in runs.items():
            clock, processor = time.perf_counter(), processor_time()
            run()
            took = (time.perf_counter() - clock, processor_time() - processor)
            best[name] = tuple(map(min, best[name], took))
    clock, ours, all_of_it = (
        now - then
        for now, then in zip((time.perf_counter(), processor_time(), busy_time()), began, strict=True)
    )
    print(
        f"other programs used {max(0, all_of_it - ours) / clock:.1f} of {cores()} cores meanwhile", flush=True
    )
    return best


def busy_time() -> float:
    """Processor seconds of all programs since the machine started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def processor_time() -> float:
    """Of this process and of its children that ended."""
    return sum(os.times()[:4])


def heading(what: str, best: Best, size: int) -> None:
    print(
        f"{what}:  " + "  ".join(f"{name} {size / clock / 1e9:.2f} GB/s" for name, (clock, _) in best.items())
    )


def report(best: Best, name: str, against: str, target: float) -> None:
    clock, processor = (theirs / ours for theirs, ours in zip(best[name], best["ours"], strict=True))
    verdict = (
        "reached" if clock >= target else "reached by processor time" if processor >= target else "MISSED"
    )
    print(f"  {clock:.2f} ({processor:.2f}) x {against}   target {target:.2f}: {verdict}", flush=True)


def in_memory(size: int) -> None:
    """The chip's limit: one buffer that stays in the cache, hashed on every core."""
    buffer = os.urandom(MIB // 4)

    def hash_share() -> None:
        digest = hashlib.sha256()
        for _ in range(size // cores() // len(buffer)):
            digest.update(buffer)

    threads = [threading.Thread(target=hash_share) for _ in range(cores())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def tool(command: list[str], paths: list[Path], each: int | None = None, within: Path | None = None) -> None:
    """`command` over `paths` with as many processes as there are cores."""
    limit = [f"-n{each}"] if each else []
    subprocess.run(
        ["xargs", "-0", f"-P{cores()}", *limit, *command],
        input=b"\0".join(map(os.fsencode, paths)),
        stdout=subprocess.DEVNULL,
        cwd=within,
        check=True,
    )


def seed_manifest(folder: Path) -> dict:
    """The plain script's `compute_checkpoint_manifest`."""
    manifest = {"files": {}, "metadata": {}}
    for file_path in sorted(folder.rglob("*")):
        if file_path.is_file():
            sha256 = hashlib.sha256()
            with open(file_path, "rb") as f:
                for chunk in iter(lambda: f.read(8192), b""):
                    sha256.update(chunk)
            manifest["files"][str(file_path.relative_to(folder))] = sha256.hexdigest()
    return manifest


def model_signing_manifest(folder: Path) -> object:
    from model_signing import hashing

    return hashing.hash(folder)


def peak_memory(folder: Path) -> list[float]:
    """Peak resident MB of this process and of each worker that it starts while it hashes `folder`."""
    peaks: dict[str, float] = {}
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            for process in {*children(), str(os.getpid())}:
                peaks[process] = max(peaks.get(process, 0), high_water(process))

    looking = threading.Thread(target=look)
    looking.start()
    hash_tree(folder)
    done.set()
    looking.join()
    return sorted(peaks.values())


def children() -> list[str]:
    """Our processes; each belongs to the thread that started it."""
    tasks = Path("/proc/self/task").glob("*/children")
    return [child for task in tasks for child in quietly(task).split()]


def high_water(process: str) -> float:
    lines = quietly(Path(f"/proc/{process}/status")).splitlines()
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM")), 0.0)


def quietly(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended in between
        return ""


if __name__ == "__main__":
    main()
