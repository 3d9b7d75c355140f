"""Make an environment (`.venv`) hold exactly what a lock file names, and nothing when it already does.

    python3 tools/setup.py check     what lint and the tests without torch need
    python3 tools/setup.py all       everything: the demo, all tests, the benchmarks
    python3 tools/setup.py docs      what `make docs` needs, in `.venv-docs`
    python3 tools/setup.py frameworks   all, and what `make test-frameworks` needs, in `.venv-frameworks`

Plain `venv` and `pip install --no-deps --require-hashes`: the lock is a whole resolution, and a pip
that resolved again could meet `name[extra]`, look for its newest release and refuse the locked one.
Cached by the content of the files that define it: a second run compares one digest and returns.
Where this interpreter already has exactly the torch that the lock names, the environment sees it
(`--system-site-packages`) and it is not fetched again. `.venv-frameworks` sees what `.venv` holds.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
VENV = HERE / ".venv"
DOCS = HERE / ".venv-docs"
FRAMEWORKS = HERE / ".venv-frameworks"
LEVELS = {"check": VENV, "all": VENV, "docs": DOCS, "frameworks": FRAMEWORKS}


def main() -> int:
    level = sys.argv[1] if len(sys.argv) == 2 else ""
    if level not in LEVELS:
        return fail(f"usage: python3 tools/setup.py {'|'.join(LEVELS)}")
    if sys.version_info < (3, 11):  # noqa: UP036 (an older Python must hear a sentence, not a traceback)
        found = ".".join(map(str, sys.version_info[:2]))
        return fail(
            f"Python {found} is too old", "install Python 3.11 or newer and name it: make PYTHON=python3.12 …"
        )
    started = time.monotonic()
    done = []
    for each in ("all", level) if LEVELS[level] == FRAMEWORKS else (level,):
        try:
            done += [install_lock(each), LEVELS[each] == VENV and install_project()]
        except subprocess.CalledProcessError:
            return fail("pip could not install the locked requirements", f"read {LEVELS[each]}/pip.log")
    if any(done):
        say(f"ready in {time.monotonic() - started:.0f} s")
    return 0


def install_lock(level: str) -> bool:
    """Bring its environment up to a level; from `check` to `all` adds, anything else begins anew."""
    venv = LEVELS[level]
    wanted = {
        name: digest(HERE / "requirements" / f"{name}.txt", Path(__file__))
        for name in LEVELS
        if LEVELS[name] == venv
    }
    present = stamp(venv, "lock")
    if python(venv).exists() and present in (wanted[level], wanted.get("all", wanted[level])):
        return False
    if not python(venv).exists() or present not in wanted.values():
        make_environment(venv)
    lock = HERE / "requirements" / f"{level}.txt"
    (venv / "ready.lock").unlink(missing_ok=True)
    options = ["--no-deps", "--require-hashes", "-r", str(lock)]
    install(venv, options, total=count(lock), title=f"requirements/{level}.txt")
    (venv / "ready.lock").write_text(wanted[level])
    return True


def install_project() -> bool:
    """Install this checkout, editable, where its definition changed."""
    wanted = digest(HERE / "pyproject.toml")
    if stamp(VENV, "project") == wanted:
        return False
    install(VENV, ["--no-deps", "--no-build-isolation", "-e", str(HERE)], total=1, title="tuneguard itself")
    (VENV / "ready.project").write_text(wanted)
    return True


def digest(*defining: Path) -> str:
    """Files that define a part of the environment, the Python that it stands on, and where it lies."""
    seen = hashlib.sha256(f"{sys.version} {sys.prefix} {HERE}".encode())
    for path in defining:
        seen.update(path.read_bytes())
    return seen.hexdigest()


def python(venv: Path) -> Path:
    """The interpreter of an environment."""
    return venv / "bin" / "python"


def stamp(venv: Path, name: str) -> str | None:
    """What the environment was last brought up to."""
    try:
        return (venv / f"ready.{name}").read_text()
    except OSError:
        return None


def make_environment(venv: Path) -> None:
    """A fresh environment. The old one goes first, so that nothing of it survives unseen."""
    if venv.exists():
        shutil.rmtree(venv)
    options = ["--system-site-packages"] if venv in (VENV, FRAMEWORKS) and has_locked_torch() else []
    say(f"making {venv.name}" + (" (keeps the torch that is already here)" if options else ""))
    # By its real path: a link to it may lie in a folder that is gone tomorrow.
    command = [os.path.realpath(sys.executable), "-m", "venv", *options, str(venv)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(venv, ignore_errors=True)
        detail = (made.stdout + made.stderr).strip().splitlines()
        sys.exit(
            fail(
                f"python3 -m venv failed: {detail[0] if detail else 'no reason given'}",
                "on Debian and Ubuntu: apt-get install python3-venv",
            )
        )
    if venv == FRAMEWORKS:
        # pip then finds there what the lock names as well, and installs the rest alone.
        (site_packages(venv) / "beneath.pth").write_text(f"{site_packages(VENV)}\n")


def site_packages(venv: Path) -> Path:
    """Where an environment's packages lie."""
    major, minor = sys.version_info[:2]
    return venv / "lib" / f"python{major}.{minor}" / "site-packages"


def has_locked_torch() -> bool:
    """Whether this interpreter already has exactly the locked torch."""
    named = re.search(r"^torch==(\S+)", (HERE / "requirements" / "all.txt").read_text(), re.MULTILINE)
    try:
        return bool(named) and importlib.metadata.version("torch").split("+")[0] == named.group(1)
    except importlib.metadata.PackageNotFoundError:
        return False


def install(venv: Path, arguments: list[str], *, total: int, title: str) -> None:
    """Run pip, its whole output in a log, one line of progress here."""
    command = [
        str(python(venv)),
        "-m",
        "pip",
        "install",
        "--progress-bar",
        "off",
        "--disable-pip-version-check",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done, doing = 0, ""
    with (
        (venv / "pip.log").open("a") as log,
        Heartbeat(lambda: f"{title}: {min(done, total)}/{total} {doing}"),
    ):
        running = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        for line in running.stdout:
            log.write(line)
            found = re.match(r"\s*(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
            done += bool(found)
            doing = found.group(1) if found else "unpacking" if "Installing collected" in line else doing
    if sys.stderr.isatty():
        print(file=sys.stderr)
    if running.wait():
        raise subprocess.CalledProcessError(running.returncode, command)


class Heartbeat:
    """Says how far it is: every five seconds in a log, twice a second on a terminal."""

    def __init__(self, text) -> None:
        self.text = text
        self.started = time.monotonic()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def beat(self) -> None:
        while not self.over.wait(0.5 if sys.stderr.isatty() else 5):
            progress(f"{self.text()}, {time.monotonic() - self.started:.0f} s")

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


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
