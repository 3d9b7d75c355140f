"""Push and pull of a model of 4 files, as ratios to oras on the same registry in the same run.

What we pulled is on the disk when we say so, so our pull is compared with `oras pull && sync FILES`; the
ratio to `oras pull` alone, which leaves that to the kernel, is shown beside it.

    python bench/registry.py [--quick] [--temp DIR] [--rounds N] [--server refreg|distribution]

2 GiB (--quick: 256 MiB). Each competitor is a process of its own; its best round counts, by the clock and, in
brackets, by processor time. Each push is into an empty repository, each pull into an empty folder. Ours
verifies: it hashes the tree before it pushes, every blob again while it is sent, and every blob as it
arrives; it flushes what it pulled and sees that the folder holds what was written. oras hashes each blob
before it sends it and as it arrives. Memory is the peak of our process, Python included. Needs the peers
that `make test-peers` builds.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "peers"), str(ROOT / "tools")]

from stack.processes import free_port, server  # noqa: E402

import peers  # noqa: E402

MIB = 1 << 20
TARGET_MEMORY = 100 * MIB


def main() -> int:
    options = arguments()
    if options.role:
        return {"push": push, "pull": pull}[options.role](options.host, options.repository, options.folder)
    found = peers.found()
    missing = [name for name in ("oras", options.server) if found[name] is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not built (make test-peers)")
        return 0
    with tempfile.TemporaryDirectory(prefix="tuneguard-bench-", dir=options.temp) as name:
        measure(Path(name), options, found)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="an eighth of the bytes")
    parser.add_argument("--temp", type=Path, help="where files and registry are; by default the system's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=("refreg", "distribution"), default="distribution")
    parser.add_argument("--role", choices=("push", "pull"), help=argparse.SUPPRESS)
    parser.add_argument("--host", help=argparse.SUPPRESS)
    parser.add_argument("--repository", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(folder: Path, options: argparse.Namespace, found: dict[str, Path]) -> None:
    size = (64 if options.quick else 512) * MIB
    tree = folder / "model"
    tree.mkdir()
    for number in range(1, 5):
        fill(tree / f"model-{number}-of-4.safetensors", size)
    print(f"4 files, {4 * size // MIB:,} MiB, {options.server} on loopback, {os.cpu_count()} cores")
    best: dict[tuple[str, str], tuple[float, float, int]] = {}
    for turn in range(options.rounds):
        for who in ("ours", "oras") if turn % 2 == 0 else ("oras", "ours"):
            with registry(folder / "registry", options.server, found) as host:
                for what in ("push", "pull") if who == "ours" else ("push", "pull", "pull and sync"):
                    target = folder / "pulled"
                    os.sync()  # nobody pays for what an earlier turn wrote
                    figure = timed(command(who, what, host, tree, target, found["oras"]), tree)
                    best[who, what] = min(best.get((who, what), figure), figure)
                    if what == "push":
                        continue
                    if sorted(p.stat().st_size for p in target.iterdir()) != [size] * 4:
                        raise SystemExit(f"error: {who} did not pull the model")
                    shutil.rmtree(target)
            shutil.rmtree(folder / "registry")
    for what, against in (("push", "push"), ("pull", "pull and sync")):
        ours, oras = best["ours", what], best["oras", against]
        rate, clock, processor = 4 * size / MIB / ours[0], oras[0] / ours[0], oras[1] / ours[1]
        met = f"target 1.0 {'met' if clock >= 1 else 'MISSED'}"
        print(f"  {what}: {rate:,.0f} MiB/s, {clock:.2f} ({processor:.2f}) × oras {against}: {met}")
        if what != against:
            clock, processor = (best["oras", what][number] / ours[number] for number in (0, 1))
            print(
                f"  {what}: {clock:.2f} ({processor:.2f}) × oras {what}, which leaves its bytes to the kernel"
            )
        met = "met" if ours[2] <= TARGET_MEMORY else "MISSED"
        print(f"  {what}: {ours[2] / MIB:,.0f} MiB at most (oras {oras[2] / MIB:,.0f}), target 100 {met}")


def command(who: str, what: str, host: str, tree: Path, target: Path, oras: Path) -> list[str]:
    name = f"{host}/bench/{who}:v1"
    if who == "ours":
        folder = tree if what == "push" else target
        mine = ["--role", what, "--host", host, "--repository", f"bench/{who}", "--folder", str(folder)]
        return [sys.executable, __file__, *mine]
    if what != "push":
        pulling = [str(oras), "pull", "--plain-http", "--no-tty", name, "-o", str(target)]
        syncing = ["sh", "-c", f'{shlex.join(pulling)} && sync "$0"/* "$0"', str(target)]
        return pulling if what == "pull" else syncing
    files = [f"{path.name}:application/octet-stream" for path in sorted(tree.iterdir())]
    return [str(oras), "push", "--plain-http", "--no-tty", name, *files]


def timed(argv: list[str], cwd: Path) -> tuple[float, float, int]:
    """Seconds by the clock, seconds of processor time, peak memory in bytes."""
    started = time.monotonic()
    running = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = running.stderr.read()
    _, status, usage = os.wait4(running.pid, 0)
    took = time.monotonic() - started
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"error: {' '.join(argv[:3])} failed: {said.decode()[-500:]}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def registry(folder: Path, kind: str, found: dict[str, Path]):
    """A registry with an empty store; a context that gives HOST:PORT."""
    import contextlib

    port = free_port()
    folder.mkdir()
    address = f"127.0.0.1:{port}"
    if kind == "refreg":
        argv = [str(found["refreg"]), address, str(folder / "blobs")]
    else:
        (folder / "config.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '{address}'}}\nlog: {{level: error}}\n"
        )
        argv = [str(found["distribution"]), "serve", str(folder / "config.yml")]

    @contextlib.contextmanager
    def running():
        with server(argv, log=folder / "log", ready=f"http://{address}/v2/"):
            yield address

    return running()


def fill(path: Path, size: int) -> None:
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + block[8:])


# --- what the measured process of ours does: as `tuneguard push` and `pull` do, without a policy ---------


def push(host: str, repository: str, folder: Path) -> int:
    from tuneguard import files
    from tuneguard.artifact.digest import hash_tree
    from tuneguard.artifact.tree import open_file
    from tuneguard.oci.descriptor import digest_of
    from tuneguard.oci.http import Transport
    from tuneguard.oci.manifest import build
    from tuneguard.oci.server import Server
    from tuneguard.oci.transfer import all_of

    built = build(hash_tree(folder))
    target = Server(Transport(host), repository)
    with files.directory(folder) as root:
        jobs = [
            (
                layer.size,
                partial(
                    target.put_blob,
                    layer.digest,
                    layer.size,
                    lambda layer=layer: os.fdopen(open_file(root, layer.path), "rb"),
                ),
            )
            for layer in built.layers
        ]
        all_of(jobs, target)
    target.put_blob(digest_of(built.config), len(built.config), partial(io.BytesIO, built.config))
    target.put_manifest(built.data)
    target.tag("v1", built.digest)
    return 0


def pull(host: str, repository: str, folder: Path) -> int:
    from tuneguard.oci.http import Transport
    from tuneguard.oci.manifest import read
    from tuneguard.oci.server import Server
    from tuneguard.project.project import Project
    from tuneguard.promotion.fetch import fetch

    source = Server(Transport(host), repository)
    fetch(source, read(source.read_manifest("v1"), "bench"), (), folder, Project())
    return 0


if __name__ == "__main__":
    sys.exit(main())
