"""Keys that are stolen, and keys that are replaced: what is still pulled and loaded, and what is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from steps import MODEL, verdicts

from tuneguard.attest.predicates import verdict as predicates

if TYPE_CHECKING:
    from projects import Project

pytestmark = pytest.mark.sandbox
REFERENCE = "oci:registry:ft-042"
STOLEN = "{at: 2026-01-01T00:00:00Z, reason: compromise}"


def edit(project: Project, old: str, new: str) -> None:
    """Change the policy's text as its owner does, and sign it."""
    path = project.path / "policy.yaml"
    text = path.read_text()
    assert re.search(old, text), old
    path.write_text(re.sub(old, new, text, count=1))
    assert project("policy", "sign", "--quiet") == 0


def mark(project: Project, identity: str, what: str) -> None:
    """Add something to an identity's entry."""
    edit(project, rf"(  {identity}: {{key: [^,}}]+, custodian: [^,}}]+)", rf"\1, {what}")


def digest_of(project: Project) -> str:
    return f"oci:registry@sha256:{verdicts(project)[0]['subject'][1]['digest']['sha256']}"


def pull(project: Project, reference: str = REFERENCE, to: str = "served") -> int:
    return project("pull", reference, to, "--model", MODEL)


def load(project: Project, folder: str = "served") -> int:
    return project("verify", folder, "--for", "load", "--model", MODEL, "--run", "042")


def refused(
    project: Project, capsys: pytest.CaptureFixture[str], *command: str, why: str, code: int = 1
) -> str:
    """The command refuses, and says why."""
    capsys.readouterr()
    assert project(*command) == code
    said = "".join(capsys.readouterr())
    assert why in said
    return said


# --- Stolen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["dev-builder", "dev-data-steward", "dev-promoter"])
def test_attack_a_stolen_builders_model_is_pulled_after_its_revocation(
    pushed: Project, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = digest_of(pushed)
    assert pull(pushed) == 0
    assert load(pushed) == 0

    mark(pushed, who, f"revoked: {STOLEN}")

    for reference in (REFERENCE, digest):
        why = f"by {who} ({who}), who is revoked since 2026-01-01: compromise"
        refused(pushed, capsys, "pull", reference, "again", "--model", MODEL, why=why)
        assert not list(pushed.path.glob("*again*"))
    refused(pushed, capsys, "verify", "served", "--for", "load", "--model", MODEL, why=why)
    refused(pushed, capsys, "renew", REFERENCE, "--model", MODEL, why="revoked since")
    refused(
        pushed, capsys, "push", "runs/042", "--to", digest.partition("@")[0], "--model", MODEL, why="revoked"
    )


def test_a_verdict_names_everybody_whose_evidence_counted(pushed: Project) -> None:
    body = predicates.from_predicate(verdicts(pushed)[0]["predicate"], "v")

    assert {(each.identity, each.role, each.kind) for each in body.relied_on} == {
        ("dev-builder", "builder", "signature"),
        ("dev-builder", "builder", "provenance"),
        ("dev-data-steward", "data-steward", "seal"),
        ("dev-scanner", "scanner", "scan"),
        ("dev-promoter", "promoter", "evaluation"),
    }
