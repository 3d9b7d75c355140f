"""Attacks by what is staged: links, archives and sources that would write or read elsewhere."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

import tuneguard
from tuneguard import limits
from tuneguard.errors import CannotLook, ChangedWhileRead, NotUnderstood, Refused, UsageError
from tuneguard.project.project import Project
from world import caches, tars, zips
from world.trees import Meddler, make_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def nothing_made(tmp_path: Path):
    """Whatever was tried, nothing of the target is left, and nothing above its folder was written."""
    yield
    assert [path.name for path in tmp_path.iterdir() if "made" in path.name] == []
    assert not (tmp_path.parent / "escaped").exists()


pytestmark = pytest.mark.usefixtures("nothing_made")


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "in/../../secret", "in/up/../secret"])
def test_attack_a_link_out_of_the_folder(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("the key")
    source = make_tree(tmp_path / "source", {"a.txt": b"a", "in/b.txt": b"b"})
    (source / "link").symlink_to(target)
    if "up" in target:
        (source / "in/up").symlink_to("..")

    with pytest.raises(Refused, match=r"is a link that leaves .*source at link|leads back to"):
        tuneguard.stage(source, tmp_path / "made")


def test_attack_links_in_a_circle(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", {"a.txt": b"a"})
    (source / "one").symlink_to("two")
    (source / "two").symlink_to("one")

    with pytest.raises(Refused, match="leads in a circle at one"):
        tuneguard.stage(source, tmp_path / "made")


def test_attack_a_link_of_a_snapshot_into_another_repository(tmp_path: Path) -> None:
    caches.repository(tmp_path, "models--org--other")
    repository = caches.repository(tmp_path)
    (repository / "snapshots" / caches.COMMIT / "more").symlink_to("../../../models--org--other")

    with pytest.raises(Refused, match=r"is a link that leaves .* at more"):
        tuneguard.stage(repository, tmp_path / "made")


def test_attack_folders_that_show_each_other_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_tree(tmp_path / "source", {"d0/f": b"", "d0/g": b""})
    for number in range(1, 30):
        (source / f"d{number}").mkdir()
        for twin in "ab":
            (source / f"d{number}" / twin).symlink_to(f"../d{number - 1}")
    monkeypatch.setattr(limits, "STAGED_ENTRIES", 1000)

    with pytest.raises(CannotLook, match="holds more than 1,000 files and folders"):
        tuneguard.stage(source, tmp_path / "made")


def test_attack_a_folder_that_holds_itself_by_a_link(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", {"in/b.txt": b"b"})
    (source / "in/self").symlink_to("../in")

    with pytest.raises(Refused, match="leads back to a folder that it lies in at in/self"):
        tuneguard.stage(source, tmp_path / "made")


def test_attack_a_fifo_in_the_folder_and_in_its_place_hangs_nobody(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "source", {"a.txt": b"a"})
    os.mkfifo(source / "pipe")
    os.mkfifo(tmp_path / "archive.tar")

    with pytest.raises(Refused, match="is neither a file nor a folder at pipe"):
        tuneguard.stage(source, tmp_path / "made")
    with pytest.raises(UsageError, match="is neither a file nor a folder"):
        tuneguard.stage(tmp_path / "archive.tar", tmp_path / "made")


def _swap_for_a_link(source: Path, secret: Path) -> None:
    (source / "a.txt").unlink()
    (source / "a.txt").symlink_to(secret)


def _swap_for_a_fifo(source: Path, _: Path) -> None:
    (source / "a.txt").unlink()
    os.mkfifo(source / "a.txt")


def _swap_the_folder(source: Path, secret: Path) -> None:
    (source / "in").rename(source / "was")
    (source / "in").symlink_to(secret.parent)


def _point_elsewhere(source: Path, _: Path) -> None:
    (source / "link").unlink()
    (source / "link").symlink_to("in/b.txt")


def _write(source: Path, _: Path) -> None:
    with (source / "a.txt").open("r+b") as file:
        file.write(b"b")


def _add(source: Path, _: Path) -> None:
    (source / "new.txt").write_text("new")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "act", [_swap_for_a_link, _swap_for_a_fifo, _swap_the_folder, _point_elsewhere, _write, _add]
)
def test_attack_a_source_that_changes_while_it_is_copied(
    tmp_path: Path, act: Callable[[Path, Path], None], moment: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere/b.txt"
    secret.write_text("the key")
    source = make_tree(tmp_path / "source", {"a.txt": b"aaaaaaa", "in/b.txt": b"bbbbbbb"})
    (source / "link").symlink_to("a.txt")
    acted: list[None] = []
    meddler = Meddler(**{moment: lambda: None if acted else acted.append(act(source, secret))})

    with pytest.raises((ChangedWhileRead, Refused)):
        tuneguard.stage(source, tmp_path / "made", project=Project(reporter=meddler))

    assert len(acted) == 1


# --- Archives ----------------------------------------------------------------------------------------


def _tar(tmp_path: Path, *members: tarfile.TarInfo | tuple[str, bytes]) -> Path:
    with tarfile.open(tmp_path / "evil.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                made = tarfile.TarInfo(member[0])
                made.size = len(member[1])
                tar.addfile(made, io.BytesIO(member[1]))
    return tmp_path / "evil.tar"


def _special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo("special")
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/tmp/escaped", "in/../../escaped", "..", "a//b", "./../escaped", "a\\b", "a\nb", ""],
)
@pytest.mark.parametrize("form", ["tar", "zip"])
def test_attack_an_archives_name_that_leaves_the_folder(tmp_path: Path, name: str, form: str) -> None:
    if form == "tar":
        packed = _tar(tmp_path, ("a.txt", b"a"), (name, b"escaped"))
    else:
        packed = tmp_path / "evil.zip"
        packed.write_bytes(zips.archive(zips.Member("a.txt", b"a"), zips.Member(name, b"escaped")))

    with pytest.raises((Refused, NotUnderstood)):
        tuneguard.stage(packed, tmp_path / "made")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.BLKTYPE, "a block device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (tarfile.CONTTYPE, "a contiguous file"),
        (b"V", "of a kind that not every reader knows"),
    ],
)
def test_attack_links_and_devices_in_a_tar_archive(tmp_path: Path, kind: bytes, said: str) -> None:
    packed = _tar(tmp_path, ("a.txt", b"a"), _special(kind, "/etc/passwd"))

    with pytest.raises(Refused, match=f"is {said} at special"):
        tuneguard.stage(packed, tmp_path / "made")


def test_attack_a_link_in_a_zip_archive(tmp_path: Path) -> None:
    (tmp_path / "evil.zip").write_bytes(
        zips.archive(zips.Member("link", b"/etc/passwd", attributes=0o120777 << 16))
    )

    with pytest.raises(Refused, match="link"):
        tuneguard.stage(tmp_path / "evil.zip", tmp_path / "made")


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "A"), ("caf\u00e9", "cafe\u0301")]
)
@pytest.mark.parametrize("form", ["tar", "zip"])
def test_attack_a_name_that_comes_twice(tmp_path: Path, names: tuple[str, str], form: str) -> None:
    if form == "tar":
        packed = _tar(tmp_path, *((name, b"x") for name in names))
    else:
        packed = tmp_path / "evil.zip"
        packed.write_bytes(zips.archive(*(zips.Member(name, b"x") for name in names)))

    with pytest.raises(Refused):
        tuneguard.stage(packed, tmp_path / "made")


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_attack_an_archive_that_unpacks_to_more_than_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(limits, "STAGED_UNPACKED", 1024)
    packed = tmp_path / "bomb"
    if form == "tar":
        packed.write_bytes(gzip.compress(tars.archive({"zeros": bytes(4_000_000)})))
    else:
        packed.write_bytes(zips.archive(zips.Member("zeros", bytes(4_000_000), method=8)))

    with pytest.raises(Refused, match=r"unpacks to more than [\d,]+ bytes"):
        tuneguard.stage(packed, tmp_path / "made")


def test_attack_zeros_without_end_behind_an_archives_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGED_UNPACKED", 1024)
    (tmp_path / "bomb").write_bytes(gzip.compress(tars.archive({"a": b"a"}) + bytes(4_000_000)))

    with pytest.raises(Refused, match=r"unpacks to more than [\d,]+ bytes"):
        tuneguard.stage(tmp_path / "bomb", tmp_path / "made")


def test_attack_more_members_than_a_folder_should_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STAGED_ENTRIES", 10)
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE

    for packed in (
        lambda: _tar(tmp_path, *((f"{number}", b"") for number in range(11))),
        lambda: _tar(tmp_path, *[folder] * 11),
    ):
        with pytest.raises(CannotLook, match="holds more than 10 files and folders"):
            tuneguard.stage(packed(), tmp_path / "made")


def test_attack_a_member_behind_the_end_of_a_tar_archive(tmp_path: Path) -> None:
    """``tar --ignore-zeros`` and some readers find it; others stop at the end."""
    (tmp_path / "evil.tar").write_bytes(tars.archive({"a": b"a"}) + tars.archive({"b": b"b"}))

    with pytest.raises(NotUnderstood, match="bytes follow the end of the archive"):
        tuneguard.stage(tmp_path / "evil.tar", tmp_path / "made")


def test_attack_a_broken_header_in_a_tar_archive_is_not_its_end(tmp_path: Path) -> None:
    """``tarfile`` takes it for the end, and never says that a member was lost."""
    broken = bytearray(tars.header(0, start=b"lost"))
    broken[0] ^= 1
    (tmp_path / "evil.tar").write_bytes(tars.header(0) + broken + bytes(1024))
    with tarfile.open(tmp_path / "evil.tar") as lax:
        assert lax.getnames() == ["first"]

    with pytest.raises(NotUnderstood, match="a block that is no header"):
        tuneguard.stage(tmp_path / "evil.tar", tmp_path / "made")


@pytest.mark.parametrize(
    "records",
    [
        b"16 path=escaped\n16 path=another\n",
        b"22 GNU.sparse.size=10\n",
        b"11 size=-1\n",
        b"99 path=x\n",
        b"nonsense",
        b"0 \n" * 5,
    ],
)
def test_attack_an_extended_header_that_two_readers_would_take_differently(
    tmp_path: Path, records: bytes
) -> None:
    extended = tars.header(len(records), kind=b"x") + records.ljust(512, b"\0")
    (tmp_path / "evil.tar").write_bytes(extended + tars.header(0) + bytes(1024))

    with pytest.raises(NotUnderstood):
        tuneguard.stage(tmp_path / "evil.tar", tmp_path / "made")


def test_attack_a_global_header_that_renames_what_follows(tmp_path: Path) -> None:
    records = b"16 path=escaped\n"
    extended = tars.header(len(records), kind=b"g") + records.ljust(512, b"\0")
    (tmp_path / "evil.tar").write_bytes(extended + tars.header(0) + bytes(1024))

    with pytest.raises(NotUnderstood, match="names or sizes all members"):
        tuneguard.stage(tmp_path / "evil.tar", tmp_path / "made")


def test_attack_a_huge_header_of_a_tar_archive_is_not_taken_into_memory(tmp_path: Path) -> None:
    (tmp_path / "evil.tar").write_bytes(tars.header(1 << 32, kind=b"L") + bytes(4096))

    with pytest.raises(NotUnderstood, match="longer than 1,048,576 bytes"):
        tuneguard.stage(tmp_path / "evil.tar", tmp_path / "made")


def test_attack_an_archive_that_changes_while_it_is_unpacked(tmp_path: Path) -> None:
    packed = _tar(tmp_path, ("a.txt", b"a" * 4096))
    acted: list[int] = []

    def write() -> None:
        if not acted:
            with packed.open("r+b") as file:
                file.seek(2000)
                acted.append(file.write(b"b"))

    with pytest.raises(ChangedWhileRead):
        tuneguard.stage(packed, tmp_path / "made", project=Project(reporter=Meddler(after=write)))
