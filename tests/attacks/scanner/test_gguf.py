"""Attacks by GGUF files: templates among the settings, bytes between tensors, tables that say two things."""

from __future__ import annotations

import struct

import pytest

from tuneguard import limits
from tuneguard.findings import Verdict
from world import pickles as p
from world.arrays import gguf, tensor, text
from world.scans import nearly, verdict

PLAIN = gguf(
    {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.rope": (6, struct.pack("<f", 1.0)),
        "x.flag": (7, b"\1"),
        "tokenizer.ggml.tokens": ["a", "b", "\u2581c"],
        "tokenizer.ggml.scores": (9, struct.pack("<IQ", 6, 3) + bytes(12)),
        "tokenizer.chat_templates": ["tool"],
        "tokenizer.chat_template": "{{ messages[0]['content'] }}",
        "tokenizer.chat_template.tool": "{{ tools }}",
    },
    {"a": b"\1" * 40, "b": b"\2" * 32, "empty": b"", "c": b"\3"},
)


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def messages_of(scan) -> set[str]:
    return {finding.message for finding in scan.findings}


def test_a_plain_file_passes(scan) -> None:
    assert scan("model.gguf", PLAIN).verdict is Verdict.PASSED
    assert (
        scan("model.gguf", PLAIN.rstrip(b"\0")).verdict is Verdict.PASSED
    )  # no zeros behind the last tensor
    assert scan("vocabulary.gguf", gguf({"a": "b"})).verdict is Verdict.PASSED
    assert (
        scan("model.gguf", gguf({"general.alignment": 64}, {"a": b"1", "b": b"2"}, alignment=64)).verdict
        is Verdict.PASSED
    )


@pytest.mark.parametrize(
    "key", ["tokenizer.chat_template", "tokenizer.chat_template.tool_use", "tokenizer.ggml.chat_template"]
)
def test_attack_a_template_that_reaches_behind_its_data(scan, key: str) -> None:
    result = scan("model.gguf", gguf({key: "{{ ''.__class__.__mro__ }}"}))

    assert rules_of(result) == {"TG-TEMPLATE"}
    assert result.findings[0].location.member == key


def test_a_template_that_is_a_list_is_not_understood(scan) -> None:
    result = scan("model.gguf", gguf({"tokenizer.chat_template": ["{{ ''.__class__ }}"]}))

    assert result.verdict is Verdict.NOT_UNDERSTOOD


def test_attack_a_setting_or_tensor_twice(scan) -> None:
    settings = [("tokenizer.chat_template", "x"), ("tokenizer.chat_template", "{{ ''.__class__ }}")]
    rows = [tensor("a", 32, 0), tensor("a", 32, 32)]

    assert rules_of(scan("model.gguf", gguf(settings))) == {"TG-TWO-READINGS", "TG-TEMPLATE"}
    assert rules_of(scan("model.gguf", gguf(rows=rows, behind=bytes(64)))) == {"TG-TWO-READINGS"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gguf({}, {"a": b"1"}, padding=b"!"), "bytes behind tensor a where zeros belong"),
        (gguf({}, {"a": b"1"}, behind=b"\0"), "bytes behind the last tensor"),
        (gguf(rows=[tensor("a", 1, 32)], behind=bytes(33)), "bytes between the tensors"),
        (gguf({"a": "b"}, behind=b"x" * 40), "bytes behind the last tensor"),
    ],
)
def test_attack_bytes_that_no_tensor_holds(scan, data: bytes, message: str) -> None:
    result = scan("model.gguf", data)

    assert rules_of(result) == {"TG-HIDDEN"}
    assert any(message in each for each in messages_of(result))


def test_attack_tensors_that_overlap(scan) -> None:
    rows = [tensor("a", 64, 0), tensor("b", 64, 32)]

    assert "TG-TWO-READINGS" in rules_of(scan("model.gguf", gguf(rows=rows, behind=bytes(96))))


