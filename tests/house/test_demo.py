"""`make demo` itself: the whole journey with a real fine-tune, and every attack stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tuneguard
from world.engines import CLUSTER

ROOT = Path(__file__).parents[2]


@pytest.mark.torch
@pytest.mark.slow
def test_the_demo_goes_all_the_way_and_stops_every_attack(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "HOME": str(own_home.parent), "TUNEGUARD_HOME": str(own_home)}

    done = subprocess.run(
        [sys.executable, ROOT / "tools/demo.py"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "8 of 8 stopped" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    report = re.findall(r"^  report: (\S+\.html)$", done.stdout, re.MULTILINE)[-1]
    assert b"<html" in (ROOT / report).read_bytes()
    assert not own_home.exists(), "the demo must not touch the user's own keys"
    promoted_on_the_cluster(ROOT / ".cache/demo", monkeypatch)


def promoted_on_the_cluster(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run once more, by an engine that starts each step twice where that is allowed."""
    monkeypatch.setenv("TUNEGUARD_HOME", str(demo / "home"))
    monkeypatch.chdir(demo / "support-llama")
    here = tuneguard.Project.open(passphrase=lambda _: b"only for the demo")

    result = tuneguard.promote(
        "runs/042",
        to="oci:registry:ft-042",
        run="042",
        model="support-llama",
        engine=CLUSTER,
        project=here,
    )

    assert result.verdict is tuneguard.Verdict.PASSED
    assert [each.kind for each in result.evidence].count("evaluation") == 1
    assert tuneguard.ledger_verify(project=here).verdict is tuneguard.Verdict.PASSED
