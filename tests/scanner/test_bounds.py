"""What a file may cost: any number of small things ends in an answer, by counting and not by the clock."""

from __future__ import annotations

import json
import struct

import pytest

from tuneguard import limits
from tuneguard.findings import Verdict
from tuneguard.formats import jinja, json_document
from tuneguard.scanner import readers


def many(item: bytes, count: int) -> bytes:
    return b"[" + b",".join([item] * count) + b"]"


@pytest.mark.parametrize(
    ("item", "bound"),
    [(b"1", "SCAN_JSON_VALUES"), (b"[]", "SCAN_JSON_VALUES"), (b"{}", "SCAN_JSON_OBJECTS")],
)
def test_a_document_of_too_many_values_is_not_understood(
    scan, monkeypatch: pytest.MonkeyPatch, item: bytes, bound: str
) -> None:
    monkeypatch.setattr(limits, bound, 1000)

    assert scan("a.json", many(item, 400)).verdict is Verdict.PASSED
    result = scan("a.json", many(item, 1001))

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "over 1,000" in result.skipped[0].reason


def test_a_safetensors_header_of_too_many_tensors_is_not_understood(
    scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCAN_JSON_OBJECTS", 1000)
    tensors = {str(number): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for number in range(1001)}
    header = json.dumps(tensors).encode()

    result = scan("a.safetensors", struct.pack("<Q", len(header)) + header)

    assert result.verdict is Verdict.NOT_UNDERSTOOD


def test_a_hundred_thousand_findings_are_counted_and_not_printed(scan) -> None:
    result = scan("config.json", many(b'{"auto_map": "m.M"}', 100_000))

    assert result.verdict is Verdict.REFUSED
    assert len(result.findings) <= limits.SCAN_FINDINGS + 1
    assert "more of this kind" in result.findings[-1].message
    assert "the rest was not looked at" in result.skipped[0].reason


def test_the_line_of_a_key_is_sought_once_and_of_the_first_keys_alone() -> None:
    class Text(str):
        __slots__ = ()
        sought = 0

        def find(self, *key: object) -> int:
            Text.sought += 1
            return super().find(*key)

    document = json_document.Parsed({}, Text('{\n"a": 1}'), [])

    assert [document.line_of("a") for _ in range(1000)] == [2] * 1000
    assert Text.sought == 1
    for number in range(1000):
        document.line_of(str(number))
    assert Text.sought == limits.SCAN_JSON_LINES


def test_a_key_as_long_as_the_file_is_cut_before_it_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(json_document, "printable", lambda text: seen.append(len(text)) or text)

    assert len(json_document.shown("\u202e" * 1_000_000)) == 80
    assert max(seen) < 100


@pytest.mark.parametrize("key", ["chat_template", "chat_templates"])
def test_attack_templates_under_either_key_are_read(scan, key: str) -> None:
    text = json.dumps({key: {"default": "{{ ''.__class__ }}"}}).encode()

    assert "TG-TEMPLATE" in {finding.rule for finding in scan("processor_config.json", text).findings}


@pytest.mark.parametrize("at_once", [True, False])
def test_so_many_templates_and_no_more_are_parsed(
    scan, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(readers.jinja, "read_template", lambda text: parsed.append(text) or iter(()))
    template = {"name": "n", "template": "{{ x }}"}
    document: object = [{"chat_template": "{{ x }}"}] * 200
    if at_once:
        document = {"chat_template": [template] * 200}

    result = scan("tokenizer_config.json", json.dumps(document).encode())

    assert "chat templates" in result.skipped[0].reason
    assert len(parsed) <= limits.SCAN_TEMPLATES
    assert jinja is readers.jinja