def test_attack_a_program_or_a_pickle_in_a_tensor(scan) -> None:
    assert "TG-PROGRAM" in rules_of(scan("m.gguf", gguf({}, {"a": b"\x7fELF\x02\x01\x01" + bytes(57)})))
    assert "TG-PKL-CALL" in rules_of(scan("m.gguf", gguf({}, {"a": p.PAYLOAD})))


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:100],
        gguf(version=1),
        gguf(version=4),
        gguf(version=0x03000000),
        gguf({"a": (9, struct.pack("<IQ", 9, 1) + bytes(12))}),
        gguf({"a": (9, struct.pack("<IQ", 8, 1 << 60))}),
        gguf({"a": (9, struct.pack("<IQ", 0, 1 << 60))}),
        gguf({"a": (13, b"")}),
        gguf({"a": (8, struct.pack("<Q", 1 << 60))}),
        gguf({"\udcff": 1}),
        gguf({"a" * 70_000: 1}),
        gguf({"general.alignment": 0}),
        gguf({"general.alignment": 24}),
        gguf({"general.alignment": 1 << 20}),
        gguf({"general.alignment": (5, b"\x20\0\0\0")}),
        gguf({"tokenizer.chat_template": "x" * (4 * limits.TEMPLATE_CHARACTERS + 1)}),
        gguf(rows=[tensor("a", 33, 0)], behind=bytes(32)),
        gguf(rows=[tensor("a", 1, 0, kind=4)], behind=bytes(32)),
        gguf(rows=[tensor("a", 1, 0, kind=2)], behind=bytes(32)),
        gguf(rows=[tensor("a", 1, 1)], behind=bytes(32)),
        gguf(rows=[tensor("a", 1, 0, shape=(1,) * 5)], behind=bytes(32)),
        gguf(rows=[tensor("a", 1, 0, shape=((1 << 64) - 1,) * 4)], behind=bytes(32)),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60),
        b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a"),
        b"GGUF",
    ],
)
def test_a_file_that_is_not_plain_is_not_understood(scan, data: bytes) -> None:
    result = scan("model.gguf", data)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "Tuneguard failed" not in result.skipped[0].reason


def test_more_texts_than_are_walked_are_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GGUF_ITEMS", 3)

    assert verdict("m.gguf", gguf({"a": ["b"] * 3})) is Verdict.PASSED
    assert verdict("m.gguf", gguf({"a": ["b"] * 2, "c": ["d"] * 2})) is Verdict.NOT_UNDERSTOOD


def test_quantised_blocks_are_counted(scan) -> None:
    rows = [tensor("a", 64, 0, kind=2), tensor("b", 256, 64, kind=14)]

    assert scan("m.gguf", gguf(rows=rows, behind=bytes(36 + 28 + 210))).verdict is Verdict.PASSED
    assert scan("m.gguf", gguf(rows=rows, behind=bytes(36 + 28 + 209))).verdict is Verdict.NOT_UNDERSTOOD


# --- against gguf-py, where it is installed ------------------------------------------------------------


def test_what_gguf_py_reads_as_a_template_is_judged_wherever_we_pass(tmp_path) -> None:
    library = pytest.importorskip("gguf")
    seeds = [PLAIN, gguf({"tokenizer.chat_template": "{{ ''.__class__ }}"}, {"a": b"1"})]
    read = 0
    path = tmp_path / "m.gguf"
    for data in nearly(seeds, 600, seed=15):
        path.write_bytes(data)
        try:
            reader = library.GGUFReader(path)
            fields = {name: field.contents() for name, field in reader.fields.items()}
            tensors = {each.name: each.data.tobytes() for each in reader.tensors}
        except Exception:  # noqa: BLE001 (gguf-py reads nothing here)
            continue
        read += 1
        if verdict("m.gguf", data) is Verdict.PASSED:
            templates = [value for name, value in fields.items() if "chat_template" in name]
            assert not any("__class__" in str(value) for value in templates)
            assert all(each in data for each in tensors.values())

    assert read > 30
