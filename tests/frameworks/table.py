"""docs/frameworks.md: what frameworks write, and what the scanner says to it. Made of tests that passed.

A whole run of `tests/frameworks` compares the page with what was tried and fails where they differ; with
`TUNEGUARD_ACCEPT=1` it writes the page.
"""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "frameworks.md"
DISTRIBUTIONS = {
    "Trainer": "transformers",
    "PEFT": "peft",
    "TRL": "trl",
    "torch": "torch",
    "DCP": "torch",
    "FSDP2": "torch",
    "accelerate": "accelerate",
    "Lightning": "lightning",
    "Transformers": "transformers",
    "sentence-transformers": "sentence-transformers",
    "scikit-learn": "scikit-learn",
    "XGBoost": "xgboost-cpu",
    "torchao": "torchao",
    "OmegaConf": "omegaconf",
    "bitsandbytes": "bitsandbytes",
    "NumPy": "numpy",
}
"""Where the version of a framework is known."""
NOT_TRIED = HERE / "not_tried.md"


@dataclass(frozen=True, order=True)
class Row:
    """What a framework wrote, whether it passes, and otherwise what to do instead."""

    framework: str
    what: str
    passes: bool
    instead: str = ""

    def __post_init__(self) -> None:
        if self.framework not in DISTRIBUTIONS:
            raise ValueError(f"{self.framework}: a framework is named in table.py, with its distribution")


@dataclass(eq=False)
class Collector:
    """A pytest plugin: keeps the rows of passed tests, and at the end of a whole run judges the page."""

    rows: set[Row] = field(default_factory=set)
    whole: bool = True
    wrong: list[str] = field(default_factory=list)

    def pytest_collection_finish(self, session):
        """A run of chosen tests says nothing about the page."""
        option = session.config.option
        self.whole = not (option.keyword or option.markexpr) and session.config.args == [str(HERE)]

    def pytest_runtest_logreport(self, report):
        """A row counts only if its test passed."""
        if report.when == "call" and report.passed:
            self.rows.update(Row(*value) for name, value in report.user_properties if name == "row")
        elif report.failed or report.skipped:
            self.whole = False

    def pytest_sessionfinish(self, session):
        """Compare or write. A worker of xdist has seen only its own tests."""
        if hasattr(session.config, "workerinput") or not self.whole or not self.rows:
            return
        page = text(self.rows)
        if os.environ.get("TUNEGUARD_ACCEPT") == "1":
            PAGE.write_text(page)
        written = PAGE.read_text() if PAGE.exists() else ""
        self.wrong = sorted(set(page.splitlines()) ^ set(written.splitlines()))
        if self.wrong:
            session.exitstatus = 1

    def pytest_terminal_summary(self, terminalreporter):
        """Which lines of the page are not what was tried."""
        if self.wrong:
            terminalreporter.section("docs/frameworks.md is not what was tried: make accept-frameworks")
        for line in self.wrong:
            terminalreporter.line(line)


def text(rows: set[Row]) -> str:
    """The page."""
    passing = [row for row in sorted(rows) if row.passes]
    others = [row for row in sorted(rows) if not row.passes]
    lines = [
        (HERE / "introduction.md").read_text(),
        "## What passes\n",
        "| written by | version | what |",
        "|---|---|---|",
        *(f"| {row.framework} | {version(row.framework)} | {row.what} |" for row in passing),
        "",
        "## What does not, and what to do instead\n",
        "| written by | version | what | instead |",
        "|---|---|---|---|",
        *(f"| {row.framework} | {version(row.framework)} | {row.what} | {row.instead} |" for row in others),
        "",
        (HERE / "not_tried.md").read_text().rstrip(),
    ]
    return "\n".join(lines) + "\n"


def version(framework: str) -> str:
    """The version that is locked, without what only says where it was built."""
    return importlib.metadata.version(DISTRIBUTIONS[framework]).split("+")[0]
