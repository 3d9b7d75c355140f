"""The examples in the rows' page and docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_examples_in_the_rows_page_are_true():
    results = doctest.testfile(str(DOCS / "rows.md"), module_relative=False)

    assert results.attempted > 3
    assert results.failed == 0


@pytest.mark.parametrize("name", ["canonical", "formats", "rows"])
def test_the_examples_in_the_docstrings_are_true(name):
    results = doctest.testmod(importlib.import_module(f"tuneguard.dataset.{name}"))

    assert results.attempted > 0
    assert results.failed == 0
