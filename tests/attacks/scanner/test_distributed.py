"""Attacks by a distributed checkpoint: an index that opens other bytes than the archives that are there."""

from __future__ import annotations

import struct

import pytest

from tuneguard.findings import Verdict
from tuneguard.scanner.engine import scan_paths
from world import pickles as p
from world.zips import Member, archive, torch_members, torch_zip

INDEX = "torch.distributed.checkpoint.metadata"
FILES = "torch.distributed.checkpoint.filesystem"
PART = "__0_0.distcp"
SYSTEM = 'would call posix.system("echo tuneguard-inert") when the file is loaded'


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


def made(module: str, name: str, state: bytes) -> bytes:
    return p.named(module, name) + p.EMPTY_TUPLE + p.NEWOBJ + state + p.BUILD


def place(path: str, start: int, length: int) -> bytes:
    """The attributes as torch's pickler writes them: all in one opcode."""
    items = {"relative_path": p.text(path), "offset": p.integer(start), "length": p.integer(length)}
    return p.EMPTY_DICT + p.MARK + b"".join(p.text(key) + value for key, value in items.items()) + b"u"


def shard(path: str, start: int, length: int) -> bytes:
    return made(FILES, "_StorageInfo", place(path, start, length))


def index(*shards: bytes, more: bytes = p.NONE) -> bytes:
    """An index that names these parts."""
    named = [made(INDEX, "MetadataIndex", p.table(fqn=p.text(str(at)))) for at in range(len(shards))]
    data = p.EMPTY_DICT + b"".join(key + value + p.SETITEM for key, value in zip(named, shards, strict=True))
    return p.stream(made(INDEX, "Metadata", p.table(storage_data=data, planner_data=more)), version=4)


ONE = torch_zip(p.BENIGN)
TWO = torch_zip(p.stream(p.table(w=p.tensor())), {"0": b"\0" * 8})
BOTH = [(PART, 0, len(ONE)), (PART, len(ONE), len(TWO))]


def test_an_index_of_whole_archives_passes(scan) -> None:
    files = {".metadata": index(*(shard(*each) for each in BOTH)), PART: ONE + TWO}

    result = scan(files | {"step/.metadata": files[".metadata"], f"step/{PART}": ONE + TWO})

    assert (result.findings, result.skipped) == ((), ())
    assert result.verdict is Verdict.PASSED
    assert result.understood == 4


@pytest.mark.parametrize(
    "named",
    [
        pytest.param((PART, 40, 64), id="the middle of an archive"),
        pytest.param((PART, 0, len(ONE) - 1), id="less than an archive"),
        pytest.param((PART, 0, len(ONE) + len(TWO)), id="both archives"),
        pytest.param((PART, -1, len(ONE)), id="before the file"),
        pytest.param(("__1_0.distcp", 0, len(ONE)), id="a file that is not there"),
        pytest.param(("model.pt", 0, len(ONE)), id="a file of another name"),
        pytest.param((f"../{PART}", 0, len(ONE)), id="a file beside the folder"),
        pytest.param((f"/tmp/{PART}", 0, len(ONE)), id="a file elsewhere"),
        pytest.param(("__2_0.distcp", 0, 64), id="a file that is no archive"),
    ],
)
def test_attack_an_index_that_opens_other_bytes(scan, named: tuple[str, int, int]) -> None:
    files = {PART: ONE + TWO, "model.pt": ONE, "__2_0.distcp": p.BENIGN}

    result = scan({".metadata": index(shard(*BOTH[0]), shard(*named)), **files})

    assert "TG-DCP" in rules_of(result)
    assert {finding.location.path for finding in result.findings if finding.rule == "TG-DCP"} == {".metadata"}


@pytest.mark.parametrize(
    "served",
    [
        pytest.param(made("argparse", "Namespace", place(PART, 40, 64)), id="a namespace"),
        pytest.param(made(INDEX, "MetadataIndex", place(PART, 40, 64)), id="another class of the index"),
        pytest.param(
            made(FILES, "_StorageInfo", p.table(relative_path=p.text(PART), offset=p.integer(0))),
            id="attributes one by one",
        ),
        pytest.param(
            made(
                FILES, "_StorageInfo", place(PART, 0, len(ONE)) + p.text("length") + p.integer(9) + p.SETITEM
            ),
            id="an attribute twice",
        ),
        pytest.param(shard(*BOTH[0]) + place(PART, 40, 64) + p.BUILD, id="attributes set again"),
        pytest.param(
            shard(PART, 0, len(ONE)).replace(b"J" + struct.pack("<i", 0), b"G" + b"\0" * 8), id="no integer"
        ),
    ],
)
def test_attack_something_that_serves_the_reader_as_a_place(scan, served: bytes) -> None:
    assert "TG-DCP" in rules_of(scan({".metadata": index(served), PART: ONE + TWO}))


