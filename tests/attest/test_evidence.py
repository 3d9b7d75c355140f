import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tuneguard import limits
from tuneguard.attest import evidence
from tuneguard.attest.evidence import Piece
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.files import FAULT_AT


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run-042.evidence"


def test_evidence_lies_beside_a_tree_and_never_inside_it(tmp_path, monkeypatch):
    assert evidence.folder_of(tmp_path / "run-042") == tmp_path / "run-042.evidence"
    assert evidence.folder_of(Path("runs/042/")) == Path("runs/042.evidence")
    assert evidence.folder_of(Path("a.b")) == Path("a.b.evidence")

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert evidence.folder_of(Path()) == tmp_path / "here.evidence"
    assert evidence.folder_of(Path("..")).name == f"{tmp_path.name}.evidence"


def test_a_tree_without_a_place_beside_it_needs_the_option(tmp_path):
    with pytest.raises(UsageError) as caught:
        evidence.folder_of(Path("/"))

    assert "--evidence" in caught.value.help
    assert evidence.folder_of(Path("/"), tmp_path) == tmp_path


def test_what_is_written_is_read_back_under_a_name_made_from_its_bytes(folder):
    path = evidence.write(folder, "scan", b'{"a":1}')
    digest = hashlib.sha256(b'{"a":1}').hexdigest()

    assert path == folder / f"scan-{digest[:16]}.sigstore.json"
    assert evidence.read(folder) == (Piece(path.name, b'{"a":1}'),)
    assert evidence.read(folder)[0].sha256 == digest
    assert evidence.read(folder)[0].kind == "scan"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_no_folder_is_no_evidence(folder):
    assert evidence.read(folder) == ()


def test_the_same_bytes_again_change_nothing(folder):
    path = evidence.write(folder, "seal", b"{}")
    before = path.stat()

    assert evidence.write(folder, "seal", b"{}") == path
    after = path.stat()  # all but the time of reading, which the kernel moves as it likes
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_ino, before.st_mtime_ns, before.st_ctime_ns
    )  # fmt: skip
    assert os.listdir(folder) == [path.name]


def test_other_bytes_under_the_name_are_never_overwritten(folder):
    folder.mkdir()
    taken = folder / evidence.file_name("seal", b"{}")
    taken.write_bytes(b"planted")

    with pytest.raises(Refused, match="taken by other bytes"):
        evidence.write(folder, "seal", b"{}")

    assert taken.read_bytes() == b"planted"


def test_a_link_planted_under_the_name_is_not_written_through(folder, tmp_path):
    folder.mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (folder / evidence.file_name("seal", b"{}")).symlink_to(tmp_path / "precious")

    with pytest.raises(Refused):
        evidence.write(folder, "seal", b"{}")

    assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("kind", ["", "../x", "a/b", "Scan", "a b", "-x", "x\n"])
def test_a_kind_that_is_no_plain_word_cannot_name_a_file(kind):
    with pytest.raises(ValueError, match="kind"):
        evidence.file_name(kind, b"{}")


def test_links_fifos_and_folders_in_evidence_are_neither_followed_nor_waited_for(folder, tmp_path):
    (tmp_path / "elsewhere.sigstore.json").write_bytes(b"{}")
    evidence.write(folder, "scan", b"{}")
    (folder / "a.sigstore.json").symlink_to(tmp_path / "elsewhere.sigstore.json")
    (folder / "b.sigstore.json").symlink_to("/nowhere")
    os.mkfifo(folder / "c.sigstore.json")
    (folder / "d.sigstore.json").mkdir()
    (folder / "e.sigstore.json").symlink_to("/dev/zero")

    pieces = {piece.name[0]: piece for piece in evidence.read(folder)}

    assert [name for name, piece in pieces.items() if piece.fault is None] == ["s"]
    assert all(piece.data == b"" for name, piece in pieces.items() if name != "s")
    assert "link" in pieces["a"].fault
    assert "regular file" in pieces["c"].fault


def test_foreign_names_are_reported_and_not_read(folder):
    folder.mkdir()
    (folder / "notes.txt").write_bytes(b"x" * 100)

    (piece,) = evidence.read(folder)

    assert piece.data == b""
    assert ".sigstore.json" in piece.fault


def test_row_hashes_and_what_a_killed_write_left_are_not_evidence(folder):
    evidence.write_rows(folder, bytes(32))
    (folder / ".scan-0123.sigstore.json.0123456789ab.tmp").write_bytes(b"half")

    assert evidence.read(folder) == ()


