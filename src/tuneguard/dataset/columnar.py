"""Rows of Parquet and Arrow files, decoded in the sandbox: pyarrow never runs in a process that signs.

1. Look at the tree; bind it read-only into the sandbox, with a folder for what comes back.
2. There, `inside` decodes each file and hashes each row. What comes back is read as untrusted: a number, and
   hashes of 32 bytes.
3. Look again: each file is the one in the manifest, and none was written to in between.

Those who write such a file can attack pyarrow, and falsify what comes back of their own rows. Nothing else is
there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact import tree
from tuneguard.dataset.canonical import HASH_BYTES
from tuneguard.errors import CannotLook, NotUnderstood, UsageError
from tuneguard.files import cannot_look, printable, read_bounded
from tuneguard.records import read_json
from tuneguard.sandbox.controls import Bind, Confinement
from tuneguard.sandbox.environment import clean_environment, shown_for
from tuneguard.sandbox.find import find_backend
from tuneguard.sandbox.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuneguard.artifact.manifest import File
    from tuneguard.progress import Reporter

ENDINGS = frozenset({".parquet", ".geoparquet", ".gpq", ".arrow", ".feather"})
"""What the ``datasets`` library takes for Parquet or Arrow, by a file's name; and Feather, which is Arrow."""
MEMORY = 8 * limits.GIB
"""Bytes for the library and one batch of rows; a batch is one row group at most."""
PROCESSES = 64
DEADLINE = 3600.0
"""Seconds that the decoding may take."""
PLACE = "/rows"
"""Where the sandbox has everything."""


def is_columnar(path: str) -> bool:
    """Whether a file's rows are read here, by its name's ending."""
    return os.path.splitext(path)[1].lower() in ENDINGS


def hash_files(
    directory: Path, root: int, listed: Sequence[File], *, reporter: Reporter
) -> tuple[int, bytes]:
    """The number of rows in the files `listed` of the tree at `directory`, open as `root`; their hashes.

    Raises:
        UsageError: pyarrow is not installed.
        NotUnderstood: a file does not decode, or a row has no canonical form.
        ChangedWhileRead: a file is not the one in the manifest.
        CannotLook: no sandbox works here, the decoding ended without a result, or there are too many rows.
        Interrupted: the person stopped it.
    """
    name = os.fspath(directory)
    if find_spec("pyarrow") is None:
        raise UsageError(
            "the rows are Parquet or Arrow, and pyarrow, which reads them, is not installed",
            where=printable(listed[0].path),
            help="pip install 'tuneguard[rows]', or write the rows as JSON Lines",
        )
    before = tree.survey(root, name=name)
    with tempfile.TemporaryDirectory(prefix="tuneguard-rows-") as made:
        folder = Path(made)
        request = {"files": [file.path for file in listed]}
        (folder / "request.json").write_text(json.dumps(request), encoding="ascii")
        (folder / "exchange").mkdir(0o700)
        status = os.fstat(root)
        binds = (
            Bind(folder / "request.json", f"{PLACE}/request.json"),
            Bind(directory.absolute(), f"{PLACE}/data", identity=(status.st_dev, status.st_ino)),
            Bind(folder / "exchange", f"{PLACE}/exchange", writable=True),
        )
        with reporter.task("Decoding", total=None, unit="rows") as task:
            rows = Rows(task, limits.DATASET_ROWS)
            outcome = find_backend().run(_confinement(binds, rows.hear))
        rows.check_ended(outcome, "decoding of rows", DEADLINE, "split the data set")
        count, hashes = _read(folder / "exchange")
    for file in listed:
        _check_same(root, file)
    tree.check_unchanged(root, before, name=name)
    return count, hashes


def _confinement(binds: tuple[Bind, ...], output: Callable[[bytes], None]) -> Confinement:
    inside = tuple(f"{PLACE}/{name}" for name in ("request.json", "data", "exchange"))
    return Confinement(
        command=(sys.executable, "-P", "-m", "tuneguard.dataset.inside", *inside),
        binds=binds,
        workdir="/tmp",  # noqa: S108 (the sandbox's own)
        environment=clean_environment(more={"ARROW_DEFAULT_MEMORY_POOL": "system"}),
        deadline=DEADLINE,
        memory=MEMORY,
        processes=PROCESSES,
        output=output,
        packages=(*shown_for("tuneguard"), *shown_for("pyarrow")),
        file_size=limits.ROW_HASHES_BYTES,
    )


def _read(exchange: Path) -> tuple[int, bytes]:
    """What the sandbox wrote: a number of rows, and at least one hash for each different one."""
    try:
        said = read_json(read_bounded(exchange / "result.json", limits.RECORD_BYTES), "the decoding's result")
        hashes = read_bounded(exchange / "hashes", limits.ROW_HASHES_BYTES)
    except UsageError:
        raise CannotLook("the decoding of rows ended without a result") from None
    match said:
        case {"fault": [str(path), str(sentence)]}:
            raise NotUnderstood(
                f"is not understood: {printable(sentence[: limits.EVALUATION_FAULT])}",
                where=printable(path[: limits.PATH_BYTES]),
                help="write the rows as JSON Lines",
            )
        case {"rows": int(count)} if count is not True and (
            count >= 0 and not len(hashes) % HASH_BYTES and count * HASH_BYTES <= len(hashes)
        ):
            if count > limits.DATASET_ROWS:
                raise CannotLook(f"the data set has more than {limits.DATASET_ROWS:,} rows")
            return count, hashes
        case _:
            raise NotUnderstood("the decoding's result is not a number of rows and their hashes")


def _check_same(root: int, file: File) -> None:
    with os.fdopen(tree.open_file(root, file.path), "rb", buffering=0) as opened:
        try:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise cannot_look(error, file.path) from error
    if found != file.sha256:
        raise tree.changed(file.path)
