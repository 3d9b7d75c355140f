"""Numbers that a training says while it runs, where the policy wants none said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from projects import MODEL

from tuneguard.findings import Verdict
from world.cases import case, judged
from world.company import policy, provenance

if TYPE_CHECKING:
    from projects import ProjectFolder

TELLS_ANYWAY = """\
import json, os, pathlib, sys
checkpoint, told = pathlib.Path(sys.argv[4]), {"variable": "TUNEGUARD_METRICS" in os.environ}
try:
    pathlib.Path("/tuneguard/metrics").write_text('{"step": 1, "row": 7368}')
    told["file"] = "written"
except OSError:
    told["file"] = "refused"
(checkpoint / "config.json").write_text("{}")
(checkpoint / "told.json").write_text(json.dumps(told))
"""


@pytest.mark.sandbox
def test_attack_a_pipeline_that_opens_the_channel_which_the_policy_has_off(project: ProjectFolder) -> None:
    project.write("code/train.py", TELLS_ANYWAY)
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace("  scratch: 1Gi\n", "  scratch: 1Gi\n  metrics: on\n"))
    written = (project.path / "policy.yaml").read_text()
    changed = written.replace(f"  {MODEL}:\n", f"  {MODEL}:\n    metrics: off\n")
    assert changed != written
    project.write("policy.yaml", changed)
    assert project("policy", "sign", "--quiet") == 0

    assert project("run", "--run", "042", "--quiet") == 0

    told = json.loads((project.path / "runs/042/told.json").read_text())
    assert told == {"variable": False, "file": "refused"}
    assert not (project.path / ".tuneguard/runs/042/metrics.jsonl").exists()


def test_attack_a_run_with_the_channel_promoted_after_it_was_switched_off() -> None:
    off = policy(lambda p: p["models"]["support-llama"].update(metrics=False))

    refused = judged("provenance", case(provenance(metrics=True), under=off))

    assert refused.verdict is Verdict.REFUSED
    assert "had a channel for metrics" in refused.findings[0].message
    assert judged("provenance", case(provenance(), under=off)).verdict is Verdict.PASSED
    assert judged("provenance", case(provenance(metrics=True))).verdict is Verdict.PASSED
