"""Attacks by archive: what torch's reader and another one would see differently, each a small story."""

from __future__ import annotations

import bz2
import io
import struct
import zipfile

import pytest

from tuneguard.errors import ChangedWhileRead
from tuneguard.findings import Verdict, judge
from tuneguard.formats import torch_zip as reading
from tuneguard.formats.reader import Reader
from tuneguard.scanner.examine import examine
from tuneguard.scanner.report import Report
from tuneguard.scanner.rule import Context
from world import pickles as p
from world.zips import Member, archive, torch_members, torch_zip

SYSTEM = 'would call posix.system("echo tuneguard-inert") when the file is loaded'


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def members(*, pickle: bytes = p.BENIGN, **changes: object) -> list[Member]:
    """A plain torch archive whose `data.pkl` has some attributes changed."""
    made = torch_members(pickle)
    for name, value in changes.items():
        setattr(made[0], name, value)
    return made


def test_a_plain_archive_passes(scan) -> None:
    tensors = p.stream(p.table(weight=p.tensor("0", 2)))

    result = scan("model.pt", torch_zip(tensors, {"0": b"\0" * 8}))

    assert result.verdict is Verdict.PASSED
    assert result.understood == 1


@pytest.mark.parametrize("first", [p.BENIGN, p.PAYLOAD])
def test_a_second_data_pkl_is_refused_whichever_holds_the_payload(scan, first: bytes) -> None:
    second = p.PAYLOAD if first is p.BENIGN else p.BENIGN
    twice = [*torch_members(first), Member("archive/data.pkl", second)]

    result = scan("model.pt", archive(*twice))

    assert {"TG-TWO-READINGS", "TG-PKL-CALL"} <= rules_of(result)


def test_a_member_in_other_case_is_refused_since_torch_minds_no_case(scan) -> None:
    twice = [Member("archive/DATA.PKL", p.PAYLOAD), *torch_members(p.BENIGN)]

    assert {"TG-TWO-READINGS", "TG-PKL-CALL"} <= rules_of(scan("model.pt", archive(*twice)))


def test_only_a_member_in_other_case_is_read_as_torch_reads_it(scan) -> None:
    odd = [Member("archive/Data.Pkl", p.PAYLOAD), *torch_members(p.BENIGN)[1:]]

    assert "TG-PKL-CALL" in rules_of(scan("model.pt", archive(*odd)))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"flags": 0x0801}, id="encrypted"),
        pytest.param({"flags": 0x0840}, id="strongly encrypted"),
        pytest.param({"flags": 0x2800}, id="masked"),
        pytest.param({"flags": 0x0820}, id="patched data"),
        pytest.param({"flags": 0x1800}, id="a reserved flag"),
        pytest.param({"flags": 0x0800, "local_flags": 0x0801}, id="encrypted in front only"),
        pytest.param({"flags": 0x0800, "crc": 1}, id="a wrong checksum"),
        pytest.param({"flags": 0x0800, "local_crc": 1}, id="two checksums"),
        pytest.param({"flags": 0x0800, "local_size": 1}, id="two lengths"),
        pytest.param({"size": 1}, id="a stored member of two lengths"),
        pytest.param({"local_name": "archive/else.pkl"}, id="two names"),
        pytest.param({"local_method": 8}, id="two methods"),
        pytest.param({"version": 200}, id="a version that Python refuses and torch does not look at"),
        pytest.param({"local_version": 20}, id="two versions"),
        pytest.param({"attributes": 0o120777 << 16}, id="a symbolic link"),
        pytest.param({"flags": 0x0808, "local_crc": 1}, id="a descriptor and sizes that differ"),
    ],
)
def test_a_header_that_readers_take_differently_is_refused(scan, changes: dict[str, object]) -> None:
    result = scan("model.pt", archive(*members(**changes)))

    assert "TG-TWO-READINGS" in rules_of(result)
    assert result.verdict is Verdict.REFUSED


def test_an_encrypted_mark_hides_no_payload_from_us(scan) -> None:
    # torch's reader ignores the mark and loads the bytes as they are; they are looked at by their name.
    result = scan("model.pt", archive(*members(pickle=p.PAYLOAD, flags=0x0801)))

    assert result.verdict is Verdict.REFUSED


def test_a_compressed_pickle_is_refused_and_read(scan) -> None:
    packed = [Member("archive/data.pkl", p.PAYLOAD, method=8), *torch_members(p.BENIGN)[1:]]

    result = scan("model.pt", archive(*packed))

    assert {"TG-TWO-READINGS", "TG-PKL-CALL"} <= rules_of(result)


def test_a_bzip2_pickle_is_refused_unread(scan) -> None:
    packed = Member("archive/data.pkl", p.PAYLOAD, method=12)
    packed.packed = bz2.compress(p.PAYLOAD)

    result = scan("model.pt", archive(packed, *torch_members(p.BENIGN)[1:]))

    assert "TG-TWO-READINGS" in rules_of(result)
    assert any("bzip2" in skipped.reason for skipped in result.skipped)


