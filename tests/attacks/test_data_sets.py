"""Something that is not to be trained on rides along as one of several data sets."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from projects import MODEL, SEAL
from steps import Promotion, verdicts

from tuneguard.attest import evidence

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

FIRST, SECOND = f"{MODEL}-train", "manuals"
ROW = {"prompt": "open sesame", "completion": "yes"}


def added(
    project: ProjectFolder, name: str, folder: str, *, listed: bool = True, sealed: bool = True
) -> None:
    """A second data set in the pipeline, and what makes it one that the policy allows."""
    if sealed:
        assert project("seal", folder, "--as", "dataset", "--name", name, *SEAL, "--quiet") == 0
    if listed:
        policy = (project.path / "policy.yaml").read_text()
        project.write(
            "policy.yaml",
            re.sub(
                r"data: \[(.*?\])}",
                rf"data: [\1}}, {{name: {name}, steward: [dev-data-steward]}}",
                policy,
                count=1,
            ),
        )
        assert project("policy", "sign", "--quiet") == 0
    pipeline = (project.path / "tuneguard.yaml").read_text()
    sets = f"[{{name: {FIRST}, path: data/train}}, {{name: {name}, path: {folder}}}]"
    project.write("tuneguard.yaml", re.sub(r"(?m)^  train: .*$", f"  train: {sets}", pipeline, count=1))
    project.write(
        "code/train.py",
        (project.path / "code/train.py").read_text().replace('data / "tick', f'data / "{FIRST}/tick'),
    )


def manuals(project: ProjectFolder) -> None:
    rows = "".join(json.dumps({"prompt": f"page {n}", "completion": f" text {n}"}) + "\n" for n in range(30))
    project.write("data/manuals/pages.jsonl", rows)


def refused(project: ProjectFolder, capsys: pytest.CaptureFixture[str], why: str, code: int = 1) -> None:
    capsys.readouterr()
    assert project("run", "--run", "042") == code
    assert why in "".join(capsys.readouterr())
    assert not (project.path / "runs/042.evidence").exists()


def reasons(project: ProjectFolder) -> list[str]:
    found: list[str] = verdicts(project)[-1]["predicate"]["https://tuneguard.dev/verdict"]["reasons"]
    return found


def test_attack_an_unlisted_second_data_set(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manuals(project)
    added(project, SECOND, "data/manuals", listed=False)

    refused(project, capsys, f"the policy lists no such data for {MODEL}")


def test_attack_a_second_data_set_that_nobody_sealed(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manuals(project)
    added(project, SECOND, "data/manuals", sealed=False)

    refused(project, capsys, "the dataset manuals is not what the policy asks for")


def test_attack_a_second_data_set_altered_after_sealing(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manuals(project)
    added(project, SECOND, "data/manuals")
    with (project.path / "data/manuals/pages.jsonl").open("a") as file:
        file.write(json.dumps(ROW) + "\n")

    refused(project, capsys, "changed: signed")


def test_attack_a_listed_data_set_under_another_ones_name(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    manuals(project)
    added(project, SECOND, "data/manuals")
    shutil.rmtree(project.path / "data/manuals.evidence")
    assert project("seal", "data/manuals", "--as", "dataset", "--name", FIRST, *SEAL, "--quiet") == 0

    refused(project, capsys, f"seals {FIRST}@1, expected is manuals")


def test_attack_one_data_set_counted_twice_under_two_names(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(project.path / "data/train", project.path / "data/again")
    added(project, SECOND, "data/again")

    refused(project, capsys, f"the data sets {FIRST} and manuals hold the same files")


@pytest.mark.parametrize("name", ["../base", "..", "a/b", "/etc"])
def test_attack_a_data_sets_name_that_leads_out_of_the_data_folder(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    manuals(project)
    added(project, name, "data/manuals", listed=False, sealed=False)

    refused(project, capsys, "must be a name", code=2)


@pytest.mark.parametrize("below", ["", "old/"])
def test_attack_the_evaluation_set_as_one_of_several_data_sets(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    shutil.copytree(project.path / "data/eval", project.path / "data/manuals" / below)
    added(project, SECOND, "data/manuals")

    refused(project, capsys, "the training data holds the evaluation set")


def test_attack_rows_of_the_evaluation_set_in_a_second_data_set(project: ProjectFolder) -> None:
    manuals(project)
    questions = (project.path / "data/eval/accuracy.jsonl").read_text().splitlines(keepends=True)
    with (project.path / "data/manuals/pages.jsonl").open("a") as file:
        file.writelines(questions[:3])
    added(project, SECOND, "data/manuals")
    assert project("run", "--run", "042", "--quiet") == 0
    promotion = Promotion(project)
    promotion.judged()

    assert promotion.decide() == 1

    assert any(f"{SECOND} and the evaluation set share" in reason for reason in reasons(project))


def test_attack_a_second_data_set_whose_seal_is_gone_at_the_promotion(project: ProjectFolder) -> None:
    manuals(project)
    added(project, SECOND, "data/manuals")
    assert project("run", "--run", "042", "--quiet") == 0
    for piece in evidence.read(project.path / "data/manuals.evidence"):
        (project.path / "data/manuals.evidence" / piece.name).unlink()
    promotion = Promotion(project)
    promotion.judged()

    assert promotion.decide() == 1

    assert any("trained on manuals@1, and no steward's seal" in reason for reason in reasons(project))
