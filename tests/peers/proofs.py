"""docs/interop.md: who reads what we write, and writes what we read. Made of tests that passed, only.

A whole run of `tests/peers` compares the page's table with what was proved and fails where they differ;
with `TUNEGUARD_ACCEPT=1` it writes the page.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "interop.md"
DIRECTIONS = {
    "reads": "reads what we write",
    "writes": "writes what we read",
    "refuses": "refuses, as it must",
}
MODULES = {
    "cosign": "github.com/sigstore/cosign/v3",
    "oras": "oras.land/oras",
    "crane": "github.com/google/go-containerregistry",
    "distribution": "github.com/distribution/distribution/v3",
    "Fulcio, Rekor, TSA": "github.com/sigstore/fulcio",
}
DISTRIBUTIONS = {"model_signing": "model-signing", "sigstore-python": "sigstore"}
INTRODUCTION = """\
# Interoperability

Each row is a test in `tests/peers` that passed against the real program, on loopback. `make test-peers`
runs them, and fails where this table says more or less than what ran. The peers' versions are those
that `tests/peers/go.mod` and `requirements/all.txt` pin.

"""


@dataclass(frozen=True, order=True)
class Row:
    """One proved statement."""

    peer: str
    direction: str
    what: str

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction is one of {', '.join(DIRECTIONS)}, not {self.direction}")


@dataclass
class Collector:
    """A pytest plugin: keeps the rows of passed tests, and at the end of a whole run judges the page."""

    rows: set[Row] = field(default_factory=set)
    whole: bool = True

    def pytest_collection_modifyitems(self, config, items):
        """A run of chosen tests says nothing about the page."""
        chosen = {Path(item.path).name for item in items}
        self.whole = chosen == {path.name for path in HERE.glob("test_*.py")}
        self.whole &= not (config.option.keyword or config.option.markexpr)

    def pytest_runtest_logreport(self, report):
        """A row counts only if its test passed; a test that did not run leaves the page alone."""
        if report.when == "call" and report.passed:
            self.rows.update(value for name, value in report.user_properties if name == "proves")
        elif report.failed or report.skipped:
            self.whole = False

    def pytest_sessionfinish(self, session):
        """Compare or write."""
        if not self.whole or not self.rows:
            return
        if os.environ.get("TUNEGUARD_ACCEPT") == "1":
            PAGE.write_text(page(self.rows, dt.datetime.now(dt.UTC).date()))
        elif undated(page(self.rows, dt.date.min)) != undated(PAGE.read_text() if PAGE.exists() else ""):
            sys.stderr.write("\ndocs/interop.md is not what the tests proved: make accept-peers\n")
            session.exitstatus = 1


def page(rows: set[Row], day: dt.date) -> str:
    """The page's text."""
    lines = ["| peer | version | | what |", "|---|---|---|---|"]
    lines += [
        f"| {row.peer} | {version(row.peer)} | {DIRECTIONS[row.direction]} | {row.what} |"
        for row in sorted(rows)
    ]
    return f"{INTRODUCTION}Last run in whole: {day}.\n\n" + "\n".join(lines) + "\n"


def undated(text: str) -> str:
    """The page without its day."""
    return re.sub(r"Last run in whole: .*", "", text)


def version(peer: str) -> str:
    """The version that is pinned."""
    if peer in DISTRIBUTIONS:
        return importlib.metadata.version(DISTRIBUTIONS[peer])
    if peer in MODULES:
        found = re.search(
            rf"^\s*{re.escape(MODULES[peer])} v(\S+)", (HERE / "go.mod").read_text(), re.MULTILINE
        )
        assert found, peer
        return found[1]
    return "the system's"
