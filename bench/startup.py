"""How long `tuneguard --help` takes: median of 10 warm starts, beside a bare interpreter's.

python bench/startup.py        target: under 150 ms
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

RUNS = 10
TARGET = 0.150
# A warm start has its byte code cached; a machine that forbids that would measure the compiler.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


def median(command: list[str]) -> float:
    """Median wall time in seconds of RUNS starts, after one that warms the caches."""
    taken = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def main() -> int:
    bare = median([sys.executable, "-c", "pass"])
    help = median([sys.executable, "-m", "tuneguard", "--help"])
    word = "met" if help < TARGET else "MISSED"
    print(f"python -c pass         {bare * 1000:6.0f} ms")
    print(f"tuneguard --help       {help * 1000:6.0f} ms   {help / bare:.1f} x a bare start")
    print(f"target < 150 ms        {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
