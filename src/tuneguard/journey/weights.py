"""The weights of a tree on disk: what of it is measured, by the rule of `tuneguard.evaluation.weights`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.artifact import tree
from tuneguard.errors import Refused
from tuneguard.evaluation import weights
from tuneguard.files import printable
from tuneguard.gates.evaluation import ONE_SET, beside
from tuneguard.journey.surroundings import counted, shown

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.evaluation.weights import Selection


def selected(directory: Path, manifest: Manifest) -> Selection:
    """What of the tree in `directory` is measured.

    Raises:
        CannotLook: a file cannot be read.
    """
    with files.directory(directory) as root:

        def read(path: str, most: int) -> bytes:
            descriptor = tree.open_file(root, path)
            with os.fdopen(descriptor, "rb") as file:
                return file.read(most)

        return weights.select(manifest, read)


def check_one_set(selection: Selection, directory: Path) -> None:
    """Refuse, before anything is loaded, a tree that a loader could take other weights from.

    Raises:
        Refused: it is one; with each such file.
    """
    if not selection.faults:
        return
    path, what = selection.faults[0]
    more = len(selection.faults) - 1
    first = f"{printable(path)} {what}" if path else f"the checkpoint {what}"
    raise Refused(
        f"{first}; and {counted(more, 'other fault')}" if more else first,
        where=shown(directory),
        help=ONE_SET,
        findings=tuple(beside(selection)),
    )
