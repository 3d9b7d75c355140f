"""What every test stands on: a home of its own, the programs that it needs, no deadlines."""

from __future__ import annotations

import signal
from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING

import hypothesis
import pytest

from world.needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# No example and no strategy is judged by the time that it takes: a busy machine is no fault of the code.
hypothesis.settings.register_profile(
    "tuneguard", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("tuneguard"), max_examples=20
)  # `make check`
hypothesis.settings.load_profile("tuneguard")


def pytest_configure(config: pytest.Config) -> None:
    """Signals that a test sends reach what it started, also under nohup or as a script's background job.

    Both have signals ignored, which every program that is started inherits. The process that only hands tests
    out to others keeps what it was given.
    """
    if not config.getoption("numprocesses", None):
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            if signal.getsignal(each) is signal.SIG_IGN:
                signal.signal(each, signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders of their own, one a test."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def own_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """TUNEGUARD_HOME is a fresh folder; policy and root variables are unset."""
    parent = next(homes)
    parent.mkdir()
    home = parent / "tuneguard"
    monkeypatch.setenv("TUNEGUARD_HOME", str(home))
    for name in ("TUNEGUARD_POLICY", "TUNEGUARD_ROOT", "TUNEGUARD_FAULT_AT", "TUNEGUARD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return home


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that is marked with programs runs where they are."""
    for mark in item.iter_markers("needs"):
        need(*mark.args)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Last, one line for each reason why something did not run, with how many tests and of which files."""
    yield
    skipped = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        skipped[reason].append(report.nodeid.partition("::")[0])
    for reason, files in sorted(skipped.items()):
        times = "1 test" if len(files) == 1 else f"{len(files)} tests"
        terminalreporter.line(f"not run: {times}: {reason} ({', '.join(sorted(set(files)))})")