def test_a_folder_that_is_itself_a_link_is_refused(folder, tmp_path):
    (tmp_path / "other").mkdir()
    folder.symlink_to(tmp_path / "other")

    for use in (lambda: evidence.read(folder), lambda: evidence.write(folder, "scan", b"{}")):
        with pytest.raises(Refused, match="symbolic link"):
            use()
    assert os.listdir(tmp_path / "other") == []


@pytest.mark.parametrize(
    ("name", "count"), [("e{}.sigstore.json", 10_000), ("junk{}", 1_100), ("rows-{:016x}.bin", 1_100)]
)
def test_too_many_files_in_a_folder_end_in_a_bounded_answer(folder, name, count):
    folder.mkdir()
    for at in range(count):
        os.mknod(folder / name.format(at))

    with pytest.raises(CannotLook, match="more than 1,000 files"):
        evidence.read(folder)


def test_as_many_files_as_allowed_are_all_read(folder):
    folder.mkdir()
    for at in range(limits.EVIDENCE_FILES):
        (folder / f"scan-{at:04}.sigstore.json").write_bytes(b"%d" % at)

    assert [piece.data for piece in evidence.read(folder)] == [
        b"%d" % at for at in range(limits.EVIDENCE_FILES)
    ]


def test_more_bytes_than_allowed_are_not_read_however_they_are_spread(folder):
    folder.mkdir()
    for at in range(3):
        with (folder / f"scan-{at}.sigstore.json").open("wb") as file:
            file.truncate(limits.EVIDENCE_BYTES // 2)

    with pytest.raises(CannotLook, match="bytes of evidence"):
        evidence.read(folder)


def test_the_name_of_a_piece_promises_nothing(folder):
    folder.mkdir()
    (folder / "verdict-of-mine.sigstore.json").write_bytes(b"junk")

    (piece,) = evidence.read(folder)

    assert piece.kind == "verdict-of"
    assert piece.data == b"junk"


def test_killed_at_any_durable_step_a_piece_is_whole_or_absent_and_can_be_written_again(tmp_path):
    data = b'{"a":1}'
    program = (
        "import sys; from pathlib import Path; from tuneguard.attest import evidence;"
        "evidence.write(Path(sys.argv[1]), 'scan', b'{\"a\":1}')"
    )

    def run(folder, fault):
        environment = {**os.environ, FAULT_AT: fault, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", program, folder], env=environment, check=False
        ).returncode

    assert run(tmp_path / "all.evidence", f"0:{tmp_path}/count") == 0
    steps = (tmp_path / "count").read_text().count("\n")
    assert steps >= 4
    for step in range(1, steps + 1):
        folder = tmp_path / f"{step}.evidence"
        assert run(folder, f"{step}:{tmp_path}/count{step}") == -9
        assert all(piece.data == data for piece in evidence.read(folder))
        assert evidence.write(folder, "scan", data).read_bytes() == data
        assert [piece.data for piece in evidence.read(folder)] == [data]


def test_row_hashes_are_found_by_the_digest_that_a_seal_names(folder):
    hashes = b"".join(sorted(hashlib.sha256(bytes([at])).digest() for at in range(5)))
    path = evidence.write_rows(folder, hashes)
    digest = hashlib.sha256(hashes).hexdigest()

    assert path.name == f"rows-{digest[:16]}.bin"
    assert evidence.read_rows(folder, digest) == hashes
    assert evidence.write_rows(folder, hashes) == path


def test_changed_row_hashes_are_refused(folder):
    path = evidence.write_rows(folder, bytes(64))
    digest = hashlib.sha256(bytes(64)).hexdigest()
    path.write_bytes(bytes(63) + b"\x01")

    with pytest.raises(Refused, match="not those that the seal names"):
        evidence.read_rows(folder, digest)


def test_missing_row_hashes_are_refused_and_it_says_what_to_bring(folder):
    with pytest.raises(Refused, match="missing") as caught:
        evidence.read_rows(folder, "ab" * 32)

    assert "evidence folder" in caught.value.help


def test_row_hashes_that_are_no_whole_number_of_hashes_are_a_bug_of_ours(folder):
    with pytest.raises(ValueError, match="32 bytes"):
        evidence.write_rows(folder, bytes(31))
