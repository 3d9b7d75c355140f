"""What the interpreter of a run is made of: itself, its distributions, and what runs at its start.

TRUST.md rule 10. The digests say what was installed; they do not say that it is good. A RECORD
file lists a distribution's files with their hashes; its own hash names that list, and whether the
files on disk still match it is not checked here.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

from tuneguard import limits
from tuneguard.artifact import digest as hashing
from tuneguard.files import printable, read_bounded

STARTUP = ("sitecustomize", "usercustomize")


def describe() -> dict[str, Any]:
    """The environment as the provenance records it: JSON values, sorted."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "interpreter": hashing.hash_file(Path(sys.executable).resolve()).sha256,
        "distributions": _distributions(),
        "startup": _startup(),
    }


def _distributions() -> dict[str, dict[str, str | None]]:
    """Every installed distribution: its version and the hash of its RECORD."""
    found: dict[str, dict[str, str | None]] = {}
    for distribution in metadata.distributions():
        record = distribution.read_text("RECORD")
        name = distribution.metadata["Name"] or "unnamed"
        found.setdefault(
            printable(name).lower(),
            {
                "version": printable(distribution.version),
                "record": None if record is None else hashlib.sha256(record.encode()).hexdigest(),
            },
        )
    return dict(sorted(found.items()))


def _startup() -> dict[str, str]:
    """Files that Python runs before any program: ``.pth``, ``sitecustomize``, ``usercustomize``."""
    paths = sysconfig.get_paths()
    found: dict[str, str] = {}
    for folder in sorted({Path(paths["purelib"]), Path(paths["platlib"]), Path(paths["stdlib"])}):
        candidates = [*folder.glob("*.pth"), *(folder / f"{name}.py" for name in STARTUP)]
        candidates += [folder / name / "__init__.py" for name in STARTUP]
        for path in sorted(candidates):
            if path.is_file():
                data = read_bounded(path.resolve(), limits.RECORD_BYTES)
                found[printable(str(path))] = hashlib.sha256(data).hexdigest()
    return found