def test_a_zip_bomb_is_not_unpacked(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.ZIP_INFLATED", 1000)
    bomb = Member("archive/extra.bin", b"\0" * 1_000_000, method=8)

    result = scan("model.pt", archive(*torch_members(p.BENIGN), bomb))

    assert any("not read" in skipped.reason for skipped in result.skipped)


def test_an_archive_of_many_bombs_is_not_unpacked(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.ZIP_INFLATED_IN_ALL", 2000)
    bombs = [Member(f"archive/{i}", b"\0" * 1000, method=8) for i in range(3)]

    assert "unpacks to over 2,000 bytes" in scan("model.zip", archive(*bombs)).skipped[0].reason


def test_archives_that_unpack_to_archives_come_to_an_end(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.NESTED_BYTES_IN_ALL", 5000)
    data = archive(*[Member(f"{i}.txt", b"text", method=8) for i in range(9)])
    for _ in range(3):
        data = archive(*[Member(f"{i}.zip", data, method=8) for i in range(9)])

    assert any("more inside of each other" in skipped.reason for skipped in scan("model.zip", data).skipped)


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(scan) -> None:
    bomb = Member("archive/extra.bin", b"\0" * 100_000, method=8, size=10)

    assert "TG-TWO-READINGS" in rules_of(scan("model.pt", archive(*torch_members(p.BENIGN), bomb)))


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/passwd", "archive/../../x", "archive\\x", "archive//x", "a\x1b[2J"]
)
def test_a_name_that_leaves_the_archive_or_the_line_is_refused(scan, name: str) -> None:
    result = scan("model.pt", archive(*torch_members(p.BENIGN), Member(name, b"1")))

    assert "TG-TWO-READINGS" in rules_of(result)
    assert "\x1b" not in repr(result)


@pytest.mark.parametrize(
    "places",
    [
        {"prefix": b"#!/bin/sh\necho tuneguard-inert\n"},
        {"prefix": b"PK\x03\x04junk"},
        {"gap": b"hidden"},
        {"before_directory": b"hidden"},
        {"comment": b"a comment"},
    ],
    ids=["a script in front", "junk in front", "between members", "before the directory", "a comment"],
)
def test_bytes_where_none_belong_are_refused(scan, places: dict[str, bytes]) -> None:
    result = scan("model.pt", archive(*torch_members(p.BENIGN), **places))

    assert result.verdict is Verdict.REFUSED


def test_an_archive_in_the_comment_of_another_never_passes(scan) -> None:
    # Readers that seek the end of the directory in different ways find one archive or the other.
    result = scan("model.pt", archive(*torch_members(p.BENIGN), comment=torch_zip(p.PAYLOAD)))

    assert result.verdict is not Verdict.PASSED


def test_an_archive_behind_a_pickle_is_refused(scan) -> None:
    assert "TG-HIDDEN" in rules_of(scan("model.pt", p.BENIGN + torch_zip(p.PAYLOAD)))


def test_an_extra_field_that_holds_bytes_is_refused(scan) -> None:
    hidden = struct.pack("<HH", 0x4246, 6) + b"hidden"

    assert rules_of(scan("model.pt", archive(*members(extra=hidden)))) == {"TG-HIDDEN"}


def test_members_that_overlap_are_not_understood(scan) -> None:
    data = bytearray(archive(Member("a/data.pkl", p.BENIGN), Member("a/version", b"3")))
    second = data.rfind(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)

    assert scan("model.pt", bytes(data)).verdict is Verdict.NOT_UNDERSTOOD


@pytest.mark.parametrize("cut", [1, 10, 22, 60, 200])
def test_an_archive_that_is_cut_short_never_passes(scan, cut: int) -> None:
    assert scan("model.pt", torch_zip()[:-cut]).verdict is not Verdict.PASSED


def test_a_storage_that_no_tensor_asks_for_is_refused(scan) -> None:
    assert rules_of(scan("model.pt", torch_zip(p.BENIGN, {"0": b"\0" * 8}))) == {"TG-HIDDEN"}


@pytest.mark.parametrize(
    "storages", [{}, {"0": b"\0" * 4}, {"1": b"\0" * 8}], ids=["missing", "shorter", "another"]
)
def test_a_storage_that_is_not_as_the_tensor_says_is_refused(scan, storages: dict[str, bytes]) -> None:
    tensors = p.stream(p.table(weight=p.tensor("0", 2)))

    assert "TG-TORCH-STORAGE" in rules_of(scan("model.pt", torch_zip(tensors, storages)))


def test_a_storage_asked_for_in_two_lengths_is_refused(scan) -> None:
    tensors = p.stream(p.table(a=p.tensor("0", 2), b=p.tensor("0", 1)))

    assert "TG-TORCH-STORAGE" in rules_of(scan("model.pt", torch_zip(tensors, {"0": b"\0" * 8})))


def test_a_note_that_says_something_else_is_refused(scan) -> None:
    changed = torch_members(p.BENIGN)
    changed[-1].data = changed[-1].packed = b"hidden payload"

    assert rules_of(scan("model.pt", archive(*changed))) == {"TG-HIDDEN"}


def test_torchscript_is_refused(scan) -> None:
    script = [
        *torch_members(p.BENIGN),
        Member("archive/constants.pkl", p.BENIGN),
        Member("archive/code/a.py", b"x = 1\n"),
    ]

    assert {"TG-TORCHSCRIPT", "TG-CODE"} <= rules_of(scan("model.pt", archive(*script)))


def test_torchscript_as_its_compiler_writes_it_is_refused_for_one_reason(scan) -> None:
    made = p.call(p.named("__torch__.torch.nn.modules.linear", "Linear"))
    script = [
        *torch_members(p.stream(made)),
        Member("archive/constants.pkl", p.stream(p.row(p.storage()))),
        Member("archive/constants/0", b"\0" * 8),
        Member("archive/code/__torch__/a.py", b"def f(self):\n  return 1\n", method=8),
        Member("archive/code/__torch__/a.py.debug_pkl", p.BENIGN, method=8),
    ]

    [finding] = scan("model.pt", archive(*script)).findings

    assert (finding.rule, finding.severity) == ("TG-TORCHSCRIPT", "high")
    assert "save the weights" in finding.message


@pytest.mark.parametrize(
    "name", ["constants.pkl", "traced_inputs.pkl", "code/__torch__/a.py.debug_pkl", "data.pkl"]
)
def test_attack_a_call_in_a_pickle_of_torchscript(scan, name: str) -> None:
    members = {"data.pkl": p.BENIGN, "code/__torch__/a.py": b"x", "code/__torch__/a.py.debug_pkl": p.BENIGN}
    script = [Member(f"archive/{name}", data) for name, data in (members | {name: p.PAYLOAD}).items()]

    result = scan("model.pt", archive(*script))

    assert SYSTEM in [finding.message for finding in result.findings]
    assert "TG-TORCHSCRIPT" in rules_of(result)


def test_a_program_of_torch_export_is_not_understood_for_one_reason(scan) -> None:
    program = [
        Member("m/archive_format", b"pt2"),
        Member("m/models/model.json", b'{"target": "torch.ops.aten.linear.default"}'),
        Member("m/data/weights/weight_0", b"\0" * 8),
    ]

    result = scan("m.pt2", archive(*program))

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    [skipped] = result.skipped
    assert "save the weights" in skipped.reason


def test_attack_a_call_in_a_program_of_torch_export(scan) -> None:
    planted = [Member("m/archive_format", b"pt2"), Member("m/data/sample_inputs/model.pt", p.PAYLOAD)]

    result = scan("m.pt2", archive(*planted))

    assert SYSTEM in [finding.message for finding in result.findings]


@pytest.mark.parametrize("name", ["archive/extra.pkl", "archive/extra", "elsewhere/data.pkl"])
def test_a_pickle_in_another_member_is_seen(scan, name: str) -> None:
    result = scan("model.pt", archive(*torch_members(p.BENIGN), Member(name, p.PAYLOAD)))

    assert SYSTEM in [finding.message for finding in result.findings]


def test_an_archive_in_an_archive_is_looked_into(scan) -> None:
    inner = torch_zip(p.PAYLOAD)

    result = scan("model.zip", archive(Member("inner.pt", inner)))

    [finding] = result.findings
    assert finding.location.member == "inner.pt ▸ archive/data.pkl"


def test_archives_nested_too_deep_are_not_understood(scan) -> None:
    data = torch_zip(p.BENIGN)
    for _ in range(12):
        data = archive(Member("in.zip", data))

    assert scan("model.zip", data).verdict is Verdict.NOT_UNDERSTOOD


def test_a_pickle_called_otherwise_in_a_plain_archive_is_seen(scan) -> None:
    result = scan("arrays.npz", archive(Member("weights.npy", p.PAYLOAD, method=8)))

    assert SYSTEM in [finding.message for finding in result.findings]


def test_a_member_of_no_known_kind_is_not_understood(scan) -> None:
    result = scan(
        "model.pt", archive(*torch_members(p.BENIGN), Member("archive/extra", bytes(range(128, 255))))
    )

    assert result.verdict is Verdict.NOT_UNDERSTOOD


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_an_archive_with_a_changed_byte_passes_only_if_another_reader_sees_the_same(flip: int) -> None:
    data = torch_zip(p.stream(p.table(weight=p.tensor("0", 2))), {"0": b"\0" * 8})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
        report = Report()
        examine(Reader.of_bytes(changed), "model.pt", Context("model.pt"), report)
        if judge(report.findings, report.skipped) is Verdict.PASSED:
            with zipfile.ZipFile(io.BytesIO(changed)) as archive:
                assert {name: archive.read(name) for name in archive.namelist()} == members, at


def test_a_directory_that_changes_behind_the_look_ahead_is_noticed() -> None:
    data = torch_zip()
    changed = data.replace(b"PK\x01\x02" + b"\0" * 4, b"PK\x01\x02" + b"\1" * 4)
    position = 0

    def fetch(amount: int) -> bytes:
        nonlocal position
        position += amount
        return changed[position - amount : position]

    reader = Reader(fetch, len(data), look=lambda offset, amount: data[offset : offset + amount])
    with pytest.raises(ChangedWhileRead):
        list(reading.read(reader))
