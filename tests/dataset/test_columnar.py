"""Rows of Parquet and Arrow: decoded in the sandbox, and the same rows as in JSON Lines."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard import limits
from tuneguard.artifact.digest import hash_tree
from tuneguard.dataset import columnar
from tuneguard.dataset.rows import Rows, hash_rows, overlap
from tuneguard.errors import CannotLook, ChangedWhileRead, NotUnderstood, Refused, UsageError
from tuneguard.files import directory
from world.trees import Meddler, make_tree

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.progress import Reporter

ROWS = [
    {"prompt": "Where is my parcel?", "completion": " shipping", "n": 1},
    {"prompt": "My printer burns", "completion": " hardware", "n": 2},
]


def rows_of(folder: Path, *, reporter: Reporter | None = None) -> Rows | None:
    manifest = hash_tree(folder)
    with directory(folder) as root:
        return hash_rows(
            root, manifest, decoded=folder, **({} if reporter is None else {"reporter": reporter})
        )


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table_of(rows: list[dict[str, Any]]) -> Any:
    pa = pytest.importorskip("pyarrow")
    return pa.Table.from_pylist(rows)


def write(table: Any, file: Path) -> None:
    """In the form that the name's ending says; ``.stream.arrow`` is what ``save_to_disk`` writes."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pq.write_table(table, file)
        return
    new = pa.ipc.new_stream if file.name.endswith(".stream.arrow") else pa.ipc.new_file
    with new(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["rows.parquet", "a/ROWS.PARQUET", "rows.stream.arrow", "rows.feather"])
def test_the_rows_are_those_of_the_same_rows_in_json_lines(tmp_path: Path, name: str) -> None:
    write(table_of(ROWS), (tmp_path / "data" / name).with_suffix(name[name.rfind(".") :].lower()))
    make_tree(tmp_path / "plain", {"rows.jsonl": lines(*ROWS)})

    assert rows_of(tmp_path / "data") == rows_of(tmp_path / "plain")


@pytest.mark.sandbox
def test_rows_of_every_format_in_one_tree_are_counted_together(tmp_path: Path) -> None:
    data = make_tree(tmp_path / "data", {"one.jsonl": lines(ROWS[0]), "notes.txt": b"x"})
    write(table_of(ROWS[1:]), data / "two.parquet")

    rows = rows_of(data)

    assert rows is not None
    assert (rows.count, rows.unread) == (2, ("notes.txt",))
    assert rows.hashes == rows_of(make_tree(tmp_path / "plain", {"rows.jsonl": lines(*ROWS)})).hashes  # type: ignore[union-attr]


@pytest.mark.sandbox
def test_a_field_that_is_null_is_the_same_as_one_that_is_left_out(tmp_path: Path) -> None:
    write(table_of([{"a": "x", "b": "y"}, {"a": "z", "b": None}]), tmp_path / "data/rows.parquet")
    for row in ({"a": "z"}, {"a": "z", "b": None}):
        plain = make_tree(tmp_path / "plain", {"rows.jsonl": lines(row)})

        assert overlap(rows_of(tmp_path / "data").hashes, rows_of(plain).hashes) == 1  # type: ignore[union-attr]


@pytest.mark.sandbox
def test_values_that_json_lacks_have_a_form(tmp_path: Path) -> None:
    row = {
        "bytes": b"abc",
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "price": Decimal("1.50"),
        "nan": math.nan,
        "infinite": math.inf,
        "many": [1.0, None],
        "deep": {"a": [{"b": "c"}]},
    }
    write(table_of([row]), tmp_path / "data/rows.parquet")
    plain = {
        "bytes": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "when": "2026-01-02T03:04:05+00:00",
        "day": "2026-01-02",
        "price": "1.50",
        "nan": None,
        "infinite": "inf",
        "many": [1, None],
        "deep": {"a": [{"b": "c"}]},
    }
    made = make_tree(tmp_path / "plain", {"rows.jsonl": lines(plain)})

    assert overlap(rows_of(tmp_path / "data").hashes, rows_of(made).hashes) == 1  # type: ignore[union-attr]


@pytest.mark.sandbox
def test_the_numbers_of_selected_rows_that_datasets_keeps_are_no_rows(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    data = make_tree(tmp_path / "data", {"state.json": b"{}"})
    write(table_of(ROWS), data / "data-00000-of-00001.stream.arrow")
    write(pa.table({"indices": pa.array([1, 0], pa.uint64())}), data / "indices.stream.arrow")

    rows = rows_of(data)

    assert rows is not None
    assert rows.count == 2


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"ARROW1" + b"\0" * 50, b"PAR1" + b"x" * 100 + b"PAR1", b"{}\n"]
)
def test_what_does_not_decode_is_not_understood(tmp_path: Path, name: str, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    data = make_tree(tmp_path / "data", {name: content})

    with pytest.raises(NotUnderstood, match="is not understood") as caught:
        rows_of(data)

    assert name in str(caught.value)
    assert caught.value.help == "write the rows as JSON Lines"


@pytest.mark.sandbox
def test_two_columns_of_one_name_are_not_understood(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_arrays([pa.array(["secret"]), pa.array(["shown"])], names=["a", "a"])
    write(table, tmp_path / "data/rows.parquet")

    with pytest.raises(NotUnderstood, match="two columns have the same name"):
        rows_of(tmp_path / "data")


@pytest.mark.sandbox
def test_a_file_that_changes_while_it_is_decoded_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data/rows.parquet"
    write(table_of(ROWS), file)

    with pytest.raises(ChangedWhileRead):
        rows_of(tmp_path / "data", reporter=Meddler(after=lambda: file.write_bytes(file.read_bytes())))


@pytest.mark.sandbox
def test_more_rows_than_a_data_set_may_have_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table_of(ROWS), tmp_path / "data/rows.parquet")
    monkeypatch.setattr(limits, "DATASET_ROWS", 1)

    with pytest.raises(CannotLook, match="has more than 1 rows"):
        rows_of(tmp_path / "data")


def test_without_pyarrow_the_library_and_another_form_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "find_spec", lambda _: None)
    data = make_tree(tmp_path / "data", {"rows.parquet": b"PAR1"})

    with pytest.raises(
        UsageError, match=r"pyarrow, which reads them, is not installed at rows\.parquet"
    ) as caught:
        rows_of(data)

    assert caught.value.help == "pip install 'tuneguard[rows]', or write the rows as JSON Lines"


@pytest.mark.parametrize(
    ("said", "hashes"),
    [
        (b'{"rows": 2}', b"x" * 32),
        (b'{"rows": 1}', b"x" * 33),
        (b'{"rows": -1}', b""),
        (b'{"rows": true}', b"x" * 32),
        (b'{"rows": "1"}', b"x" * 32),
        (b"[]", b""),
        (b"{", b""),
        (b'{"fault": ["a", 1]}', b""),
    ],
)
def test_attack_a_result_that_is_no_number_of_rows_and_hashes(
    tmp_path: Path, said: bytes, hashes: bytes
) -> None:
    make_tree(tmp_path, {"result.json": said, "hashes": hashes})

    with pytest.raises(NotUnderstood):
        columnar._read(tmp_path)


def test_attack_a_link_in_place_of_the_hashes(tmp_path: Path) -> None:
    make_tree(tmp_path / "exchange", {"result.json": b'{"rows": 1}'})
    make_tree(tmp_path / "secret", {"key": b"k" * 32})
    (tmp_path / "exchange/hashes").symlink_to(tmp_path / "secret/key")

    with pytest.raises(Refused, match="is a symbolic link"):
        columnar._read(tmp_path / "exchange")
