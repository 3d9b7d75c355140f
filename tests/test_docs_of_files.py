"""The pages about the files that people write: their examples load, and no key or finding is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tuneguard import spec
from tuneguard.fields import keys
from tuneguard.trust import policy, review

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str) -> list[bytes]:
    """The YAML blocks of a page."""
    return [
        block.encode() for block in re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    ]


def test_the_policys_example_is_a_sound_policy():
    example, *_ = blocks("policy.md")

    read = policy.parse_policy(example, "policy.yaml")

    assert [finding.rule for finding in review.weaknesses(read)] == ["P-CODE"]
    assert read.require == policy.DEFAULT_REQUIRE


def test_the_pipelines_example_is_a_pipeline():
    (example,) = blocks("pipeline.md")

    assert spec.parse(example, "tuneguard.yaml", Path()).train.expected_seconds == 57_600


def test_the_pipelines_list_of_data_sets_is_one():
    (example,) = blocks("pipeline.md")
    (several,) = re.findall(r"`(train: \[.*\])`", (DOCS / "pipeline.md").read_text())

    read = spec.parse(re.sub(rb"train: \{path.*", several.encode(), example), "tuneguard.yaml", Path())

    assert [type(each) for each in read.data.sets] == [spec.DataSet] * 2


@pytest.mark.parametrize(("page", "file"), [("policy.md", policy.FILE), ("pipeline.md", spec.FILE)])
def test_every_key_is_explained(page, file):
    prose = re.sub(r"^```.*?^```", "", (DOCS / page).read_text(), flags=re.DOTALL | re.MULTILINE)

    unexplained = [key for key in keys(file) if not re.search(rf"`[a-z.]*{key}`", prose)]

    assert set(unexplained) <= {"apiVersion", "kind"}


def test_every_finding_of_a_policys_check_is_explained_in_the_same_words():
    rows = re.findall(r"\| `(P-[A-Z]+)` \| (.*) \|", (DOCS / "policy.md").read_text())

    assert dict(rows) == review.WEAKNESSES
