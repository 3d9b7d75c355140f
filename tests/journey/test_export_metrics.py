"""A run's metrics are forwarded to a tracking server, with the tree and its verdict as tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from projects import MODEL

from tuneguard import limits
from world.services import environment, serving
from world.tracking import Tracked

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

LINES = [
    {"time": 1764268800.5, "step": 1, "steps": 3, "loss": 2.5, "lr": 0.1},
    {"time": 1764268810.0, "step": 2, "loss": "NaN"},
    {"time": 1764268820.0, "step": 3, "loss": 1.25},
]


def keep(project: ProjectFolder) -> None:
    """What the relay kept of run 042."""
    path = project.path / ".tuneguard/runs/042/metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES) + '{"time": 17642')


def test_a_run_is_logged_once_and_its_verdict_later(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(pushed)
    monkeypatch.setattr(limits, "MLFLOW_BATCH", 3)
    tracked = Tracked()
    tree = json.loads((pushed.path / ".tuneguard/runs/042/run.json").read_text())["tree"]
    folder = pushed.path / "runs/042.evidence"
    [verdict] = folder.glob("verdict*")
    away = verdict.rename(pushed.path / "verdict")
    with serving(tracked.answer) as server, environment(MLFLOW_TRACKING_TOKEN="secret"):
        assert pushed("export-metrics", "042", "--mlflow", server.url + "/") == 0
        [run] = tracked.runs.values()
        assert run["tags"]["tuneguard.verdict"] == "none"
        away.rename(verdict)
        assert pushed("export-metrics", "042", "--mlflow", server.url) == 0
        assert {each.headers["authorization"] for each in server.asked} == {"Bearer secret"}

    [run] = tracked.runs.values()
    assert tracked.experiments == {MODEL: "1"}
    assert run["name"] == "042"
    assert run["status"] == "FINISHED"
    assert run["tags"] == {
        "tuneguard.run": "042",
        "tuneguard.model": MODEL,
        "tuneguard.state": "signed",
        "tuneguard.tree": f"sha256:{tree}",
        "tuneguard.class": "final",
        "tuneguard.verdict": "passed",
    }
    assert run["metrics"][:4] == [
        {"key": "loss", "value": 2.5, "timestamp": 1764268800500, "step": 1},
        {"key": "lr", "value": 0.1, "timestamp": 1764268800500, "step": 1},
        {"key": "loss", "value": "NaN", "timestamp": 1764268810000, "step": 2},
        {"key": "loss", "value": 1.25, "timestamp": 1764268820000, "step": 3},
    ]
    assert "secret" not in capsys.readouterr().out


def test_attack_a_tree_that_the_project_s_state_names_and_nobody_signed(trained: ProjectFolder) -> None:
    path = trained.path / ".tuneguard/runs/042/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tree": "0" * 64}))
    tracked = Tracked()

    with serving(tracked.answer) as server:
        assert trained("export-metrics", "042", "--mlflow", server.url, "--quiet") == 0

    [run] = tracked.runs.values()
    assert not {"tuneguard.tree", "tuneguard.verdict"} & run["tags"].keys()


def test_a_run_is_followed_until_it_is_over(trained: ProjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    states = ["running", "running", "signed", "signed"]
    monkeypatch.setattr("tuneguard.training.record.state_of", lambda _: states.pop(0))
    monkeypatch.setattr("tuneguard.journey.export_metrics.time.sleep", lambda _: keep(trained))
    tracked = Tracked()

    with serving(tracked.answer) as server:
        assert trained("export-metrics", "042", "--mlflow", server.url, "--follow", "--quiet") == 0

    [run] = tracked.runs.values()
    assert len(run["metrics"]) == 4
    assert states == ["signed"]


def test_what_the_server_refuses_and_what_is_no_server(
    trained: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> tuple[int, str]:
        code = trained("export-metrics", *arguments)
        return code, capsys.readouterr().err

    with serving(lambda _: (403, b"\x1b[31mno")) as server:
        code, said = refused("042", "--mlflow", server.url)
    assert code == 1
    assert "answers 403" in said
    assert "\x1b" not in said
    with serving(lambda _: (200, b"<html>")) as server:
        assert refused("042", "--mlflow", server.url)[0] == 3
    with serving(lambda _: (200, {"experiment": {"experiment_id": 7}})) as server:
        assert refused("042", "--mlflow", server.url)[0] == 3
    with serving(lambda _: (302, {}, {"Location": "http://127.0.0.1:9/"})) as server:
        assert refused("042", "--mlflow", server.url)[0] != 0
    code, said = refused("042", "--mlflow", "http://mlflow.example.com")
    assert code == 1
    assert "is without TLS" in said
    for address in ("mlflow.example.com", "https://user:secret@mlflow.example.com", "file:///tmp"):
        assert refused("042", "--mlflow", address)[0] == 2
    assert refused("043", "--mlflow", "https://mlflow.example.com")[0] == 2