def test_attack_an_index_of_namespaces_alone(scan) -> None:
    data = p.EMPTY_DICT + p.text("w") + made("types", "SimpleNamespace", place(PART, 40, 64)) + p.SETITEM
    whole = made("argparse", "Namespace", p.table(storage_data=data)).replace(p.NEWOBJ, p.REDUCE, 1)

    assert "TG-DCP" in rules_of(scan({".metadata": p.stream(whole), PART: ONE}))


@pytest.mark.parametrize("name", ["model.pt", "__0_0.distcp.bak", "weights.zip", "a__0_0.distcp"])
def test_attack_archives_in_a_row_that_another_reader_would_open(scan, name: str) -> None:
    result = scan(name, ONE + TWO)

    assert "TG-DCP" in rules_of(result)
    assert "holds 2 archives in a row" in result.findings[0].message


def test_attack_archives_in_a_row_inside_of_an_archive(scan) -> None:
    assert "TG-DCP" in rules_of(scan("a.zip", archive(Member(PART, ONE + TWO))))


@pytest.mark.parametrize(
    "planted", [ONE + torch_zip(p.PAYLOAD), torch_zip(p.PAYLOAD) + ONE, ONE + torch_zip(p.PAYLOAD) + ONE]
)
def test_attack_a_call_in_one_archive_of_several(scan, planted: bytes) -> None:
    result = scan(PART, planted)

    [finding] = result.findings
    assert finding.message == SYSTEM
    assert finding.location.member in ("0: archive/data.pkl", "1: archive/data.pkl")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0" * 64 + ONE + TWO, id="in front"),
        pytest.param(ONE + b"\0" * 64 + TWO, id="in between"),
        pytest.param(ONE + TWO + b"\0" * 64, id="behind"),
        pytest.param(ONE + p.PAYLOAD + TWO, id="a pickle in between"),
    ],
)
def test_attack_bytes_between_archives(scan, data: bytes) -> None:
    assert scan(PART, data).verdict is not Verdict.PASSED


def test_attack_an_archive_that_does_not_begin_with_its_pickle(scan) -> None:
    members = torch_members(p.BENIGN)
    turned = archive(*members[1:], members[0])

    assert "TG-TWO-READINGS" in rules_of(scan(PART, ONE + turned))


def test_attack_a_directory_for_a_reader_that_takes_all_archives_for_one(scan) -> None:
    tail = torch_zip(p.stream(p.table(w=p.tensor(count=256))), {"0": b"\0" * 1024})
    directory = struct.unpack("<Q", tail[-98 + 48 : -98 + 56])[0]
    plain = torch_zip(p.stream(p.table(w=p.tensor(count=512))), {"0": b"\0" * 2048})
    storage = plain.index(b"\0" * 2048)
    assert storage < directory < storage + 2000
    fake = b"\0" * (directory - storage) + b"PK\x01\x02"
    first = torch_zip(p.stream(p.table(w=p.tensor(count=512))), {"0": fake.ljust(2048, b"\0")})

    assert scan(PART, plain + tail).verdict is Verdict.PASSED
    assert rules_of(scan(PART, first + tail)) == {"TG-TWO-READINGS"}


def test_an_index_that_is_scanned_alone_is_refused_with_what_to_do(tmp_path) -> None:
    path = tmp_path / ".metadata"
    path.write_bytes(index(shard(*BOTH[0]), shard(*BOTH[1])))

    [finding] = scan_paths([path]).findings

    assert finding.rule == "TG-DCP"
    assert "scan its folder" in finding.message


def test_attack_an_index_under_another_name(scan) -> None:
    assert rules_of(scan({"state.pkl": index(shard(*BOTH[0])), PART: ONE})) == {"TG-DCP"}


def test_several_folders_that_a_person_names_are_each_compared(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".metadata").write_bytes(index(shard(*BOTH[0])))
        (tmp_path / name / PART).write_bytes(ONE if name == "a" else TWO)

    result = scan_paths([tmp_path / "a", tmp_path / "b"])

    assert [finding.location.path for finding in result.findings] == [f"{tmp_path}/b/.metadata"]
