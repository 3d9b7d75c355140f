"""A run on several named data sets: each a sealed input of its own, below the data folder by name."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from projects import MODEL, SEAL
from steps import Promotion
from test_run import provenance_of

from tuneguard.artifact.digest import hash_tree

if TYPE_CHECKING:
    from conftest import ProjectFolder

pytestmark = pytest.mark.sandbox

FIRST, SECOND = f"{MODEL}-train", "manuals"
LISTS = """\
import json, pathlib, sys
data, base, checkpoint = map(pathlib.Path, (sys.argv[2], sys.argv[3], sys.argv[4]))
for path in base.iterdir():
    (checkpoint / path.name).write_bytes(path.read_bytes())
found = sorted(str(path.relative_to(data)) for path in data.rglob("*"))
(checkpoint / "trainer_state.json").write_text(json.dumps({"found": found}))
"""


def two_data_sets(project: ProjectFolder) -> None:
    """A second data set, sealed, listed by the policy, and named by the pipeline."""
    rows = "".join(json.dumps({"prompt": f"page {n}", "completion": f" text {n}"}) + "\n" for n in range(30))
    project.write("data/manuals/pages.jsonl", rows)
    assert project("seal", "data/manuals", "--as", "dataset", "--name", SECOND, *SEAL, "--quiet") == 0
    list_in_policy(project, SECOND)
    name_in_pipeline(
        project, f"{{name: {FIRST}, path: data/train, weight: 3}}", "{name: manuals, path: data/manuals}"
    )
    project.write("code/train.py", LISTS)


def list_in_policy(project: ProjectFolder, name: str) -> None:
    policy = (project.path / "policy.yaml").read_text()
    steward = re.search(r"steward: \[(.*?)\]", policy)
    assert steward is not None
    listed = policy.replace("data: [", f"data: [{{name: {name}, steward: [{steward[1]}]}}, ", 1)
    project.write("policy.yaml", listed)
    assert project("policy", "sign", "--quiet") == 0


def name_in_pipeline(project: ProjectFolder, *sets: str) -> None:
    pipeline = (project.path / "tuneguard.yaml").read_text()
    project.write(
        "tuneguard.yaml", re.sub(r"(?m)^  train: .*$", f"  train: [{', '.join(sets)}]", pipeline, count=1)
    )


def test_each_data_set_lies_under_its_name_and_stands_in_the_provenance(project: ProjectFolder) -> None:
    two_data_sets(project)

    assert project("run", "--run", "042", "--quiet") == 0

    found = json.loads((project.path / "runs/042/trainer_state.json").read_text())["found"]
    assert found == [SECOND, f"{SECOND}/pages.jsonl", FIRST, f"{FIRST}/tickets.jsonl"]
    data = provenance_of(project, "042").data
    assert [(each.name, each.version, each.annotations.weight) for each in data] == [
        (FIRST, "1", 3.0),
        (SECOND, "1", None),
    ]
    assert [each.digest["dirHash"] for each in data] == [
        hash_tree(project.path / folder).digest for folder in ("data/train", "data/manuals")
    ]


def test_a_model_of_several_data_sets_is_promoted(project: ProjectFolder) -> None:
    two_data_sets(project)
    assert project("run", "--run", "042", "--quiet") == 0

    Promotion(project).passed()


def test_a_run_on_several_data_sets_is_resumed_on_just_these(project: ProjectFolder) -> None:
    two_data_sets(project)
    assert project("run", "--run", "042", "--quiet") == 0

    assert project("run", "--run", "043", "--resume", "runs/042", "--quiet") == 0
    name_in_pipeline(project, f"{{name: {FIRST}, path: data/train}}")
    assert project("run", "--run", "044", "--resume", "runs/042", "--quiet") == 1


def test_a_data_set_bound_in_place_lies_beside_the_copies(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_data_sets(project)
    policy = (project.path / "policy.yaml").read_text()
    controls = "{network: weakened, filesystem: weakened, memory: weakened, processes: weakened}"
    project.write("policy.yaml", re.sub("(?m)^controls: .*$", f"controls: {controls}", policy))
    assert project("policy", "sign", "--quiet") == 0
    small = (project.path / "data/manuals/pages.jsonl").stat().st_size
    assert small < (project.path / "data/train/tickets.jsonl").stat().st_size
    monkeypatch.setattr("tuneguard.limits.SNAPSHOT_COPY_BYTES", small)

    assert project("train", "--run", "042", "--quiet") == 0

    found = json.loads((project.path / "runs/042/trainer_state.json").read_text())["found"]
    assert found == [SECOND, f"{SECOND}/pages.jsonl", FIRST, f"{FIRST}/tickets.jsonl"]
    network, *_ = provenance_of(project, "042").observed.controls
    assert f"the dataset {FIRST}" in network.how


def test_several_data_sets_lie_in_one_folder_without_a_sandbox_too(project: ProjectFolder) -> None:
    two_data_sets(project)

    assert project("run", "--run", "042", "--unsafe-no-sandbox", "--quiet") == 0

    found = json.loads((project.path / "runs/042/trainer_state.json").read_text())["found"]
    assert f"{SECOND}/pages.jsonl" in found


def test_a_data_set_that_nothing_puts_into_the_folder_is_refused_without_a_sandbox(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two_data_sets(project)
    monkeypatch.setattr("tuneguard.limits.SNAPSHOT_COPY_BYTES", 0)

    assert project("train", "--run", "042", "--unsafe-no-sandbox", "--quiet") == 1

    assert "too large to copy into one folder" in capsys.readouterr().err
