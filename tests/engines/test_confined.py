"""What an engine tells a step to give up: a step that cannot read it does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneguard.cli.app import run
from tuneguard.plan.handover import CONFINED

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "said", ["", "garbage", "[]", "null", "{}", '{"network": true, "attributes": true, "writable": [1]}']
)
def test_a_step_that_cannot_read_what_it_gives_up_does_nothing(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(CONFINED, said)

    assert run(["keygen", str(tmp_path / "k.key"), "--unsafe-no-passphrase"]) == 2

    assert f"the variable {CONFINED} holds what no engine sets" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
