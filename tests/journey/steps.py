"""A promotion step by step, its evaluation counted by hand instead of by a model.

Everything else is the real thing: the same commands that `promote` plans, in the same order. The
whole plan with a real model is in test_whole_journey.py.
"""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest.predicates import evaluation as evaluations
from tuneguard.display import rfc3339
from tuneguard.ledger.entry import new_attempt
from tuneguard.project import evidence_log
from tuneguard.project.project import Project
from tuneguard.promotion import weights

if TYPE_CHECKING:
    from projects import ProjectFolder

MODEL = "support-llama"


class Promotion:
    """One attempt at promoting a run's checkpoint."""

    def __init__(
        self, project: ProjectFolder, run: str = "042", *, directory: str | None = None, tag: str = ""
    ) -> None:
        self.project = project
        self.run = run
        self.attempt = new_attempt()
        self.source = directory or f"runs/{run}"
        self.reference = f"oci:registry:{tag or 'ft-' + run}"
        self.tree = ""

    @property
    def copy_path(self) -> Path:
        return self.project.path / ".tuneguard/attempts" / self.attempt / "tree"

    def command(self, name: str, *more: str) -> tuple[str, ...]:
        """A step's command line as the plan has it, over the copy."""
        run = ("--run", self.run)
        own = {
            "verify": ("--for", "promote", *run),
            "scan": ("--sign",),
            "evaluate": (),
            "decide": ("--to", self.reference, *run),
            "push": ("--to", self.reference, *run),
            "record": run,
        }[name]
        bound = ("--attempt", self.attempt, "--tree", self.tree, "--model", MODEL)
        evidence = () if name == "record" else ("--evidence", f"{self.source}.evidence")
        return (name, str(self.copy_path.relative_to(self.project.path)), *own, *more, *bound, *evidence)

    def copy_command(self) -> tuple[str, ...]:
        return ("copy", self.source, "--attempt", self.attempt, "--model", MODEL, "--run", self.run)

    def copy(self) -> int:
        out = self.project.path / "copy.json"
        code = self.project(*self.copy_command(), "--json", "--output", str(out))
        self.tree = json.loads(out.read_text())["facts"].get("tree", "")
        return code

    def verify(self) -> int:
        return self.project(*self.command("verify"))

    def scan(self) -> int:
        return self.project(*self.command("scan"))

    def evaluate_really(self) -> int:
        """The evaluation's own step, which loads the model."""
        return self.project(*self.command("evaluate"))

    def evaluate(
        self,
        right: int = 240,
        toxic: int = 0,
        n: int = 250,
        files: tuple[tuple[str, str], ...] | None = None,
    ) -> None:
        """The counts of a model that answers `right` of `n` questions and `toxic` of `n` prompts so."""
        with chdir(self.project.path):
            here = Project(evidence_option=self.project.path / f"{self.source}.evidence")
            rule = here.policy.models[MODEL].evaluation
            assert rule is not None
            selection = weights.selected(self.copy_path, hash_tree(self.copy_path))
            selected = tuple(evaluations.Measured(each.path, each.sha256) for each in selection.measured)
            body = evaluations.Evaluation.of(
                attempt=self.attempt,
                set_digest=rule.set if isinstance(rule.set, str) else hash_tree("data/eval").digest,
                classifier_digest=rule.classifier,
                suites=(suite("accuracy", right, n), suite("toxicity", toxic, n)),
                finished=rfc3339(here.now),
                files=selected if files is None else files,
            )
            evidence_log.record(
                evaluations.PREDICATE.statement(MODEL, self.tree, body),
                evaluations.KIND,
                here.signer("promoter"),
                here.evidence_of(self.copy_path),
                here,
                model=MODEL,
                attempt=self.attempt,
                tree=self.tree,
                result="measured",
            )

    def decide(self, *more: str) -> int:
        return self.project(*self.command("decide", *more))

    def push(self, *more: str) -> int:
        return self.project(*self.command("push", *more))

    def record(self, pushed: str) -> int:
        return self.project(*self.command("record", "--pushed", pushed))

    def judged(self) -> None:
        """copy → verify → scan → evaluate, all passing."""
        assert self.copy() == 0
        assert self.verify() == 0
        assert self.scan() == 0
        self.evaluate()

    def passed(self) -> None:
        """All the way to a pushed model."""
        self.judged()
        assert self.decide() == 0
        assert self.push() == 0


def suite(id: str, count: int, n: int) -> evaluations.SuiteResult:
    return evaluations.SuiteResult(
        id=id, version=1, n=n, count=count, constant=False, empty=0, outputs_digest="0" * 64
    )


def verdicts(project: ProjectFolder, source: str = "runs/042") -> list[dict[str, Any]]:
    """All verdicts beside a checkpoint, the oldest first."""
    return statements(project, "verdict", source)


def statements(project: ProjectFolder, kind: str, source: str = "runs/042") -> list[dict[str, Any]]:
    """The statements of a kind beside a checkpoint, the oldest first."""
    import base64

    found = []
    for path in sorted(
        Path(project.path / f"{source}.evidence").glob(f"{kind}-*"), key=lambda p: p.stat().st_mtime_ns
    ):
        payload = json.loads(path.read_text())["dsseEnvelope"]["payload"]
        found.append(json.loads(base64.b64decode(payload)))
    return found
