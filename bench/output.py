"""How fast a run takes a flood of output, log and lines included, beside a reader that does nothing.

python bench/output.py        target: 100 MB for a second of the supervisor's processor time
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tuneguard.output.terminal import Recorder
from tuneguard.sandbox.controls import Confinement
from tuneguard.sandbox.environment import clean_environment
from tuneguard.sandbox.find import find_backend
from tuneguard.training.transcript import Transcript

MEGABYTES = 300
TARGET = 100.0
FLOOD = f"""
import os
bar = ("\\r 50%|" + "#" * 60 + "| 1/2 [00:01<00:01]").encode() * 700
for _ in range({MEGABYTES} * 1_000_000 // len(bar)):
    left = memoryview(bar)
    while left:
        left = left[os.write(1, left):]
"""


def plain() -> float:
    """Seconds until a reader that does nothing has read it all."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        while child.stdout.read(1 << 20):
            pass
    return time.perf_counter() - began


def run() -> tuple[float, float]:
    """Seconds of a sandbox whose command floods, as `tuneguard run` has it; and of our processor time."""
    backend, began = find_backend(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        transcript = Transcript(Path(folder, "train.log"), Recorder(bars=False))
        with transcript:
            outcome = backend.run(
                Confinement(
                    command=(sys.executable, "-c", FLOOD),
                    binds=(),
                    workdir="/",
                    environment=clean_environment(),
                    deadline=600,
                    blocks=transcript.hear,
                )
            )
        assert outcome.succeeded
        return outcome.seconds, time.process_time() - began


def main() -> int:
    bare, (taken, busy) = plain(), run()
    print(f"a plain reader     {MEGABYTES / bare:7,.0f} MB/s")
    print(f"a run              {MEGABYTES / taken:7,.0f} MB/s   the sandbox's start included")
    print(f"the supervisor     {MEGABYTES / busy:7,.0f} MB for a second of its processor time")
    print(f"target             {TARGET:7,.0f} {'met' if MEGABYTES / busy > TARGET else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
