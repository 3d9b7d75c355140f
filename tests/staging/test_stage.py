"""What `stage` makes of a cache, a folder with links and an archive: a plain folder, whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

import tuneguard
from tuneguard.artifact.digest import hash_tree
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.project.project import Project
from world import caches
from world.trees import Meddler, make_tree

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a.txt": b"a" * 10, "deep/er/b.jsonl": b'{"text": "b"}\n' * 1000, "empty.txt": b""}


def held(folder: Path) -> dict[str, bytes]:
    """Every entry below a folder, each of which must be a plain file or a folder."""
    found = {}
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        if not path.is_dir():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def tar_of(folder: Path, file: Path, mode: str, form: int, name: str = ".") -> Path:
    with tarfile.open(file, mode, format=form) as tar:  # type: ignore[call-overload]
        tar.add(folder, name)
    return file


# --- The Hub's cache ---------------------------------------------------------------------------------


def test_a_repository_of_the_cache_becomes_plain_files_and_names_what_seals_it(tmp_path: Path) -> None:
    result = tuneguard.stage(caches.repository(tmp_path), tmp_path / "base")

    assert held(tmp_path / "base") == caches.SNAPSHOT
    assert result.subjects[0].digest == hash_tree(tmp_path / "base").digest
    assert (result.facts.source, result.facts.repository) == ("snapshot", "org/name")
    assert result.facts.revision == caches.COMMIT
    assert result.next is not None
    assert "--as base --name org/name" in result.next
    assert f"--version {caches.COMMIT}" in result.next


def test_a_snapshot_is_staged_by_its_own_folder_too(tmp_path: Path) -> None:
    repository = caches.repository(tmp_path, "datasets--name")

    result = tuneguard.stage(repository / "snapshots" / caches.COMMIT, tmp_path / "data")

    assert held(tmp_path / "data") == caches.SNAPSHOT
    assert (result.facts.repository, result.facts.revision) == ("name", caches.COMMIT)
    assert result.next is not None
    assert "--as dataset" in result.next


def test_a_revision_is_a_commit_or_what_a_ref_says(tmp_path: Path) -> None:
    caches.repository(tmp_path, files={"v": b"1"}, commit="1" * 40, ref="main")
    repository = caches.repository(tmp_path, files={"v": b"2"}, commit="2" * 40, ref="pr/7")

    for revision, expected in (("1" * 40, b"1"), ("pr/7", b"2"), ("2" * 40, b"2"), (None, b"1")):
        tuneguard.stage(repository, tmp_path / f"of {revision}".replace("/", " "), revision=revision)

        assert held(tmp_path / f"of {revision}".replace("/", " ")) == {"v": expected}


def test_without_main_a_repository_of_several_snapshots_asks_which(tmp_path: Path) -> None:
    caches.repository(tmp_path, files={"v": b"1"}, commit="1" * 40, ref=None)
    repository = caches.repository(tmp_path, files={"v": b"2"}, commit="2" * 40, ref=None)

    with pytest.raises(UsageError, match="which snapshot of it is meant") as caught:
        tuneguard.stage(repository, tmp_path / "base")
    with pytest.raises(UsageError, match=r"no snapshot of it is in the cache at .*@v2"):
        tuneguard.stage(repository, tmp_path / "base", revision="v2")

    assert "1" * 40 in (caught.value.help or "")


def test_a_revision_of_what_is_no_repository_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a revision is one of a repository"):
        tuneguard.stage(make_tree(tmp_path / "plain", FILES), tmp_path / "made", revision="main")


def test_a_blob_that_is_not_what_its_name_says_is_a_download_cut_short(tmp_path: Path) -> None:
    repository = caches.repository(tmp_path)
    blob = (repository / "snapshots" / caches.COMMIT / "onnx/model.bin").resolve()
    blob.write_bytes(caches.WEIGHTS[:-1])

    with pytest.raises(Refused, match=r"is not the file that its name in the cache says at onnx/model\.bin"):
        tuneguard.stage(repository, tmp_path / "base")

    assert not (tmp_path / "base").exists()


def test_a_link_to_a_blob_that_never_came_leads_nowhere(tmp_path: Path) -> None:
    repository = caches.repository(tmp_path)
    (repository / "snapshots" / caches.COMMIT / "onnx/model.bin").resolve().unlink()

    with pytest.raises(Refused, match=r"leads nowhere at onnx/model\.bin") as caught:
        tuneguard.stage(repository, tmp_path / "base")

    assert caught.value.help == "finish the download, or remove the link"


# --- Folders -----------------------------------------------------------------------------------------


def test_links_to_files_and_folders_become_what_they_point_to(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", FILES)
    (source / "latest").symlink_to("deep")
    (source / "again.txt").symlink_to("latest/../a.txt")

    result = tuneguard.stage(source, tmp_path / "made")

    deep = FILES["deep/er/b.jsonl"]
    expected = FILES | {"latest/er/b.jsonl": deep, "again.txt": FILES["a.txt"]}
    assert held(tmp_path / "made") == expected
    assert result.facts.files == len(expected)
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "made").rglob("*.txt"))


def test_an_empty_folder_is_left_out_and_named(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", FILES)
    (source / "nothing").mkdir()

    result = tuneguard.stage(source, tmp_path / "made")

    assert held(tmp_path / "made") == FILES
    assert result.notes == ("1 empty folder left out: nothing",)


def test_names_that_no_tree_can_hold_are_refused(tmp_path: Path) -> None:
    for name, said in ((b"caf\xc3\xa9\n", "control character"), (b"\xff", "not UTF-8")):
        source = make_tree(tmp_path / f"source {said}", FILES)
        (source / os.fsdecode(name)).write_bytes(b"")

        with pytest.raises(Refused, match=said):
            tuneguard.stage(source, tmp_path / "made")


def test_two_names_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", FILES | {"A.txt": b""})

    with pytest.raises(Refused, match=r"differs from .* only in case"):
        tuneguard.stage(source, tmp_path / "made")


def test_an_empty_source_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()

    with pytest.raises(Refused, match="empty"):
        tuneguard.stage(tmp_path / "source", tmp_path / "made")

    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_no_room_is_told_before_a_byte_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_tree(tmp_path / "source", FILES)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr("tuneguard.staging.folder.share", lambda *_: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(CannotLook, match=r"are to be copied and 100 B are free"):
        tuneguard.stage(source, tmp_path / "made")


# --- Archives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w:", "w:gz"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_archives_of_every_common_form_are_unpacked(tmp_path: Path, mode: str, form: int) -> None:
    long = {} if form == tarfile.USTAR_FORMAT else {"x/" + "long name " * 20 + "é": b"long"}
    source = make_tree(tmp_path / "source", FILES | long)
    packed = tar_of(source, tmp_path / "data.bin", mode, form)

    result = tuneguard.stage(packed, tmp_path / "made")

    assert held(tmp_path / "made") == FILES | long
    assert result.facts.source == "archive"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_archives_are_unpacked(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w", method) as packed:
        packed.mkdir("deep")
        for path, data in FILES.items():
            packed.writestr(path, data)

    tuneguard.stage(tmp_path / "data.zip", tmp_path / "made")

    assert held(tmp_path / "made") == FILES


def test_an_archive_of_git_has_a_header_for_all_members_and_is_unpacked(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "data.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "4d1b"}
    ) as tar:
        member = tarfile.TarInfo("a.txt")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))

    tuneguard.stage(tmp_path / "data.tar", tmp_path / "made")

    assert held(tmp_path / "made") == {"a.txt": b"abc"}


def test_an_archive_cut_short_anywhere_makes_nothing(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", {"a.txt": b"a" * 600, "b.txt": b"b" * 600})
    whole = tar_of(source, tmp_path / "whole.tar", "w:", tarfile.PAX_FORMAT).read_bytes()
    end, packed = len(whole.rstrip(b"\0")), gzip.compress(whole)
    cut = [whole[:count] for count in (512, 1100, 1536, end - 300)]
    for data in (*cut, *map(gzip.compress, cut), packed[:30], packed[: len(packed) // 2], packed[:-8]):
        (tmp_path / "cut").write_bytes(data)

        with pytest.raises(NotUnderstood):
            tuneguard.stage(tmp_path / "cut", tmp_path / "made")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "source", "whole.tar"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x28\xb5\x2f\xfd" + b"x" * 600, "is packed by zstd"),
        (b"\xfd7zXZ\x00" + b"x" * 600, "is packed by xz"),
        (b"just text", "is no archive that is read"),
        (b"", "is no archive that is read"),
    ],
)
def test_what_is_no_archive_that_is_read_says_so(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "data").write_bytes(data)

    with pytest.raises(UsageError, match=said):
        tuneguard.stage(tmp_path / "data", tmp_path / "made")


# --- Whole or not at all -----------------------------------------------------------------------------


def test_the_target_must_not_be_there_nor_in_the_source(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", FILES)
    (tmp_path / "made").mkdir()
    (tmp_path / "link").symlink_to("nowhere")

    for target, said in (("made", "is there already"), ("link", "is there already"), ("source/x", "lies in")):
        with pytest.raises(UsageError, match=said):
            tuneguard.stage(source, tmp_path / target)

    assert held(source) == FILES


def test_what_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        tuneguard.stage(tmp_path / "absent", tmp_path / "made")


def test_a_killed_one_leaves_no_folder_and_the_next_removes_what_it_left(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", FILES)
    script = (
        "import sys, tuneguard; from tuneguard.files import FAULT_AT; import os;"
        "os.environ[FAULT_AT] = '2:' + sys.argv[3]; tuneguard.stage(sys.argv[1], sys.argv[2])"
    )

    killed = subprocess.run(
        [sys.executable, "-c", script, source, tmp_path / "made", tmp_path / "counter"], check=False
    )

    assert killed.returncode == -9
    assert not (tmp_path / "made").exists()
    assert [path.name for path in tmp_path.glob(".made.*.partial")] != []

    tuneguard.stage(source, tmp_path / "made")

    assert held(tmp_path / "made") == FILES
    assert [path.name for path in tmp_path.glob(".made.*.partial")] == []


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", FILES)
    told: list[tuple[str, int | None]] = []

    class Telling(Meddler):
        def task(self, verb: str, *, total: int | None, unit: str) -> Telling:
            told.append((verb, total))
            self.done = 0
            return self

        def __exit__(self, *_: object) -> None:
            told.append(("done", self.done))

    tuneguard.stage(source, tmp_path / "made", project=Project(reporter=Telling()))

    assert told[:2] == [("Copying", sum(map(len, FILES.values()))), ("done", sum(map(len, FILES.values())))]
