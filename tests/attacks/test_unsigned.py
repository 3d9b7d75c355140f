"""What a judging step leaves unsigned, and what the step that signs it believes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from steps import MODEL, Promotion

from tuneguard.ledger.entry import Event
from tuneguard.ledger.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox


class Judged:
    """A promotion whose scan was made and left unsigned."""

    def __init__(self, project: ProjectFolder) -> None:
        self.project = project
        self.promotion = Promotion(project)
        assert self.promotion.copy() == 0
        self.statement = project.path / "statement.json"
        assert self.scan() == 0

    def scan(self) -> int:
        bound = ("--attempt", self.promotion.attempt, "--tree", self.promotion.tree, "--model", MODEL)
        copy = str(self.promotion.copy_path)
        return self.project("scan", copy, *bound, "--statement", str(self.statement))

    def sign(self, sha256: str | None = None) -> int:
        digest = hashlib.sha256(self.statement.read_bytes()).hexdigest() if sha256 is None else sha256
        bound = ("--attempt", self.promotion.attempt, "--tree", self.promotion.tree, "--model", MODEL)
        evidence = ("--evidence", f"{self.promotion.source}.evidence")
        left = ("--statement", str(self.statement), "--sha256", digest)
        return self.project("sign-scan", str(self.promotion.copy_path), *bound, *evidence, *left)

    def alter(self, change: Callable[[dict[str, Any]], object]) -> None:
        said = json.loads(self.statement.read_text())
        change(said)
        self.statement.write_text(json.dumps(said, separators=(",", ":"), sort_keys=True))

    def signed(self) -> list[Path]:
        return sorted((self.project.path / f"{self.promotion.source}.evidence").glob("scan-*"))

    def recorded(self) -> int:
        ledger = SqliteStore(self.project.path / ".tuneguard/ledger.db")
        return len(list(ledger.entries(event=Event.JUDGED, attempt=self.promotion.attempt)))


@pytest.fixture
def judged(trained: ProjectFolder) -> Judged:
    return Judged(trained)


def test_a_scan_is_signed_as_it_was_left(judged: Judged) -> None:
    assert judged.signed() == []
    assert judged.recorded() == 0

    assert judged.sign() == 0

    assert len(judged.signed()) == judged.recorded() == 1


def test_a_step_that_is_started_again_signs_nothing_twice(judged: Judged) -> None:
    assert judged.sign() == 0
    first = [path.read_bytes() for path in judged.signed()]

    assert judged.sign() == 0

    assert [path.read_bytes() for path in judged.signed()] == first
    assert judged.recorded() == 1


def test_attack_a_second_scan_of_one_attempt(judged: Judged) -> None:
    """Scanning until it passes: another statement of the same attempt is not signed."""
    assert judged.sign() == 0
    judged.alter(lambda said: said["predicate"].update(finished="2026-01-01T00:00:00Z"))

    assert judged.sign() == 1

    assert len(judged.signed()) == judged.recorded() == 1


def test_attack_a_statement_exchanged_after_the_step_said_its_digest(judged: Judged) -> None:
    digest = hashlib.sha256(judged.statement.read_bytes()).hexdigest()
    judged.alter(lambda said: said["predicate"].update(findings=[]))
    judged.alter(lambda said: said["predicate"].update(finished="2026-01-01T00:00:00Z"))

    assert judged.sign(digest) == 1

    assert judged.signed() == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda said: said["subject"][0]["digest"].update(dirHash="0" * 64), 1),
        (lambda said: said["subject"][0].update(name="another-model"), 1),
        (lambda said: said["subject"].append(said["subject"][0]), 3),
        (lambda said: said["predicate"].update(attempt="0" * 32), 1),
        (lambda said: said["predicate"].pop("attempt"), 1),
        (lambda said: said.update(predicateType="https://in-toto.io/attestation/test-result/v0.1"), 1),
        (lambda said: said.update(predicateType="https://slsa.dev/verification_summary/v1"), 1),
        (lambda said: said["predicate"].update(verdict="sure"), 3),
        (lambda said: said.update(_type="https://in-toto.io/Statement/v2"), 3),
    ],
    ids=["tree", "model", "subjects", "attempt", "no attempt", "evaluation", "verdict", "word", "type"],
)
def test_attack_a_statement_about_something_else(
    judged: Judged, change: Callable[[dict[str, Any]], object], code: int
) -> None:
    """A scan that was taken over by what it read can say what its tree is, and nothing else."""
    judged.alter(change)

    assert judged.sign() == code

    assert judged.signed() == []
    assert judged.recorded() == 0


def test_attack_an_attempt_opened_again_for_another_tree(trained: ProjectFolder) -> None:
    promotion = Promotion(trained)
    assert promotion.copy() == 0
    assert promotion.copy() == 0  # a step that an engine starts again
    trained.write("runs/042/extra.json", "{}")

    assert trained(*promotion.copy_command()) == 1

    assert not promotion.copy_path.exists()
