"""Names of the allow list that belong to libraries which `make test` does not install."""

from __future__ import annotations

import importlib

import pytest

from tuneguard.scanner.allowed import ALLOWED

OURS = [key for key in ALLOWED if key[0].split(".")[0] in ("sentence_transformers", "trl")]


@pytest.mark.parametrize(("module", "name"), OURS)
def test_an_allowed_name_is_really_there(module, name) -> None:
    assert hasattr(importlib.import_module(module), name)
