"""Attacks by Parquet files on what counts their rows."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tuneguard.artifact.digest import hash_tree
from tuneguard.dataset import columnar
from tuneguard.dataset.rows import hash_rows
from tuneguard.errors import CannotLook
from tuneguard.files import directory
from tuneguard.limits import MIB

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.sandbox

COUNT = """
import pathlib, sys
from tuneguard.artifact.digest import hash_tree
from tuneguard.dataset.rows import hash_rows
from tuneguard.files import directory
folder = pathlib.Path(sys.argv[1])
with directory(folder) as root:
    print(hash_rows(root, hash_tree(folder), decoded=folder).count)
print([name for name in sys.modules if name.startswith("pyarrow")])
"""


def written(folder: Path, columns: dict[str, object]) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    folder.mkdir()
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return folder


def test_attack_a_decoder_is_never_loaded_where_a_key_is_opened(tmp_path: Path) -> None:
    """A flaw of pyarrow (CVE-2023-47248 ran a pickle of the file's) would meet the steward's key there."""
    data = written(tmp_path / "data", {"prompt": ["a", "b"]})

    done = subprocess.run([sys.executable, "-c", COUNT, data], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["2", "[]"]


def test_attack_a_small_file_that_decodes_to_more_than_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow")
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int32()), pa.array(["x" * 4 * MIB]))
    data = written(tmp_path / "data", {"prompt": long})
    assert (data / "rows.parquet").stat().st_size < MIB
    monkeypatch.setattr(columnar, "MEMORY", 512 * MIB)

    with directory(data) as root, pytest.raises(CannotLook):
        hash_rows(root, hash_tree(data), decoded=data)
