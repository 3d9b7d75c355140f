"""Scans bytes as if they were files of a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.findings import Verdict, judge
from tuneguard.formats.reader import Reader
from tuneguard.scanner.engine import Scan, scan_tree
from tuneguard.scanner.examine import examine
from tuneguard.scanner.report import Report
from tuneguard.scanner.rule import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Look = Callable[..., Scan]


@pytest.fixture
def scan(tmp_path: Path) -> Look:
    """`scan("optimizer.pt", data)` or `scan({"a/b.json": data})`: a tree with these files, scanned."""

    def look(files: str | dict[str, bytes], data: bytes = b"") -> Scan:
        root = tmp_path / "checkpoint"
        for name, content in ({files: data} if isinstance(files, str) else files).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return scan_tree(root)

    return look


def verdict(name: str, data: bytes) -> Verdict:
    """What a scan says about one file, which none of our readers may fail on."""
    report = Report()
    examine(Reader.of_bytes(data), name, Context(name), report)
    assert not any("Tuneguard failed" in skipped.reason for skipped in report.skipped)
    return judge(report.findings, report.skipped)


def nearly(seeds: list[bytes], count: int, *, seed: int, reach: int = 1 << 20) -> Iterator[bytes]:
    """So many files that differ from one of the seeds in a few bytes among its first `reach`."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(min(len(data), reach)) if data else 0
            new = chance.choice(
                (b"", b"\0", b" ", b"\x80", b"\xff", b"0", chance.randbytes(chance.randint(1, 9)))
            )
            data[at : at + chance.choice((0, len(new), 1))] = new
        yield bytes(data)


def taken(loader: Callable[[], Any], *refusals: type[Exception]) -> bool:
    """Whether a loader takes what it is given: anything but its own refusal counts."""
    try:
        return bool(loader()) or True
    except refusals:
        return False
    except Exception:  # noqa: BLE001 (a loader that stumbles has not refused)
        return True
