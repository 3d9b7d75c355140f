"""The examples in the ledger's page and docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_examples_in_the_ledgers_page_are_true():
    results = doctest.testfile(str(DOCS / "ledger.md"), module_relative=False)

    assert results.attempted > 10
    assert results.failed == 0


@pytest.mark.parametrize("name", ["entry", "merkle", "store"])
def test_the_examples_in_the_docstrings_are_true(name):
    results = doctest.testmod(importlib.import_module(f"tuneguard.ledger.{name}"))

    assert results.attempted > 0
    assert results.failed == 0
