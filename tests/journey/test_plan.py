"""The plan of a promotion: steps hand on digests, and what a person named is searched for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneguard.engines.step import Outcome, Reference, Step
from tuneguard.plan import plans as plan
from tuneguard.progress import SILENT
from tuneguard.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from projects import ProjectFolder

    from tuneguard.engines.step import Heard

FACTS = {"copy": {"tree": "a" * 64}, "push": {"manifest": "sha256:" + "b" * 64}}


class Recorded:
    """An engine whose steps all pass, and which keeps what each was given."""

    def __init__(self) -> None:
        self.given: dict[str, tuple[str, ...]] = {}

    def run(self, step: Step, argv: Sequence[str], heard: Heard) -> Outcome:
        del heard
        self.given[step.id] = tuple(argv)
        return Outcome(0, {"verdict": "passed", "facts": FACTS.get(step.id, {})})


def conducted(here: Project, directory: Path, run: str = "042") -> dict[str, tuple[str, ...]]:
    engine = Recorded()
    steps = plan.promotion_plan(
        here,
        directory=directory,
        reference="oci:{copy.tree}",
        model="support-llama",
        run=run,
        attempt="one",
        tightened=(),
    )
    plan.conduct(steps, engine, SILENT)
    return engine.given


@pytest.mark.parametrize(
    "name", ["{copy.tree}", "{push.manifest}", "{copy.nothing}", "{nothing.tree}", "{}", "{"]
)
def test_attack_a_folder_named_like_a_reference_is_that_folder(project: ProjectFolder, name: str):
    here = Project(project_option=project.path)
    folder = project.path / name

    given = conducted(here, folder)

    assert list(given) == ["copy", "verify", "scan", "evaluate", "decide", "push", "record"]
    assert given["copy"][1] == str(folder)
    assert "--evidence" not in given.pop("record")
    for argv in given.values():
        assert argv[argv.index("--evidence") + 1] == f"{folder}.evidence"
    assert given["push"][given["push"].index("--to") + 1] == "oci:{copy.tree}"


def test_each_step_is_given_the_tree_that_was_copied(project: ProjectFolder):
    given = conducted(Project(project_option=project.path), project.path / "runs/042")

    for step in ("verify", "scan", "evaluate", "decide", "push", "record"):
        assert given[step][given[step].index("--tree") + 1] == FACTS["copy"]["tree"]
    assert given["record"][given["record"].index("--pushed") + 1] == FACTS["push"]["manifest"]


def test_a_reference_to_what_no_step_handed_on_is_a_bug_and_never_text():
    with pytest.raises(KeyError):
        plan.conduct([Step("scan", (Reference("copy", "tree"),))], Recorded(), SILENT)
