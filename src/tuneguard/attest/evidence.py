"""The evidence folder: ``run-042/`` has ``run-042.evidence/`` beside it, and nothing of it inside.

Each piece is one bundle in a file named after its kind and the first 16 hex digits of its SHA-256. Writing
never replaces a file; reading takes everything that is there, bounded, and follows no link. The name's kind
is a help for people: what a piece states, and whether it counts, is decided from its signed bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tuneguard import limits
from tuneguard.errors import CannotLook, Refused, TuneguardError, UsageError
from tuneguard.files import (
    cannot_look,
    directory,
    fault_point,
    printable,
    read_bounded,
    sync_directory,
    write_new,
)

SUFFIX = ".sigstore.json"
SEAL_INSIDE = "manifest.json.sigstore.json"
"""The one piece of evidence that lies inside its tree: a seal, named as ``cosign`` users name it."""
_ROWS = re.compile(r"rows-[0-9a-f]{16}\.bin")
_OUR_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
"""What `files.write_new` leaves when it is killed: harmless, and ours."""
_KIND = re.compile(r"[a-z][a-z0-9-]*")
ROW_HASH_BYTES = 32
"""Bytes of one row hash."""


@dataclass(frozen=True)
class Piece:
    """One entry of an evidence folder: its name and its bytes, of which nothing is believed yet.

    ``fault`` states why an entry could not be read (a link, a FIFO, a foreign name); then ``data`` is empty
    and the entry counts for nothing, as if it were not there.
    """

    name: str
    data: bytes
    fault: str | None = None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def kind(self) -> str:
        """The kind that the name gives: a hint, since anyone can name a file."""
        return "seal" if self.name == SEAL_INSIDE else self.name.rpartition("-")[0]


def folder_of(tree: Path, override: Path | None = None) -> Path:
    """Where the evidence about `tree` lies: `override`, else beside it with ``.evidence`` added.

    Raises:
        UsageError: the tree has no name of its own (it is the root folder).
    """
    if override is not None:
        return override
    named = tree if tree.name not in ("", "..") else Path(os.path.realpath(tree))
    if not named.name:
        raise UsageError(
            "has no folder beside it",
            where=printable(str(tree)),
            help="name its evidence: --evidence DIR",
        )
    return named.with_name(named.name + ".evidence")


def read(folder: Path) -> tuple[Piece, ...]:
    """Everything in the folder but row hashes, in the order of the names. No folder is no evidence.

    Raises:
        Refused: the folder itself is a symbolic link.
        CannotLook: it cannot be read, or holds more than `limits.EVIDENCE_FILES` or ``EVIDENCE_BYTES``.
    """
    if not os.path.lexists(folder):
        return ()
    with directory(folder) as descriptor:
        pieces = []
        left = limits.EVIDENCE_BYTES
        for name in _names(descriptor, folder):
            piece = _piece(name, descriptor, left, folder)
            left -= len(piece.data)
            pieces.append(piece)
    return tuple(pieces)


def file_name(kind: str, data: bytes) -> str:
    """``<kind>-<16 hex>.sigstore.json`` for the bundle `data`."""
    if not _KIND.fullmatch(kind):
        msg = f"{kind!r} cannot be a kind of evidence"
        raise ValueError(msg)
    return f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}{SUFFIX}"


def check_outside(folder: Path) -> None:
    """Evidence lies beside a tree. In another tree with evidence, it would be a file that nobody signed.

    Raises:
        Refused: `folder` lies in a tree that has evidence beside it.
    """
    for tree in Path(os.path.realpath(folder.parent), folder.name).parents:
        if tree.name and tree.with_name(tree.name + ".evidence").is_dir():
            raise Refused(
                "is a tree with evidence of its own, and evidence about a folder in it would be added to it",
                where=printable(str(tree)),
                help="name the whole tree; for a part of a run: tuneguard promote RUN --subset FOLDER",
            )


def write(folder: Path, kind: str, data: bytes) -> Path:
    """Put the bundle `data` into the folder, making the folder where it is missing.

    The same bytes again change nothing. Returns the file's path.

    Raises:
        Refused: the folder is a symbolic link, or the name is taken by other bytes.
        CannotLook: it cannot be written.
    """
    return _write_once(folder, file_name(kind, data), data)


def write_rows(folder: Path, hashes: bytes) -> Path:
    """Put a data set's sorted row hashes, 32 bytes each, beside the seal that holds their digest."""
    if len(hashes) % ROW_HASH_BYTES:
        msg = "row hashes are 32 bytes each"
        raise ValueError(msg)
    return _write_once(folder, rows_name(hashlib.sha256(hashes).hexdigest()), hashes)


