"""What the interpreter of a run is made of: itself, its distributions, and what runs at its start.

TRUST.md rule 10. The digests record what was installed, good or bad. A RECORD
file lists a distribution's files with their hashes; its own hash names that list, and whether the
files on disk still match it is not checked here.
"""

from __future__ import annotations

import hashlib
import platform
import site
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
    """Every installed distribution: its version and the SHA-256 of its RECORD, byte for byte.

    Of two with one name the first on the path counts, as for an import.
    """
    found: dict[str, dict[str, str | None]] = {}
    for folder in map(Path, sys.path):
        for info in sorted([*folder.glob("*.dist-info"), *folder.glob("*.egg-info")]):
            distribution = metadata.Distribution.at(info)
            name = distribution.metadata["Name"] or "unnamed"
            found.setdefault(
                printable(name).lower(),
                {"version": printable(distribution.version or ""), "record": _sha256(info / "RECORD")},
            )
    return dict(sorted(found.items()))


def _startup() -> dict[str, str]:
    """Files that Python runs before any program: ``.pth``, ``sitecustomize``, ``usercustomize``."""
    folders = {Path(folder) for folder in (*site.getsitepackages(), sysconfig.get_path("stdlib"))}
    if site.ENABLE_USER_SITE:
        folders.add(Path(site.getusersitepackages()))
    found: dict[str, str] = {}
    for folder in sorted(folders):
        candidates = [*folder.glob("*.pth"), *(folder / f"{name}.py" for name in STARTUP)]
        candidates += [folder / name / "__init__.py" for name in STARTUP]
        for path in sorted(candidates):
            digest = _sha256(path)
            if digest is not None:
                found[printable(str(path))] = digest
    return found


def _sha256(path: Path) -> str | None:
    """The digest of a file, or None where none is."""
    if not path.is_file():
        return None
    return hashlib.sha256(read_bounded(path.resolve(), limits.RECORD_BYTES)).hexdigest()
