"""What training frameworks really write is scanned. `make test-frameworks` installs them and runs this."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import offline
import table

from tuneguard.findings import Verdict
from tuneguard.scanner.engine import scan_tree

if TYPE_CHECKING:
    from collections.abc import Callable

offline.enforce()


def pytest_configure(config):
    """Collect what was tried."""
    config.pluginmanager.register(table.Collector(), "frameworks")


def pytest_collection_modifyitems(items):
    """A framework's warnings are its own."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(autouse=True)
def of_this_test_alone(tmp_path, monkeypatch):
    """Where frameworks write when nobody says where; one thread; what Accelerate remembers is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    import torch
    from accelerate.state import AcceleratorState, GradientState, PartialState

    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.fixture
def passes(request) -> Callable[[str, str, Path], None]:
    """What a framework wrote into a folder is understood, and nothing in it refuses. Becomes a row."""

    def check(framework: str, what: str, folder: Path) -> None:
        result = scan_tree(folder)
        told = [f"{f.location.path}: {f.message}" for f in result.findings if f.severity != "low"]
        told += [f"{skipped.path}: {skipped.reason}" for skipped in result.skipped]
        assert told == []
        assert result.verdict is Verdict.PASSED
        assert result.files
        request.node.user_properties.append(("row", (framework, what, True)))

    return check


@pytest.fixture
def refused(request) -> Callable[[str, str, Path, str], None]:
    """What a framework wrote does not pass for one reason, which says what to do instead. Becomes a row.

    What could not be looked at counts where nothing was found.
    """

    def check(framework: str, what: str, folder: Path, reason: str, instead: str) -> None:
        result = scan_tree(folder)
        told = [(f.location.path, f.message) for f in result.findings if f.severity != "low"]
        told = told or [(skipped.path, skipped.reason) for skipped in result.skipped]
        assert len(told) == 1, told
        assert result.verdict is not Verdict.PASSED
        [(_, message)] = told
        assert reason in message
        assert message.endswith(instead)
        request.node.user_properties.append(("row", (framework, what, False, instead)))

    return check
