"""Build the real counterparts that `tests/peers` runs against, once, into a cache.

    python3 tools/peers.py            build what is missing, print the folder with the binaries
    python3 tools/peers.py --list     one line a peer: its name, and where it is or why it is not
    python3 tools/peers.py --packages the Debian packages that are missing

The cache folder is named after the content of the Go module's files, so that a changed version is built
anew and an unchanged one never. `TUNEGUARD_CACHE` moves the cache; `TUNEGUARD_PEERS=required` (CI) makes
a peer that cannot be had an error. Go's build and module caches (5 GB) are a temporary folder beside it,
gone at the end, unless GOCACHE and GOMODCACHE name others.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
MODULE = HERE / "tests" / "peers"
BUILT = {
    "refreg": "./cmd/refreg",
    "tinyct": "./cmd/tinyct",
    "cosign": "github.com/sigstore/cosign/v3/cmd/cosign",
    "oras": "oras.land/oras/cmd/oras",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
    "rekor": "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
    "timestamp-server": "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server",
    "fulcio": "github.com/sigstore/fulcio",
    "distribution": "github.com/distribution/distribution/v3/cmd/registry",
}
"""Binary → Go package, the small ones first."""
INSTALLED = {
    "softhsm2-util": "softhsm2",
    "pkcs11-tool": "opensc",
    "bwrap": "bubblewrap",
    "openssl": "openssl",
    "jq": "jq",
}
"""Command → the Debian package that brings it."""


def main(arguments: list[str]) -> int:
    """Build, report, and say with the exit code whether anything that should be here is missing."""
    if arguments not in ([], ["--list"], ["--packages"]):
        print("usage: python3 tools/peers.py [--list | --packages]", file=sys.stderr)
        return 2
    if arguments == ["--packages"]:
        print(*(package for command, package in INSTALLED.items() if not shutil.which(command)))
        return 0
    missing = {} if arguments else build()
    for name, where in found().items():
        if arguments:
            print(f"{name:18}{where or missing_reason(name)}")
        if where is None:
            missing.setdefault(name, missing_reason(name))
    if missing:
        print("peers that cannot be had here:", file=sys.stderr)
        for name, reason in missing.items():
            print(f"  {name}: {reason}", file=sys.stderr)
    if not arguments:
        print(folder())
    return 1 if missing and os.environ.get("TUNEGUARD_PEERS") == "required" else 0


def folder() -> Path:
    """Where the binaries of exactly these module files are."""
    cache = Path(os.environ.get("TUNEGUARD_CACHE") or Path.home() / ".cache" / "tuneguard")
    return cache / f"peers-{digest(MODULE)}" / "bin"


def digest(module: Path) -> str:
    """Sixteen hex digits of the files that define the binaries: go.mod, go.sum and our own servers."""
    seen = hashlib.sha256()
    for path in sorted([module / "go.mod", module / "go.sum", *module.glob("cmd/*/*.go")]):
        data = path.read_bytes()
        seen.update(f"{path.relative_to(module)} {len(data)}\n".encode() + data)
    return seen.hexdigest()[:16]


def found() -> dict[str, Path | None]:
    """Every peer, and its binary where there is one."""
    bin = folder()
    built: dict[str, Path | None] = {name: p if (p := bin / name).is_file() else None for name in BUILT}
    for command in INSTALLED:
        where = shutil.which(command)
        built[command] = Path(where) if where else None
    return built


def missing_reason(*names: str) -> str:
    """What a person does about peers that are not here."""
    if packages := [INSTALLED[name] for name in names if name in INSTALLED]:
        return f"apt-get install {' '.join(packages)}"
    return "not built (make test-peers)" if shutil.which("go") else "needs Go 1.26 or newer"


def build() -> dict[str, str]:
    """Build what is missing; name → reason for each that failed."""
    bin = folder()
    wanted = [name for name in BUILT if not (bin / name).is_file()]
    if not wanted or not shutil.which("go"):
        return {}
    bin.mkdir(parents=True, exist_ok=True)
    failed = {}
    with tempfile.TemporaryDirectory(prefix="building-", dir=bin.parent) as work:
        for number, name in enumerate(wanted, 1):
            print(f"      peers  building {name}, {number} of {len(wanted)}", file=sys.stderr, flush=True)
            started = time.monotonic()
            reason = build_one(name, Path(work), bin)
            if reason:
                failed[name] = reason
            took = f"{name} in {time.monotonic() - started:.0f} s"
            print(
                f"      peers  {'failed' if reason else 'built'} {took}",
                file=sys.stderr,
                flush=True,
            )
    remove_others(bin.parent)
    return failed


def build_one(name: str, work: Path, bin: Path) -> str | None:
    """Build beside, flush, rename. The reason if it failed."""
    beside = work / name
    command = [
        "go",
        "build",
        "-mod=readonly",
        "-modcacherw",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags=-s -w",
    ]
    caches = {"GOCACHE": str(work / "gocache"), "GOMODCACHE": str(work / "modules")}
    environment = {**caches, **os.environ, "GOFLAGS": ""}
    done = subprocess.run(
        [*command, "-ldflags=-s -w", "-o", str(beside), BUILT[name]],
        cwd=MODULE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading")]
        return lines[-1] if lines else f"go build ended with {done.returncode}"
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.rename(bin / name)
    return None


def remove_others(ours: Path) -> None:
    """Binaries of other module files: nobody asks for them again."""
    for other in ours.parent.glob("peers-*"):
        if other != ours:
            shutil.rmtree(other, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
