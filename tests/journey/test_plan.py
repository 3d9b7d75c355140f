"""The plan of a promotion: what each step is given, and that what a person named is searched for nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tuneguard.engines.engine import EngineType, Outcome, PlanOutcome, Session, State
from tuneguard.errors import CannotLook, NotUnderstood
from tuneguard.facts import CopyFacts, NoFacts, TrainFacts
from tuneguard.findings import Result, Verdict
from tuneguard.journey.promote import promote
from tuneguard.journey.run import run
from tuneguard.plan.step import Service
from tuneguard.progress import SILENT
from tuneguard.project.project import Project
from tuneguard.promotion.plan import promotion_plan
from tuneguard.result_codec import error_to_json, to_json
from world.engines import Scripted

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

ORDER = ["copy", "verify", "scan", "sign-scan", "evaluate", "sign-evaluation", "decide", "push", "record"]
REFUSED = Outcome(State.REFUSED, 1)


def orchestrated(
    here: Project, directory: Path, answers: dict[str, Outcome] | None = None
) -> tuple[Scripted, PlanOutcome]:
    plan, volumes = promotion_plan(
        here,
        directory=directory,
        to="oci:{copy.tree}",
        model="support-llama",
        run="042",
        attempt="one",
    )
    engine = Scripted(answers, Session(here.state, volumes))
    return engine, engine.run(plan, SILENT)


def after(given: list[str], option: str) -> str:
    return given[given.index(option) + 1]


@pytest.mark.parametrize(
    "name", ["{copy.tree}", "{push.manifest}", "{copy.nothing}", "{nothing.tree}", "{}", "{"]
)
def test_attack_a_folder_named_like_a_reference_is_that_folder(project: ProjectFolder, name: str):
    folder = project.path / name

    engine, _ = orchestrated(Project.open(project.path), folder)

    assert list(engine.given) == ORDER
    assert str(folder) in engine.given["copy"]
    for step in set(ORDER) - {"scan", "record"}:
        assert after(engine.given[step], "--evidence") == f"{folder}.evidence"
    assert after(engine.given["push"], "--to") == "oci:{copy.tree}"


def test_each_step_is_given_the_tree_that_was_copied(project: ProjectFolder):
    engine, outcome = orchestrated(Project.open(project.path), project.path / "runs/042")

    for step in ORDER[1:]:
        assert after(engine.given[step], "--tree") == "copy.tree"
    assert after(engine.given["record"], "--pushed") == "push.manifest"
    assert outcome.stopped_at is None


def test_what_reads_hostile_bytes_holds_no_key_and_reaches_no_network_and_no_ledger(project: ProjectFolder):
    plan, _ = promotion_plan(
        Project.open(project.path),
        directory=project.path / "runs/042",
        to="127.0.0.1:5000/models/support-llama:ft-042",
        model="support-llama",
        run="042",
        attempt="one",
    )
    steps = {step.name: step for step in plan.steps}

    for name in ("verify", "scan", "evaluate"):
        step = steps[name]
        assert (step.role, step.network) == (None, frozenset())
        assert "ledger" not in {mount.volume for mount in step.mounts}
        assert all(mount.read_only for mount in step.mounts)
    assert {name: step.role for name, step in steps.items() if step.role} == {
        "sign-scan": "scanner",
        "sign-evaluation": "evaluator",
        "decide": "promoter",
        "push": "promoter",
        "record": "log",
    }
    assert steps["push"].network == {Service.REGISTRY}


@pytest.mark.parametrize(
    ("answers", "ran", "status"),
    [
        ({"copy": REFUSED}, ["copy"], None),
        ({"verify": REFUSED}, ["copy", "verify", "decide"], ["verify", "refused"]),
        (
            {
                "scan": Outcome(State.REFUSED, 1, {"statement": "ab"}),
                "sign-scan": REFUSED,
                "decide": REFUSED,
            },
            ["copy", "verify", "scan", "sign-scan", "decide"],
            ["scan", "refused"],
        ),
        (
            {"scan": Outcome(State.FAILED, 3), "decide": REFUSED},
            ["copy", "verify", "scan", "decide"],
            ["scan", "failed"],
        ),
        ({"evaluate": Outcome(State.FAILED, 3)}, [*ORDER[:5], "decide"], ["evaluate", "failed"]),
        ({"sign-evaluation": REFUSED}, ORDER[:7], ["evaluate", "refused"]),
    ],
)
def test_what_runs_after_a_step_that_did_not_pass(
    project: ProjectFolder, answers: dict[str, Outcome], ran: list[str], status: list[str] | None
):
    """A refused scan is signed; `decide` is told where it stopped, and refuses: nothing is pushed."""
    answers.setdefault("decide", REFUSED)

    engine, outcome = orchestrated(Project.open(project.path), project.path / "runs/042", answers)

    assert list(engine.given) == ran
    assert outcome.stopped_at == next(iter(answers))
    if status is not None:
        given = engine.given["decide"]
        told = [given[at + 1 : at + 3] for at, word in enumerate(given) if word == "--step"]
        assert next(each for each in told if each[1] != "passed") == status


def test_attack_a_plan_that_ends_without_a_decision_has_no_result(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project.path)
    copied = CopyFacts(tree="ab", attempt="one", number=1, how="copied")
    said = to_json(Result("copy", Verdict.NOT_UNDERSTOOD, facts=copied))
    answers = {"copy": Outcome(State.FAILED, 3, {}, json.loads(said))}
    engine = EngineType("scripted", "builder", "level", lambda session: Scripted(answers, session))

    with pytest.raises(CannotLook, match="stopped at copy, and nothing was decided"):
        promote("runs/042", to="oci:registry:ft-042", run="042", model="support-llama", engine=engine)


def test_attack_a_step_whose_result_is_another_commands_is_not_understood(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project.path)
    said = to_json(Result("copy", Verdict.PASSED, facts=NoFacts()))
    answers = {"copy": Outcome(State.PASSED, 0, {"tree": "ab"}, json.loads(said))}
    engine = EngineType("scripted", "builder", "level", lambda session: Scripted(answers, session))

    with pytest.raises(NotUnderstood, match=r"`facts\.tree` is missing at the step copy"):
        promote("runs/042", to="oci:registry:ft-042", run="042", model="support-llama", engine=engine)


def test_a_run_whose_checkpoint_cannot_be_scanned_is_trained_and_says_so(project: ProjectFolder):
    facts = TrainFacts(run="042", tree="0" * 64, kind="final", seconds=1.0, controls={})
    trained = json.loads(to_json(Result("train", Verdict.PASSED, facts=facts)))
    failed = json.loads(error_to_json("scan", CannotLook("the disk is on fire")))
    answers = {
        "train": Outcome(State.PASSED, 0, {"run": "042", "tree": "0" * 64}, trained),
        "scan": Outcome(State.FAILED, CannotLook.exit_code, {}, failed),
    }
    engine = EngineType("scripted", "builder", "level", lambda session: Scripted(answers, session))

    result = run(run="042", engine=engine, project=Project.open(project.path))

    assert (result.verdict, result.facts.scan) == (Verdict.PASSED, None)
    assert result.notes == (
        "the run is signed, and its checkpoint could not be scanned: the disk is on fire",
    )
