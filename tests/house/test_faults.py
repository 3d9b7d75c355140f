"""docs/faults.md and the tests of the faults name the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def of_page(heading: str) -> list[int]:
    """The numbers in the table below a heading."""
    page = (ROOT / "docs/faults.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    return [int(number) for cell in cells for number in cell.split(",")]


def of_tests(name: str) -> list[int]:
    """The numbers in the names of the tests."""
    text = (ROOT / "tests/attacks" / name).read_text()
    found = re.findall(r"^def test_fault((?:_\d\d)+)_", text, re.MULTILINE)
    return [int(number) for each in found for number in each.strip("_").split("_")]


@pytest.mark.parametrize(
    ("heading", "name", "count"),
    [
        ("Scripts with openssl and cosign", "test_script_faults.py", 28),
        ("model_signing 1.1.1", "test_model_signing_faults.py", 16),
    ],
)
def test_every_fault_has_a_row_and_a_test(heading: str, name: str, count: int) -> None:
    assert of_page(heading) == list(range(1, count + 1))
    assert sorted(of_tests(name)) == list(range(1, count + 1))
