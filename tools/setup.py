"""Make `.venv` hold exactly what a lock file names, and nothing when it already does.

    python3 tools/setup.py check     what lint and the tests without torch need
    python3 tools/setup.py all       everything: the demo, all tests, the benchmarks

Plain `venv` and `pip install --require-hashes`. Cached by the content of the files that define it:
a second run compares one digest and returns. Where this interpreter already has exactly the torch
that the lock names, the environment sees it (`--system-site-packages`) and it is not fetched again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
LEVELS = ("check", "all")


def main() -> int:
    level = sys.argv[1] if len(sys.argv) == 2 else ""
    if level not in LEVELS:
        return fail("usage: python3 tools/setup.py check|all")
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python must hear a sentence, not a traceback)
        found = ".".join(map(str, sys.version_info[:2]))
        return fail(
            f"Python {found} is too old", "install Python 3.11 or newer and name it: make PYTHON=python3.12 …"
        )
    wanted = {name: digest(name) for name in LEVELS}
    if ready(wanted, level):
        return 0
    started = time.monotonic()
    lock = HERE / "requirements" / f"{level}.txt"
    if not (VENV / "ready.check").is_file() or (VENV / "ready.check").read_text() not in wanted.values():
        make_environment()
    try:
        install(["--require-hashes", "-r", str(lock)], total=count(lock), title=f"requirements/{level}.txt")
        install(["--no-deps", "--no-build-isolation", "-e", str(HERE)], total=1, title="tuneguard itself")
    except subprocess.CalledProcessError:
        return fail("pip could not install the locked requirements", f"read {VENV}/pip.log")
    for name in LEVELS[: LEVELS.index(level) + 1]:
        (VENV / f"ready.{name}").write_text(wanted[name])
    say(f"ready in {time.monotonic() - started:.0f} s")
    return 0


def digest(level: str) -> str:
    """What defines the environment: the locks, this file, the package's own definition, Python."""
    seen = hashlib.sha256(f"{sys.version} {sys.prefix} {HERE}".encode())
    for path in (HERE / "requirements" / f"{level}.txt", HERE / "pyproject.toml", Path(__file__)):
        seen.update(path.read_bytes())
    return seen.hexdigest()


def ready(wanted: dict[str, str], level: str) -> bool:
    """Whether the environment is up to date for `level`."""
    try:
        return (VENV / f"ready.{level}").read_text() == wanted[level] and PYTHON.exists()
    except OSError:
        return False


def make_environment() -> None:
    """A fresh environment. The old one goes first, so that nothing of it survives unseen."""
    if VENV.exists():
        shutil.rmtree(VENV)
    options = ["--system-site-packages"] if has_locked_torch() else []
    say("making .venv" + (" (keeps the torch that is already here)" if options else ""))
    made = subprocess.run(
        [sys.executable, "-m", "venv", *options, str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        detail = (made.stdout + made.stderr).strip().splitlines()
        sys.exit(
            fail(
                f"python3 -m venv failed: {detail[0] if detail else 'no reason given'}",
                "on Debian and Ubuntu: apt-get install python3-venv",
            )
        )


def has_locked_torch() -> bool:
    """Whether this interpreter already has exactly the locked torch."""
    named = re.search(r"^torch==(\S+)", (HERE / "requirements" / "all.txt").read_text(), re.MULTILINE)
    try:
        return bool(named) and importlib.metadata.version("torch").split("+")[0] == named.group(1)
    except importlib.metadata.PackageNotFoundError:
        return False


def install(arguments: list[str], *, total: int, title: str) -> None:
    """Run pip, its whole output in a log, one line of progress here."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        "--disable-pip-version-check",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done, shown = 0, 0.0
    with (VENV / "pip.log").open("a") as log:
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        for line in running.stdout:
            log.write(line)
            found = re.match(r"\s*(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
            done += bool(found)
            doing = found.group(1) if found else "unpacking" if "Installing collected" in line else ""
            if doing and (sys.stderr.isatty() or time.monotonic() - shown > 5 or doing == "unpacking"):
                shown = time.monotonic()
                progress(f"{title}: {min(done, total)}/{total} {doing}")
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if running.wait():
        raise subprocess.CalledProcessError(running.returncode, command)


def count(lock: Path) -> int:
    """Packages that a lock names."""
    return len(re.findall(r"^[a-z0-9]", lock.read_text(), re.MULTILINE))


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K      setup  {text}", end="", file=sys.stderr, flush=True)
    else:
        say(text)


def say(text: str) -> None:
    print(f"      setup  {text}", file=sys.stderr, flush=True)


def fail(what: str, help: str | None = None) -> int:
    print(f"error: {what}" + (f"\nhelp: {help}" if help else ""), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
