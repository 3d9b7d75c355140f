"""What an engine hands to a step's process besides its arguments: the names of environment variables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PASSPHRASE_FD = "TUNEGUARD_PASSPHRASE_FD"  # noqa: S105 (the name of a variable)
"""Names the descriptor on which a step is handed its one passphrase."""
LINES_FD = "TUNEGUARD_LINES_FD"
"""Names the descriptor on which a step emits its lines while it runs, each a JSON array of strings."""
CONFINED = "TUNEGUARD_CONFINED"
"""Holds what a step keeps before it reads anything, as JSON: ``network``, ``writable``, ``attributes``."""


def confined(*, network: bool, writable: Iterable[Path], attributes: bool) -> str:
    """The value of `CONFINED`: whether the step keeps the network, and the paths that it may write below.

    `attributes`: it may change the mode, owner and times of files.
    """
    paths = [str(path) for path in writable]
    return json.dumps({"network": network, "writable": paths, "attributes": attributes})
