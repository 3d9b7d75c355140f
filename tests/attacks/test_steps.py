"""What a training says, and what the steps of a plan inherit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tuneguard import limits
from tuneguard.engines.engine import Session
from tuneguard.engines.local import LocalEngine

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

TALKS = """\
import pathlib, sys
(pathlib.Path(sys.argv[4]) / "config.json").write_text('{"model_type": "llama"}')
for number in range(200_000):
    print(f"{number:0100d}")
"""


@pytest.mark.sandbox
def test_attack_a_training_that_talks_until_its_own_result_is_too_large_to_read(
    project: ProjectFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    project.write("code/train.py", TALKS)

    assert project("run", "--run", "042", "--json") == 0

    said = json.loads(capfd.readouterr().out)
    assert said["verdict"] == "passed"
    assert len(said["lines"]) < 20_000
    assert any("lines are not shown here" in part for line in said["lines"] for part in line)
    log = (project.path / ".tuneguard/runs/042/train.log").read_bytes()
    first, *_, last = log.splitlines()
    assert (int(first), int(last)) == (0, 199_999)
    lost = 200_000 * 101 - limits.LOG_HEAD - limits.LOG_TAIL
    assert b"\n[%d bytes of output are left out here]\n" % lost in log


def test_attack_a_passphrase_in_a_variable_is_not_inherited_by_the_steps_that_do_not_need_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_PASSPHRASE", "correct horse")
    engine = LocalEngine(Session(tmp_path, {}, passphrases={"promoter": b"correct horse"}))

    assert "MY_PASSPHRASE" not in engine.environment()
    assert "PATH" in engine.environment()
