"""What `datasets` and the Hub's client write: its rows are counted, and `stage` brings it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import huggingface_hub
import pytest
from datasets import Dataset, DatasetDict

import tuneguard
from tuneguard.artifact.digest import hash_tree
from tuneguard.dataset.rows import Rows, hash_rows
from tuneguard.files import directory
from world import caches

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [
    {
        "prompt": f"ticket {number}",
        "completion": None if number % 3 else " answer",
        "tags": ["a", str(number)],
    }
    for number in range(20)
]


def rows_of(folder: Path) -> Rows:
    with directory(folder) as root:
        found = hash_rows(root, hash_tree(folder), decoded=folder)
    assert found is not None
    return found


def _shuffled(made: Dataset, folder: Path) -> object:
    return made.shuffle(seed=1).save_to_disk(folder)


def _splits(made: Dataset, folder: Path) -> object:
    return DatasetDict(made.train_test_split(0.5, seed=1)).save_to_disk(folder)


@pytest.mark.parametrize(
    "write",
    [
        lambda made, folder: made.save_to_disk(folder),
        lambda made, folder: made.save_to_disk(folder, num_shards=3),
        _shuffled,
        _splits,
        lambda made, folder: made.to_parquet(folder / "rows.parquet", batch_size=7),
    ],
    ids=["save_to_disk", "shards", "shuffled", "splits", "to_parquet"],
)
def test_the_rows_are_those_of_the_same_data_in_json_lines(
    tmp_path: Path, write: Callable[[Dataset, Path], object]
) -> None:
    made = Dataset.from_list(ROWS)
    for name in ("data", "plain"):
        (tmp_path / name).mkdir()
    write(made, tmp_path / "data")
    made.to_json(tmp_path / "plain" / "rows.jsonl")

    found, plain = rows_of(tmp_path / "data"), rows_of(tmp_path / "plain")

    assert found.count == plain.count == len(ROWS)
    assert {plain.hashes[at : at + 32] for at in range(0, len(plain.hashes), 32)} <= {
        found.hashes[at : at + 32] for at in range(0, len(found.hashes), 32)
    }


def test_a_cache_that_the_hubs_client_reads_is_staged_as_it_reads_it(tmp_path: Path) -> None:
    caches.repository(tmp_path / "hub")
    known = huggingface_hub.scan_cache_dir(tmp_path / "hub")
    [repository] = known.repos
    [revision] = repository.revisions
    assert known.warnings == []

    result = tuneguard.stage(repository.repo_path, tmp_path / "base", revision="main")

    assert (result.facts.repository, result.facts.revision) == (repository.repo_id, revision.commit_hash)
    for path in caches.SNAPSHOT:
        theirs = huggingface_hub.try_to_load_from_cache(repository.repo_id, path, cache_dir=tmp_path / "hub")
        assert isinstance(theirs, str)
        with open(theirs, "rb") as file:
            assert (tmp_path / "base" / path).read_bytes() == file.read()
