"""What runs in the sandbox: decodes Parquet and Arrow files, and hashes their rows.

    python -P -m tuneguard.dataset.inside REQUEST DATA EXCHANGE

REQUEST is ``{"files": [path, …]}``, of files below DATA. EXCHANGE gets ``hashes``, 32 bytes each, and
``result.json``: ``{"rows": N}`` or ``{"fault": [path, sentence]}``. Lines ``rows N`` on standard output state
how far it is. There is no network and no key here, and whatever is written is read as untrusted.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
from pyarrow import ipc
from pyarrow import parquet as pq

from tuneguard import limits
from tuneguard.dataset.canonical import row_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 1_000
"""Rows that are Python values at a time."""
_INDICES = [("indices", pa.uint64())]
"""The columns of what ``datasets`` writes beside rows that were selected or shuffled: their numbers."""


class Fault(Exception):
    """Why the rows of a file are not counted: its path, and one sentence."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


def main(request: str, data: str, exchange: str) -> None:
    """Answer the request. A `Fault` is an answer too; anything else ends with a traceback."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    answer: dict[str, object]
    with Path(exchange, "hashes").open("wb") as hashes:
        try:
            count = 0
            for path in json.loads(Path(request).read_bytes())["files"]:
                for rows in _counted(Path(data, path), path, hashes):
                    count += rows
                    if count > limits.DATASET_ROWS:
                        break
            answer = {"rows": count}
        except Fault as fault:
            answer = {"fault": [fault.path, str(fault)]}
    Path(exchange, "result.json").write_text(json.dumps(answer), encoding="ascii")


def _counted(file: Path, path: str, hashes: BinaryIO) -> Iterator[int]:
    """Write the hashes of the file's rows; how many rows each batch had."""
    try:
        for batch in _batches(file):
            rows = batch.to_pylist()
            hashes.writelines(b"".join(_hashes(row)) for row in rows)
            print(f"rows {len(rows)}", flush=True)  # noqa: T201 (the supervisor reads it)
            yield len(rows)
    except Exception as error:  # whatever a file made the library raise is the file's fault
        raise Fault(path, f"{type(error).__name__}: {error}") from error


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    with file.open("rb") as opened:
        head = opened.read(6)
    if head.startswith(b"PAR1"):
        with pq.ParquetFile(file) as parquet:
            _check_names(parquet.schema_arrow)
            yield from parquet.iter_batches(BATCH, use_threads=False)
        return
    with pa.OSFile(str(file), "rb") as source:
        reader = ipc.open_file(source) if head == b"ARROW1" else ipc.open_stream(source)
        if [(field.name, field.type) for field in reader.schema] == _INDICES:
            return
        _check_names(reader.schema)
        numbers = range(reader.num_record_batches) if head == b"ARROW1" else None
        for batch in reader if numbers is None else map(reader.get_batch, numbers):
            for start in range(0, batch.num_rows, BATCH):
                yield batch.slice(start, BATCH)


def _check_names(schema: pa.Schema) -> None:
    if len(set(schema.names)) != len(schema.names):
        raise ValueError("two columns have the same name")


def _hashes(row: dict[str, Any]) -> set[bytes]:
    """Those of the row, and of the row without what is null: JSON Lines may leave such a field out."""
    plain = _plain(row)
    found = set(row_hashes(plain))
    if None in plain.values():
        found |= set(row_hashes({key: value for key, value in plain.items() if value is not None}))
    return found


def _plain(value: Any) -> Any:
    """A value of Arrow as one of JSON: bytes by their digest, numbers that JSON lacks as null or text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return None if math.isnan(value) else value if math.isfinite(value) else str(value)
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case bytes():
            return f"sha256:{hashlib.sha256(value).hexdigest()}"
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | timedelta():
            return str(value)
        case _:
            raise TypeError(f"a row holds a {type(value).__name__}")


if __name__ == "__main__":
    main(*sys.argv[1:])
