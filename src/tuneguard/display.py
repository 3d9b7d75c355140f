"""Values as people read them, the same in every step: times, paths, digests, numbers, sizes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuneguard import files

if TYPE_CHECKING:
    from pathlib import Path


def rfc3339(moment: datetime) -> str:
    """A moment as evidence writes it: UTC, whole seconds, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(path: Path) -> str:
    """A path as it is printed: escaped, and relative where it lies below the current folder."""
    return files.printable(files.from_here(path))


def short(digest: str) -> str:
    """The first 12 hex digits of a digest, for text."""
    return digest.removeprefix("sha256:")[:12]


def counted(number: int, noun: str) -> str:
    """A number of things for people.

    >>> counted(1, "file"), counted(1_200, "file")
    ('1 file', '1,200 files')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def signer_named(identity: str, custodian: str) -> str:
    """Who signed: the identity, and its custodian where that is another name.

    >>> signer_named("alice-yubikey", "alice"), signer_named("dev-builder", "dev-builder")
    ('alice-yubikey (alice)', 'dev-builder')
    """
    return identity if identity == custodian else f"{identity} ({custodian})"


def size(count: int) -> str:
    """A number of bytes for people.

    >>> size(432_327_884)
    '412.3 MiB'
    """
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def duration(seconds: float) -> str:
    """How long something takes, to two units at most.

    >>> duration(4.2), duration(75), duration(3_700), duration(200_000)
    ('4 s', '1 min 15 s', '1 h 1 min', '2 d 7 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def local_time(text: str) -> str:
    """An RFC 3339 time from evidence as people read it: local, with its offset."""
    moment = datetime.fromisoformat(text).astimezone()
    offset = moment.strftime("%z")
    return f"{moment:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:]}"


def figure(value: float) -> str:
    """Three digits after the point, four where the value is small, so that 0.0004 is not 0.

    >>> [figure(value) for value in (0.94, 0.0112, 0.0004, 1.0, 0)]
    ['0.94', '0.011', '0.0004', '1', '0']
    """
    text = f"{value:.3f}" if value >= 0.01 or value == 0 else f"{value:.4f}"
    return text.rstrip("0").rstrip(".") or "0"
