"""What tests of remote signers share: no real waiting, and the announced retries."""

from __future__ import annotations

import pytest

from tuneguard.signing import remote


@pytest.fixture
def retries(monkeypatch) -> list[str]:
    """The retries that were announced; none of them waits."""
    said: list[str] = []
    monkeypatch.setattr(remote, "announce", lambda line: said.append(line.strip()))
    monkeypatch.setattr(remote, "sleep", lambda _: None)
    return said
