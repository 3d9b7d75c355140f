"""Make a folder of links to the programs that a bare Debian with Python, make and git has, and no others.

    PATH=$(python3 tools/bare.py FOLDER) make test

What is installed besides is not found then, as on a machine that does not have it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ADDED = ("make", "git")
CHOSEN = ("awk", "which")
"""Commands that Debian's alternatives choose, so that no package lists them."""
FOLDERS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")


def main(arguments: list[str]) -> int:
    """Make the links, print the folder."""
    if len(arguments) != 1:
        print("usage: python3 tools/bare.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0]).absolute()
    folder.mkdir()
    programs = {Path(line).name: line for line in listed("-L", *bare_packages()) if is_program(line)}
    programs |= {name: where for name in (*CHOSEN, *ADDED) if (where := shutil.which(name))}
    for name, where in programs.items():
        (folder / name).symlink_to(where)
    for name in ("python3", f"python3.{sys.version_info.minor}"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(os.path.realpath(sys.executable))
    print(folder)
    return 0


def bare_packages() -> list[str]:
    """What every Debian has, and what our quick start asks for."""
    lines = listed("-W", "-f", "${Essential} ${Priority} ${Package}\n")
    packages = [line.split() for line in lines]
    return [name for essential, priority, name in packages if essential == "yes" or priority == "required"]


def listed(*question: str) -> list[str]:
    done = subprocess.run(["dpkg-query", *question], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def is_program(path: str) -> bool:
    return str(Path(path).parent) in FOLDERS and Path(path).is_file() and os.access(path, os.X_OK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
