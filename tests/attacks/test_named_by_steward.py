"""A base or an evaluation set that a policy names by steward, and is not one that this steward sealed."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import MODEL, SEAL, safetensors
from steps import Promotion, verdicts

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

STEWARD = "steward: [dev-data-steward]"


def edit(project: ProjectFolder, *changes: tuple[str, str]) -> None:
    """Change the policy as its owner does, and sign it."""
    text = (project.path / "policy.yaml").read_text()
    for old, new in changes:
        text, count = re.subn(old, new, text, count=1)
        assert count == 1, old
    project.write("policy.yaml", text)
    assert project("policy", "sign", "--quiet") == 0


def named(project: ProjectFolder, *, base: bool = True, measured: bool = True) -> None:
    """The policy names base and evaluation set by steward."""
    if base:
        edit(project, (r"base: \[[0-9a-f]{64}\]", f"base: [{{name: tiny, {STEWARD}}}]"))
    if measured:
        edit(project, (r"set: [0-9a-f]{64}", f"set: {{name: eval, {STEWARD}}}"))


def refresh(project: ProjectFolder, folder: str, kind: str, name: str, *more: str) -> None:
    """New contents under a new seal, the earlier one's evidence gone."""
    if kind == "base":
        (project.path / folder / "model.safetensors").write_bytes(safetensors((3.0,) * 4))
    else:
        rows = [{"prompt": f"new question {n}", "choices": ["a", "b"], "answer": n % 2} for n in range(250)]
        project.write(f"{folder}/accuracy.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    shutil.rmtree(project.path / f"{folder}.evidence")
    assert project("seal", folder, "--as", kind, "--name", name, *SEAL, "--quiet", *more) == 0


def refused(project: ProjectFolder, capsys: pytest.CaptureFixture[str], why: str) -> None:
    capsys.readouterr()
    assert project("run", "--run", "042") == 1
    assert why in "".join(capsys.readouterr())
    assert not (project.path / "runs/042.evidence").exists()


def decided(project: ProjectFolder) -> list[str]:
    """The reasons of a promotion that is refused."""
    promotion = Promotion(project)
    promotion.judged()
    assert promotion.decide() == 1
    found: list[str] = verdicts(project)[-1]["predicate"]["https://tuneguard.dev/verdict"]["reasons"]
    return found


def test_what_the_steward_seals_next_needs_no_new_policy(project: ProjectFolder) -> None:
    named(project)
    refresh(project, "models/base", "base", "tiny")
    refresh(project, "data/eval", "evaluation", "eval")

    assert project("run", "--run", "042", "--quiet") == 0
    Promotion(project).passed()


def test_a_run_without_the_set_at_hand_is_found_at_the_promotion(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write("tuneguard.yaml", pipeline.replace("  eval: {path: data/eval}\n", ""))

    assert project("run", "--run", "042", "--quiet") == 0
    project.write("tuneguard.yaml", pipeline)
    promotion = Promotion(project)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 0  # of low severity under a development policy

    why = "code and configuration were not compared with the evaluation set: the provenance names none"
    assert why in "".join(capsys.readouterr())


def test_attack_a_base_that_another_identity_sealed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    edit(
        project,
        (
            r"data-steward: \{anyOf: \[dev-data-steward\]",
            "data-steward: {anyOf: [dev-data-steward, dev-builder]",
        ),
    )
    refresh(project, "models/base", "base", "tiny", "--key", f"data-steward={key_file(project, 'builder')}")

    refused(project, capsys, "the policy does not list this tree as base")


def test_attack_a_base_that_the_promoter_sealed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    edit(project, (r"base: \[\{name: tiny, steward: \[", "base: [{name: tiny, steward: [dev-promoter, "))
    refresh(project, "models/base", "base", "tiny", "--key", f"data-steward={key_file(project, 'promoter')}")

    refused(project, capsys, "no role lets dev-promoter (dev-promoter) sign seal")


def key_file(project: ProjectFolder, role: str) -> str:
    [found] = (project.path.parent / "home").rglob(f"{role}.key")
    return str(found)


@pytest.mark.parametrize(("folder", "kind"), [("models/base", "base"), ("data/eval", "evaluation")])
def test_attack_what_the_same_steward_sealed_under_another_name(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], folder: str, kind: str
) -> None:
    named(project)
    refresh(project, folder, kind, "other")

    why = "the policy does not list this tree as base" if kind == "base" else "is not the evaluation set"
    refused(project, capsys, why)


def test_attack_a_data_set_of_the_base_s_name_as_the_base(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    shutil.rmtree(project.path / "models/base.evidence")
    assert project("seal", "models/base", "--as", "dataset", "--name", "tiny", *SEAL, "--quiet") == 0

    refused(project, capsys, "seals a tree of kind dataset, expected is base")


def test_attack_a_base_changed_after_the_steward_sealed_it(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    (project.path / "models/base/model.safetensors").write_bytes(safetensors((4.0,) * 4))

    refused(project, capsys, "changed: signed")


@pytest.mark.parametrize("measured", [False, True])
def test_attack_a_stewards_key_is_revoked_between_run_and_promotion(
    project: ProjectFolder, measured: bool
) -> None:
    named(project, base=not measured, measured=measured)
    assert project("run", "--run", "042", "--quiet") == 0
    edit(
        project,
        (
            r"(  dev-data-steward: \{key: [^,}]+, custodian: [^,}]+)",
            r"\1, revoked: {at: 2026-01-01T00:00:00Z, reason: compromise}",
        ),
    )

    reasons = decided(project)

    what = "measured with the evaluation set" if measured else "base tiny@1 is not one that the policy lists"
    assert any(what in reason for reason in reasons)


def test_attack_the_bases_seal_is_gone_at_the_promotion(project: ProjectFolder) -> None:
    named(project)
    assert project("run", "--run", "042", "--quiet") == 0
    shutil.rmtree(project.path / "models/base.evidence")

    assert any("base tiny@1 is not one that the policy lists" in reason for reason in decided(project))


def test_attack_measured_with_another_set_than_code_and_configuration_were_compared_with(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    assert project("run", "--run", "042", "--quiet") == 0
    refresh(project, "data/eval", "evaluation", "eval")
    promotion = Promotion(project)
    promotion.judged()
    capsys.readouterr()

    assert promotion.decide() == 0  # of low severity under a development policy

    assert "the policy names another set now" in "".join(capsys.readouterr())


def test_attack_trained_on_a_set_that_the_steward_sealed_for_evaluation_too(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    named(project)
    shutil.rmtree(project.path / "data/train")
    shutil.copytree(project.path / "data/eval", project.path / "data/train")
    name = f"{MODEL}-train"
    assert project("seal", "data/train", "--as", "dataset", "--name", name, *SEAL, "--quiet") == 0

    refused(project, capsys, "the training data holds the evaluation set")
