"""Files of attacks lie in one folder, `tests/attacks`."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ATTACKS = TESTS / "attacks"


def is_an_attack_file(path: Path) -> bool:
    """Whether its name says so, or more than half of its tests attack."""
    functions = re.findall(r"^ *def (\w+)", path.read_text(), re.MULTILINE)
    attacks = sum(name.startswith("test_attack_") for name in functions)
    tests = sum(name.startswith("test_") for name in functions)
    return path.name.startswith("test_attack") or attacks * 2 > tests


def test_a_file_that_is_mostly_attacks_lies_in_the_folder_of_the_attacks() -> None:
    """One attack may stand beside the other tests of a module."""
    found = {path for path in TESTS.rglob("test_*.py") if is_an_attack_file(path)}

    assert {ATTACKS / "test_journey.py", ATTACKS / "scanner" / "test_readings.py"} <= found
    assert [str(path) for path in sorted(found) if ATTACKS not in path.parents] == []