def read_rows(folder: Path, digest: str) -> bytes:
    """The row hashes whose SHA-256 is `digest`, as a verified seal states it.

    Raises:
        Refused: they are missing, not a regular file, or other bytes.
        CannotLook: they cannot be read, or are larger than `limits.ROW_HASHES_BYTES`.
    """
    path = folder / rows_name(digest)
    try:
        data = read_bounded(path, limits.ROW_HASHES_BYTES)
    except UsageError:
        raise Refused(
            "the row hashes of a sealed data set are missing",
            where=printable(str(path)),
            help="bring the whole evidence folder along with the data",
        ) from None
    if hashlib.sha256(data).hexdigest() != digest or len(data) % ROW_HASH_BYTES:
        raise Refused("the row hashes are not those that the seal names", where=printable(str(path)))
    return data


def rows_name(digest: str) -> str:
    """The file name of the row hashes with this SHA-256."""
    return f"rows-{digest[:16]}.bin"


def _names(descriptor: int, folder: Path) -> list[str]:
    """All names but row hashes and our own leftovers. Stops at the bound, however many there are."""
    names: list[str] = []
    rows = 0
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if _ROWS.fullmatch(entry.name) or _OUR_LEFTOVER.fullmatch(entry.name):
                rows += 1
            else:
                names.append(entry.name)
            if max(rows, len(names)) > limits.EVIDENCE_FILES:
                raise CannotLook(
                    f"holds more than {limits.EVIDENCE_FILES:,} files",
                    where=printable(str(folder)),
                    help="move old evidence elsewhere",
                )
    return sorted(names)


def _piece(name: str, descriptor: int, left: int, folder: Path) -> Piece:
    if not name.endswith(SUFFIX):
        return Piece(name, b"", f"is not evidence: its name does not end in {SUFFIX}")
    try:
        if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size > left:
            raise _TooMuch
        return Piece(name, read_bounded(name, left, dir_fd=descriptor))
    except _TooMuch:
        raise CannotLook(
            f"holds more than {limits.EVIDENCE_BYTES:,} bytes of evidence",
            where=printable(str(folder)),
            help="move old evidence elsewhere",
        ) from None
    except TuneguardError as error:
        return Piece(name, b"", error.what)
    except OSError as error:
        return Piece(name, b"", cannot_look(error, name).what)


class _TooMuch(Exception):
    """The folder's bound on bytes is reached."""


def _write_once(folder: Path, name: str, data: bytes) -> Path:
    check_outside(folder)
    _ensure_folder(folder)
    path = folder / name
    try:
        write_new(path, data)
    except UsageError:
        if read_bounded(path, max(limits.BUNDLE_BYTES, len(data))) != data:
            raise Refused(
                "the name is taken by other bytes",
                where=printable(str(path)),
                help="find out who wrote it: the name is made from the bytes that belong there",
            ) from None
    return path


def _ensure_folder(folder: Path) -> None:
    try:
        fault_point(f"mkdir:{folder.name}")
        folder.mkdir(mode=0o755)
    except FileExistsError:
        with directory(folder):  # refuses a link that somebody put here
            return
    except OSError as error:
        raise cannot_look(error, folder) from error
    sync_directory(folder.parent)
