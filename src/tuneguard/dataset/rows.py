"""Counts a data set's rows and keeps a hash of each, so that training and evaluation can be compared.

`hash_rows` streams the JSONL and CSV files of a tree, has Parquet and Arrow decoded in the sandbox
(`columnar`), checks on the way that their bytes are the ones in the manifest, and gives the sorted hashes: of
every row, and of what each row asks (see `canonical`).
`overlap` counts what two such lists share; TRUST.md rule 19 refuses any.

    >>> one, two, three = (bytes([number]) * 32 for number in (1, 2, 3))
    >>> overlap(one + two, two + three)
    1
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact import tree
from tuneguard.dataset import canonical, columnar, formats
from tuneguard.dataset.canonical import HASH_BYTES
from tuneguard.errors import CannotLook, ChangedWhileRead, NotUnderstood
from tuneguard.files import cannot_look, printable
from tuneguard.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.artifact.manifest import File, Manifest
    from tuneguard.progress import Reporter, Task

_BUFFER = 1024 * 1024


@dataclass(frozen=True)
class Rows:
    """The rows of a data set.

    ``count`` counts rows, doubles too; ``hashes`` holds 32 bytes for each distinct row and each distinct
    prompt, sorted, without doubles; ``unread`` names the files whose rows, if any, are not in it.
    """

    count: int
    hashes: bytes
    unread: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ``hashes`` in lower hex: what a seal holds."""
        return hashlib.sha256(self.hashes).hexdigest()


def hash_rows(
    root: int, manifest: Manifest, *, decoded: Path | None = None, reporter: Reporter = SILENT
) -> Rows | None:
    """The rows of the tree below the directory `root`; None where no file has rows that are read.

    JSONL and CSV are read here. Parquet and Arrow are decoded in the sandbox where `decoded` names the
    tree's folder, which is `root`. Memory: about 64 bytes for each distinct hash, and one row.

    Raises:
        NotUnderstood: a row is malformed; the message has its file and line.
        ChangedWhileRead: a file is not the one that `manifest` lists.
        CannotLook: more rows than `limits.DATASET_ROWS`.
        UsageError: there are Parquet or Arrow files to decode, and pyarrow is not installed.
    """
    columns = [file for file in manifest.files if decoded is not None and columnar.is_columnar(file.path)]
    readable = [file for file in manifest.files if formats.reader_of(file.path) is not None]
    if not readable and not columns:
        return None
    count, hashes = 0, _Hashes()
    with reporter.task("Counted", total=sum(file.size for file in readable), unit="bytes") as task:
        for file in readable:
            for row_hashes in _rows(root, file, task):
                count += 1
                if count > limits.DATASET_ROWS:
                    raise CannotLook(f"the data set has more than {limits.DATASET_ROWS:,} rows")
                hashes.extend(row_hashes)
    if decoded is not None and columns:
        more, found = columnar.hash_files(decoded, root, columns, reporter=reporter)
        count += more
        if count > limits.DATASET_ROWS:
            raise CannotLook(f"the data set has more than {limits.DATASET_ROWS:,} rows")
        hashes.extend([found[start : start + HASH_BYTES] for start in range(0, len(found), HASH_BYTES)])
    read = {file.path for file in (*readable, *columns)}
    unread = tuple(file.path for file in manifest.files if file.path not in read)
    return Rows(count, hashes.sorted(), unread)


def overlap(a: bytes, b: bytes) -> int:
    """How many hashes two sorted lists share: 0 means that no row and no prompt is in both.

    A row that is whole in both counts for itself and for its prompts; so this is a bound on the shared
    rows from above, and it is 0 exactly when there are none.

    Raises:
        NotUnderstood: a list is not sorted or holds a hash twice, so that a merge could miss one.
    """
    left, right = _each(a), _each(b)
    x, y = next(left, None), next(right, None)
    shared = 0
    while x is not None and y is not None:
        if x == y:
            shared += 1
            x, y = next(left, None), next(right, None)
        elif x < y:
            x = next(left, None)
        else:
            y = next(right, None)
    for rest in (left, right):  # the order of what is left is checked too
        for _ in rest:
            pass
    return shared


def _each(hashes: bytes) -> Iterator[bytes]:
    if len(hashes) % HASH_BYTES:
        raise NotUnderstood(f"row hashes of {len(hashes):,} bytes, which is no multiple of {HASH_BYTES}")
    before = b""
    for start in range(0, len(hashes), HASH_BYTES):
        found = hashes[start : start + HASH_BYTES]
        if found <= before:
            raise NotUnderstood("the row hashes are not sorted, or hold one twice")
        yield found
        before = found


def _rows(root: int, file: File, task: Task) -> Iterator[list[bytes]]:
    """The hashes of each row of one file, whose bytes must be those of the manifest."""
    reader = formats.reader_of(file.path)
    assert reader is not None
    with _Hashing(tree.open_file(root, file.path), file.path, task) as raw:
        for where, row in reader(io.BufferedReader(raw, _BUFFER), file.path):
            try:
                yield list(canonical.row_hashes(row))
            except canonical.NotCanonical as error:
                raise NotUnderstood(f"a row cannot be hashed: {error}", where=printable(where)) from error
        if raw.hexdigest() != file.sha256:
            raise ChangedWhileRead("changed after it was hashed", where=printable(file.path))


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is read: its rows are those of the very bytes in the manifest."""

    def __init__(self, descriptor: int, path: str, task: Task) -> None:
        super().__init__()
        self._descriptor, self._path, self._task = descriptor, path, task
        self._hasher = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = os.readv(self._descriptor, [buffer])
        except OSError as error:
            raise cannot_look(error, self._path) from error
        self._hasher.update(buffer[:count])
        self._task.advance(count)
        return count

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class _Hashes:
    """Many hashes in little memory: 256 lists by first byte, each sorted on its own at the end."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(256)]

    def extend(self, hashes: list[bytes]) -> None:
        for found in hashes:
            self._buckets[found[0]] += found

    def sorted(self) -> bytes:
        """All of them, sorted, each once. The buckets are given up on the way."""
        blob = bytearray()
        for position, bucket in enumerate(self._buckets):
            each = {bytes(bucket[start : start + HASH_BYTES]) for start in range(0, len(bucket), HASH_BYTES)}
            blob += b"".join(sorted(each))
            self._buckets[position] = bytearray()
        return bytes(blob)
