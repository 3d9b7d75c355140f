"""docs/interop.md: who reads what we write, and writes what we read. Made of tests that passed, only.

A whole run of `tests/peers` compares the page's table with what was proved and fails where they differ;
with `TUNEGUARD_ACCEPT=1` it writes the page.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import peers

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
    "Fulcio": "github.com/sigstore/fulcio",
    "Rekor": "github.com/sigstore/rekor-tiles/v2",
    "timestamp-authority": "github.com/sigstore/timestamp-authority/v2",
}
DISTRIBUTIONS = {"model_signing": "model-signing", "sigstore-python": "sigstore"}
COMMANDS = {"openssl": ("openssl", "version"), "SoftHSM2": ("softhsm2-util", "--version")}
OF_SYSTEM = ", of the system"
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
        if self.peer not in {*MODULES, *DISTRIBUTIONS, *COMMANDS}:
            raise ValueError(f"{self.peer}: a peer is named in proofs.py, with where its version is known")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction is one of {', '.join(DIRECTIONS)}, not {self.direction}")


@dataclass(eq=False)
class Collector:
    """A pytest plugin: keeps the rows of passed tests, and at the end of a whole run judges the page."""

    rows: set[Row] = field(default_factory=set)
    whole: bool = True
    wrong: list[str] = field(default_factory=list)

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
            return
        proved, written = page(self.rows, dt.date.min), PAGE.read_text() if PAGE.exists() else ""
        self.wrong = sorted(comparable(proved) ^ comparable(written))
        if self.wrong:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter):
        """Which peers are missing, and which lines of the page are not what was proved."""
        missing = [name for name, where in peers.found().items() if where is None]
        if missing:
            terminalreporter.section("peers that cannot be had here")
        for name in missing:
            terminalreporter.line(f"{name}: {peers.missing_reason(name)}")
        if self.wrong:
            terminalreporter.section("docs/interop.md is not what was proved: make accept-peers")
        for line in self.wrong:
            terminalreporter.line(line)


def page(rows: set[Row], day: dt.date) -> str:
    """The page's text."""
    lines = ["| peer | version | | what |", "|---|---|---|---|"]
    lines += [
        f"| {row.peer} | {version(row.peer)} | {DIRECTIONS[row.direction]} | {row.what} |"
        for row in sorted(rows)
    ]
    return f"{INTRODUCTION}Last run in whole: {day}.\n\n" + "\n".join(lines) + "\n"


def comparable(text: str) -> set[str]:
    """The page's lines without what differs from day to day and from machine to machine."""
    text = re.sub(r"Last run in whole: .*", "", text)
    return set(re.sub(rf"\| [^|]*{OF_SYSTEM} \|", "| |", text).splitlines())


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
    said = subprocess.run(COMMANDS[peer], capture_output=True, text=True, check=True).stdout
    return re.search(r"\d+\.\d+[\w.]*", said)[0] + OF_SYSTEM
