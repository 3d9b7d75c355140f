"""The examples in the registry's page and docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_examples_in_the_registrys_page_are_true():
    results = doctest.testfile(str(DOCS / "registry.md"), module_relative=False)

    assert results.attempted > 3
    assert results.failed == 0


@pytest.mark.parametrize("name", ["reference", "manifest", "index"])
def test_the_examples_in_the_docstrings_are_true(name):
    results = doctest.testmod(importlib.import_module(f"tuneguard.oci.{name}"))

    assert results.attempted > 0
    assert results.failed == 0
