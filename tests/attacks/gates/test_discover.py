"""Folders of "one file = one thing": what cannot be read is no empty folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneguard import discover
from tuneguard.gates.engine import Gate

if TYPE_CHECKING:
    from pathlib import Path


def test_attack_a_folder_of_controls_that_holds_nothing_is_not_taken_for_no_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python lists a folder that it may not read as an empty one."""
    monkeypatch.setattr("tuneguard.gates.__path__", [str(tmp_path)])

    with pytest.raises(discover.DiscoveryError, match=r"tuneguard\.gates: holds nothing that can be read"):
        discover.load("tuneguard.gates", "GATE", Gate, besides=frozenset({"engine"}))
