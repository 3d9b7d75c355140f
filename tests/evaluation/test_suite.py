"""What every suite must keep, whoever adds it."""

from __future__ import annotations

import importlib

import pytest

from tuneguard import limits
from tuneguard.errors import NotUnderstood, Refused
from tuneguard.evaluation.suite import read_objects, suites

ALL = suites()


def test_the_suites_of_the_design_are_there():
    assert {"accuracy", "toxicity"} <= set(ALL)


@pytest.mark.parametrize("suite", ALL.values(), ids=ALL)
class TestEverySuite:
    def test_has_a_version_a_file_of_its_own_and_documentation(self, suite):
        module = importlib.import_module(f"tuneguard.evaluation.suites.{suite.id}")

        assert suite.version >= 1
        assert suite.file == f"{suite.id}.jsonl"
        assert suite.title
        assert suite.file in (module.__doc__ or "")

    def test_refuses_a_file_without_rows(self, suite):
        with pytest.raises(Refused):
            suite.read(b"", suite.file)

    @pytest.mark.parametrize("data", [b"\n", b"[]\n", b"{}\n", b"nonsense\n", b"\xff\xfe\n", b"null\n"])
    def test_understands_no_nonsense_and_names_the_line(self, suite, data):
        with pytest.raises(NotUnderstood, match=f"{suite.file}:1"):
            suite.read(data, suite.file)


def test_more_rows_than_the_limit_are_not_read(monkeypatch):
    monkeypatch.setattr(limits, "EVALUATION_ROWS", 2)

    with pytest.raises(NotUnderstood, match="more than 2 rows"):
        read_objects(b"{}\n{}\n{}\n", "x.jsonl")


def test_the_last_line_may_lack_its_end():
    assert read_objects(b'{"a": 1}\n{"a": 2}', "x.jsonl") == [{"a": 1}, {"a": 2}]


def test_an_escape_sequence_in_a_file_name_reaches_no_terminal():
    with pytest.raises(Refused) as raised:
        read_objects(b"", "\x1b[31m.jsonl")

    assert "\x1b" not in str(raised.value)
