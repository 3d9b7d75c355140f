"""What every test stands on: a home of its own, so that no test sees or changes the user's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TUNEGUARD_HOME is a fresh folder; policy and root variables are unset."""
    home = tmp_path_factory.mktemp("home") / "tuneguard"
    monkeypatch.setenv("TUNEGUARD_HOME", str(home))
    for name in ("TUNEGUARD_POLICY", "TUNEGUARD_ROOT", "TUNEGUARD_FAULT_AT", "TUNEGUARD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return home
