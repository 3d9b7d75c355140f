"""The weights of a tree on disk: what of it is measured, by the rule of `tuneguard.evaluation.weights`."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import tree
from tuneguard.display import counted, shown
from tuneguard.errors import ChangedWhileRead, Refused
from tuneguard.evaluation import weights
from tuneguard.files import printable
from tuneguard.gates.evaluation import ONE_SET, beside

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.evaluation.weights import Selection


def selected(directory: Path, manifest: Manifest) -> Selection:
    """What of the tree in `directory` is measured. Of the files that the rule reads, each is the manifest's.

    Raises:
        ChangedWhileRead: a file has another digest than the manifest states.
        CannotLook: a file cannot be read.
    """
    digests = {file.path: file.sha256 for file in manifest.files}
    with files.directory(directory) as root:

        def read(path: str, most: int) -> bytes:
            with os.fdopen(tree.open_file(root, path), "rb") as file:
                head = file.read(most)
                digest = hashlib.sha256(head)
                while chunk := file.read(limits.HASH_BUFFER):
                    digest.update(chunk)
            if digest.hexdigest() != digests[path]:
                raise ChangedWhileRead(
                    "has changed since it was hashed",
                    where=shown(directory / path),
                    help="find out who can write here, and run again",
                )
            return head

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
