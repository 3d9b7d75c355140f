"""The engine: a shipped Trainer checkpoint, three verdicts, and the tie to a manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.errors import ChangedWhileRead, UsageError
from tuneguard.findings import Verdict
from tuneguard.formats.facts import Fact, Hidden
from tuneguard.scanner import readers
from tuneguard.scanner.engine import Scan, ruleset_digest, scan_paths, scan_tree
from tuneguard.scanner.identify import Kind
from world import pickles as p
from world.zips import torch_zip

if TYPE_CHECKING:
    from tuneguard.formats.reader import Reader

SHIPPED = Path(__file__).parent / "checkpoint"
"""What Trainer wrote: torch 2.13, transformers 5.23, two steps of a Llama with one layer."""


def copied(tmp_path: Path) -> Path:
    target = tmp_path / "run"
    shutil.copytree(SHIPPED, target)
    return target


def manifest_of(root: Path) -> Manifest:
    files = [
        File(str(path.relative_to(root)), path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in root.rglob("*")
        if path.is_file()
    ]
    return Manifest(tuple(sorted(files, key=lambda file: file.path.encode())))


def test_a_trainer_checkpoint_with_its_four_pickles_passes() -> None:
    result = scan_tree(SHIPPED)

    assert result == Scan((), (), result.files, result.bytes, result.files)
    assert result.verdict is Verdict.PASSED
    assert result.files == len(list(SHIPPED.iterdir()))
    assert result.bytes == sum(path.stat().st_size for path in SHIPPED.iterdir())


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"])
def test_a_payload_in_any_of_the_four_is_refused(tmp_path: Path, name: str) -> None:
    root = copied(tmp_path)
    (root / name).write_bytes(torch_zip(p.PAYLOAD))

    [finding] = scan_tree(root).findings

    assert (finding.rule, finding.location.path) == ("TG-PKL-CALL", name)


def test_a_payload_spliced_into_what_trainer_wrote_is_refused(tmp_path: Path) -> None:
    # The pickle itself is the trainer's; the payload stands before its STOP.
    root = copied(tmp_path)
    with zipfile.ZipFile(root / "training_args.bin") as archive:
        original = archive.read("training_args/data.pkl")
    (root / "training_args.bin").write_bytes(torch_zip(original[:-1] + p.SYSTEM + p.POP + p.STOP))

    [finding] = scan_tree(root).findings

    assert finding.location.offset > len(original)
    assert "posix.system" in finding.message


def test_findings_win_over_what_was_skipped(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(bytes(range(200, 256)))
    assert scan_tree(tmp_path).verdict is Verdict.NOT_UNDERSTOOD

    (tmp_path / "model.pkl").write_bytes(p.PAYLOAD)
    assert scan_tree(tmp_path).verdict is Verdict.REFUSED


def test_one_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "a.bin").write_bytes(p.BENIGN)
    (tmp_path / "a.bin").chmod(0)
    (tmp_path / "b.bin").write_bytes(p.PAYLOAD)

    result = scan_tree(tmp_path)

    assert [skipped.path for skipped in result.skipped] == ["a.bin"]
    assert result.verdict is Verdict.REFUSED


def test_attack_a_forbidden_entry_hides_nothing_of_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(p.PAYLOAD)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.bin").symlink_to("/etc/hostname")
    (tmp_path / "odd\u202ename.txt").write_bytes(b"hello\n")
    (tmp_path / "z.bin").write_bytes(p.PAYLOAD)

    for result, prefix in (
        (scan_tree(tmp_path), ""),
        (scan_tree(tmp_path, Manifest(())), ""),
        (scan_paths([tmp_path, tmp_path / "z.bin"]), f"{tmp_path}/"),
    ):
        places = {(finding.rule, finding.location.path) for finding in result.findings}
        assert result.verdict is Verdict.REFUSED
        assert places >= {
            ("T-EMPTY-DIR", f"{prefix}empty"),
            ("T-NAME", f"{prefix}odd\\u202ename.txt"),
            ("T-SYMLINK", f"{prefix}link.bin"),
            ("TG-PKL-CALL", f"{prefix}a.bin"),
            ("TG-PKL-CALL", f"{prefix}z.bin"),
        }


def test_a_reader_that_fails_leaves_its_file_not_understood_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [ValueError, RecursionError, MemoryError, OverflowError, KeyError, AssertionError]
    root = tmp_path / "run"
    root.mkdir()
    for number in range(len(faults)):
        (root / f"{number}.json").write_bytes(b"{}" * 1000)
    (root / "z.pkl").write_bytes(p.PAYLOAD)
    signed = manifest_of(root)
    waiting = iter(faults)

    def failing(reader: Reader):
        reader.read(2)
        yield Fact()
        raise next(waiting)

    monkeypatch.setitem(readers.READERS, Kind.JSON, failing)

    result = scan_tree(root, signed)  # with a manifest: the bytes still pass to the hash

    assert [finding.rule for finding in result.findings] == ["TG-PKL-CALL"]
    assert [(skipped.path, skipped.reason) for skipped in result.skipped] == [
        (f"{number}.json", f"Tuneguard failed on it ({fault.__name__}): please report this")
        for number, fault in enumerate(faults)
    ]


def test_a_rule_that_fails_keeps_what_was_found_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(reader: Reader):
        yield Hidden("something", 0, 1)
        yield Hidden("something else", 0, object())

    monkeypatch.setitem(readers.READERS, Kind.TEXT, failing)
    (tmp_path / "a.txt").write_text("hello")

    result = scan_tree(tmp_path)

    assert [finding.message for finding in result.findings] == ["holds something (1 byte)"]
    assert "TypeError" in result.skipped[0].reason


def test_a_reader_that_fails_on_a_guess_leaves_the_file_not_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is not understood in a guess is a coincidence of bytes; that the reader failed is not.
    def failing(reader: Reader):
        raise ValueError
        yield Fact()

    monkeypatch.setitem(readers.READERS, Kind.ZIP, failing)
    (tmp_path / "a.pkl").write_bytes(p.stream(p.data(b"PK\x03\x04 and more")))

    result = scan_tree(tmp_path)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert "ValueError" in result.skipped[0].reason


def test_an_interruption_is_no_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(reader: Reader):
        yield Fact()
        raise KeyboardInterrupt

    monkeypatch.setitem(readers.READERS, Kind.TEXT, interrupted)
    (tmp_path / "a.txt").write_text("hello")

    with pytest.raises(KeyboardInterrupt):
        scan_tree(tmp_path)


# --- bound to a manifest ---------------------------------------------------------------------------


def test_the_bytes_of_the_manifest_pass(tmp_path: Path) -> None:
    root = copied(tmp_path)

    assert scan_tree(root, manifest_of(root)).verdict is Verdict.PASSED


def test_by_descriptor_too(tmp_path: Path) -> None:
    root = copied(tmp_path)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert scan_tree(descriptor, manifest_of(root)).verdict is Verdict.PASSED
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.iterdir()))
def test_another_byte_in_any_file_than_the_signed_one_refuses(tmp_path: Path, name: str) -> None:
    root = copied(tmp_path)
    signed = manifest_of(root)
    data = bytearray((root / name).read_bytes())
    data[len(data) // 2] ^= 1
    (root / name).write_bytes(data)

    changed = [finding for finding in scan_tree(root, signed).findings if finding.rule == "TG-CHANGED"]

    assert [finding.location.path for finding in changed] == [name]


def test_a_clean_swap_refuses_though_nothing_in_it_is_bad(tmp_path: Path) -> None:
    root = copied(tmp_path)
    signed = manifest_of(root)
    (root / "scheduler.pt").write_bytes(torch_zip(p.BENIGN))

    [finding] = scan_tree(root, signed).findings

    assert (finding.rule, finding.severity) == ("TG-CHANGED", "critical")


def test_a_file_added_or_missing_refuses(tmp_path: Path) -> None:
    root = copied(tmp_path)
    signed = manifest_of(root)
    (root / "new.txt").write_text("hello\n")
    (root / "config.json").unlink()

    assert {(finding.location.path, finding.message) for finding in scan_tree(root, signed).findings} == {
        ("new.txt", "is not in the manifest"),
        ("config.json", "is in the manifest and not there"),
    }


def test_an_empty_manifest_allows_nothing(tmp_path: Path) -> None:
    root = copied(tmp_path)

    assert scan_tree(root, Manifest(())).verdict is Verdict.REFUSED


def test_a_file_that_changes_under_the_scan_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copied(tmp_path)
    before = readers.READERS[Kind.JSON]

    def read_and_append(reader: Reader):
        yield from before(reader)
        with (root / "config.json").open("a") as file:
            file.write(" ")

    monkeypatch.setitem(readers.READERS, Kind.JSON, read_and_append)

    with pytest.raises(ChangedWhileRead, match=r"config\.json"):
        scan_tree(root)


def test_a_format_that_leaves_bytes_unread_is_not_taken_as_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lazy(reader: Reader):
        reader.read(1)
        yield Fact()

    monkeypatch.setitem(readers.READERS, Kind.TEXT, lazy)
    (tmp_path / "a.txt").write_text("hello")

    result = scan_tree(tmp_path)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert result.skipped[0].reason == "4 bytes were not looked at"


# --- paths -----------------------------------------------------------------------------------------


def test_a_single_file_is_scanned_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(p.PAYLOAD)

    result = scan_paths([tmp_path / "model.pkl"])

    assert [finding.location.path for finding in result.findings] == ["model.pkl"]


def test_several_paths_keep_their_own_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.pkl").write_bytes(p.PAYLOAD)

    result = scan_paths([tmp_path / "a", tmp_path / "b" / "m.pkl"])

    assert [finding.location.path for finding in result.findings] == [
        f"{tmp_path}/a/m.pkl",
        f"{tmp_path}/b/m.pkl",
    ]


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        scan_paths([tmp_path / "nothing"])


def test_a_terminal_escape_in_a_name_never_reaches_a_message(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(p.stream(p.call(p.named("a\x1b[2Jb", "c\x9bd"), p.text("\x1b[31m"))))

    [finding] = scan_tree(tmp_path).findings

    assert "\x1b" not in finding.message
    assert "\x9b" not in finding.message


def test_the_rule_set_has_one_digest() -> None:
    assert ruleset_digest() == ruleset_digest()
    assert len(ruleset_digest()) == 64
