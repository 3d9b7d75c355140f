"""Every benchmark, one after the other: `make bench`. Options are passed on, such as --quick.

Figures are ratios against a peer or the hardware's limit, taken in one run, because the machine's
own speed drifts. A target that is missed is printed as such; it fails nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = ("startup", "hashing", "scanner", "registry", "promotion", "output")


def main() -> int:
    failed = []
    for name in ORDER:
        print(f"\n== {name}", flush=True)
        options = sys.argv[1:] if name != "startup" else []
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *options], check=False
        )
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"error: {', '.join(failed)} did not run to the end", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
