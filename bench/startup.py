"""What a start costs: processor time beside a bare interpreter's, which takes its turn with the others.

    python bench/startup.py        target: --help under 5.2 bare starts, by the entry point and by `python -m`

Processor time (user and system), because a busy machine stretches the clock. What `import click` takes is
printed too: no start of the program can take less.
"""

from __future__ import annotations

import os
import statistics
import sys

RUNS = 20
TARGET = 5.2
# A warm start has its byte code cached; a machine that forbids that would measure the compiler.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

ENTRY_POINT = "import sys; from tuneguard.cli.app import main; sys.argv = ['tuneguard', '--help']; main()"
STARTS = {
    "python -c pass": ["-c", "pass"],
    "import click": ["-c", "import click"],
    "tuneguard --help": ["-c", ENTRY_POINT],
    "python -m tuneguard --help": ["-m", "tuneguard", "--help"],
    "tuneguard --version": ["-m", "tuneguard", "--version"],
    "tuneguard run --help": ["-m", "tuneguard", "run", "--help"],
}


def start(arguments: list[str]) -> float:
    """Processor time in seconds of one start."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, [sys.executable, *arguments], ENVIRONMENT, file_actions=silent)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(
            f"error: python {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}"
        )
    return used.ru_utime + used.ru_stime


def main() -> int:
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    for turn in range(RUNS + 1):
        for name, arguments in STARTS.items():
            seconds = start(arguments)
            if turn:  # the first turn warms the caches
                taken[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    bare = medians["python -c pass"]
    for name, seconds in medians.items():
        print(f"{name:<28} {seconds * 1000:6.0f} ms   {seconds / bare:.1f} x a bare start")
    slowest = max(medians["tuneguard --help"], medians["python -m tuneguard --help"])
    word = "met" if slowest < TARGET * bare else "MISSED"
    print(f"{f'target: --help < {TARGET} x':<28} {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
