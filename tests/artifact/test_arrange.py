"""An output is put in order: links, empty folders, files with more than one name, what is no file."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tuneguard import limits
from tuneguard.artifact import arrange as arranging
from tuneguard.artifact import digest as hashing
from tuneguard.artifact.arrange import arrange
from tuneguard.errors import CannotLook, ChangedWhileRead, Refused
from tuneguard.files import directory

if TYPE_CHECKING:
    from collections.abc import Callable

INSIDE = "/tuneguard/checkpoint"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    (folder / "step-2").mkdir(parents=True)
    (folder / "step-2" / "weights").write_bytes(b"1234")
    (folder / "step-2" / "config").write_bytes(b"12")
    return folder


def arranged(
    path: Path, *, most: int = 1 << 30, exclude: tuple[str, ...] = (), aside: Path | None = None
) -> dict[str, str]:
    """What was done by path, `why` and all; the tree is one that can be signed afterwards."""
    with directory(path) as root:
        given = None if aside is None else os.open(aside, os.O_RDONLY)
        try:
            changes = arrange(
                root, name="output", most=most, known_as=(INSIDE,), exclude=exclude, aside=given
            )
        finally:
            if given is not None:
                os.close(given)
    hashing.hash_tree(path)
    assert not any(each.is_symlink() for each in path.rglob("*"))
    return {each.path: f"{each.done} {each.why}".strip() for each in changes}


def files_of(path: Path) -> dict[str, bytes]:
    found = (each for each in sorted(path.rglob("*")) if each.is_file())
    return {str(each.relative_to(path)): each.read_bytes() for each in found}


def test_a_tree_in_order_is_left_as_it_is(output: Path) -> None:
    before = {each: each.stat().st_ino for each in output.rglob("*")}

    assert arranged(output) == {}
    assert {each: each.stat().st_ino for each in output.rglob("*")} == before


@pytest.mark.parametrize("text", ["step-2", "./step-2/", "step-2/../step-2", f"{INSIDE}/step-2", "newest"])
def test_a_link_to_a_folder_of_the_output_becomes_a_copy(output: Path, text: str) -> None:
    (output / "newest").symlink_to("step-2")
    (output / "latest").symlink_to(text)

    assert arranged(output)["latest"] == f"link-copied {text}"
    assert (output / "latest").is_dir()
    assert (output / "latest" / "weights").read_bytes() == b"1234"
    assert (output / "latest" / "weights").stat().st_nlink == 1
    assert (output / "latest" / "weights").stat().st_mode & 0o7777 == 0o600
    assert (output / "latest").stat().st_mode & 0o7777 == 0o700


def test_links_to_files_become_copies_also_inside_a_folder_that_is_copied(output: Path) -> None:
    (output / "tokenizer").write_bytes(b"t")
    (output / "step-2" / "tokenizer").symlink_to("../tokenizer")
    (output / "latest").symlink_to("step-2")

    arranged(output)

    step = {"config": b"12", "tokenizer": b"t", "weights": b"1234"}
    assert files_of(output / "latest") == files_of(output / "step-2") == step


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/etc/passwd", "leads out of the output"),
        ("../../../../../../etc/passwd", "leads out of the output"),
        (f"{INSIDE}/../../etc/passwd", "leads out of the output"),
        (f"{INSIDE}-of-another/step-2", "leads out of the output"),
        ("step-2/../../output/step-2/weights", "leads out of the output"),
        ("step-3", "leads to nothing that is kept"),
        ("step-2/weights/", "leads to nothing that is kept"),
        ("step-2/weights/..", "leads to nothing that is kept"),
        (".", "leads to a folder that it lies in"),
        ("evil", "leads round in a circle"),
        ("step-2/back", "leads to a folder that it lies in"),
    ],
)
def test_a_link_that_leads_elsewhere_is_dropped(output: Path, text: str, why: str) -> None:
    (output / "step-2" / "back").symlink_to("..")
    (output / "evil").symlink_to(text)
    before = files_of(output / "step-2")

    if text == "step-2/weights/":  # as the kernel, but for a slash after a file's name
        assert arranged(output)["evil"] == f"link-copied {text}"
        return
    assert arranged(output)["evil"] == f"link-dropped {text}: {why}"
    assert files_of(output) == {f"step-2/{name}": data for name, data in before.items()}


def test_attack_a_chain_of_links_longer_than_the_kernel_follows(output: Path) -> None:
    (output / "0").symlink_to("step-2/weights")
    for n in range(1, 60):
        (output / str(n)).symlink_to(str(n - 1))

    done = arranged(output)

    assert done["39"] == "link-copied 38"
    assert done["45"] == "link-dropped 44: leads round in a circle"


def test_attack_folders_that_link_to_each_other(output: Path) -> None:
    """Copies of copies would never end, and two links in each of many folders would double each time."""
    for one, other in (("a", "b"), ("b", "a")):
        (output / one).mkdir()
        (output / one / "file").write_bytes(one.encode())
        (output / one / "other").symlink_to(f"../{other}")

    arranged(output)

    assert (output / "a" / "other" / "file").read_bytes() == b"b"
    assert not (output / "a" / "other" / "other").exists()


def test_attack_links_that_double_in_each_folder(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_ENTRIES", 2_000)
    for n in range(40):
        (output / f"f{n}").mkdir()
        (output / f"f{n}" / "file").write_bytes(b"x")
        for name in ("one", "two"):
            (output / f"f{n}" / name).symlink_to(f"../f{n + 1}")

    done = arranged(output)

    assert done["f0/one"].endswith("its copy has no space")
    assert sum(1 for each in output.rglob("*") if each.is_file()) <= 2_000


def test_attack_many_links_to_one_large_file(output: Path) -> None:
    (output / "large").write_bytes(b"0" * 100_000)
    for n in range(1_000):
        (output / f"link-{n:04}").symlink_to("large")

    done = arranged(output, most=450_000)

    assert [name for name, what in done.items() if what.startswith("link-copied")] == [
        "link-0000", "link-0001", "link-0002"
    ]  # fmt: skip
    assert done["link-0999"] == "link-dropped large: its copy has no space"
    assert sum(map(len, files_of(output).values())) <= 450_000


def test_a_copy_that_the_disk_has_no_room_for_is_not_begun(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = SimpleNamespace(f_bavail=arranging._SPARE + 5, f_frsize=1)
    monkeypatch.setattr(os, "fstatvfs", lambda _: left)
    (output / "latest").symlink_to("step-2")
    (output / "small").symlink_to("step-2/config")

    done = arranged(output)

    assert done["small"] == "link-copied step-2/config"
    assert done["latest"] == "link-dropped step-2: its copy has no space"


def test_attack_links_that_are_long_to_follow(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_LINK_STEPS", 10_000)
    for n in range(100):
        (output / f"l{n}").symlink_to("step-2/../" * 300 + "step-2/weights")

    done = arranged(output)

    assert sum(what.startswith("link-copied") for what in done.values()) == 16
    assert done["l99"].endswith("there are too many links to follow")


def test_attack_links_that_say_more_than_memory_holds(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "OUTPUT_LINK_TEXT", 10)
    for n in range(10):
        (output / f"l{n}").symlink_to("step-2/weights")

    assert sum(what.startswith("link-copied") for what in arranged(output).values()) == 1


def test_files_with_more_than_one_name_get_bytes_of_their_own(output: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    os.link(output / "step-2" / "weights", output / "weights")
    os.link(output / "step-2" / "config", elsewhere)

    done = arranged(output)
    elsewhere.write_bytes(b"changed afterwards")

    assert sorted(done.values()) == ["hard-link-split", "hard-link-split"]
    assert {each.stat().st_nlink for each in output.rglob("*") if each.is_file()} == {1}
    assert files_of(output) == {"step-2/config": b"12", "step-2/weights": b"1234", "weights": b"1234"}


def test_files_with_more_than_one_name_and_no_room_refuse_before_anything_is_written(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arranging, "_SPARE", 1 << 62)
    os.link(output / "step-2" / "weights", output / "weights")

    with pytest.raises(Refused, match="4 bytes are not free to part them"):
        arranged(output)

    assert (output / "weights").stat().st_nlink == 2


def test_empty_folders_go_from_below_and_what_is_no_file_goes_too() -> None:
    with tempfile.TemporaryDirectory() as room:  # a socket's path is short
        output = Path(room) / "output"
        (output / "a" / "b" / "c").mkdir(parents=True)
        (output / "file").write_bytes(b"x")
        (output / "pipes").mkdir()
        os.mkfifo(output / "pipes" / "fifo")
        (output / "only-a-link").mkdir()
        (output / "only-a-link" / "out").symlink_to("/etc/passwd")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(output / "socket"))
            done = arranged(output)

        assert files_of(output) == {"file": b"x"}
        assert sorted(os.listdir(output)) == ["file"]
    assert done == {
        "a": "empty-folder-dropped",
        "a/b": "empty-folder-dropped",
        "a/b/c": "empty-folder-dropped",
        "only-a-link": "empty-folder-dropped",
        "only-a-link/out": "link-dropped /etc/passwd: leads out of the output",
        "pipes": "empty-folder-dropped",
        "pipes/fifo": "special-file-dropped",
        "socket": "special-file-dropped",
    }


def test_names_that_are_no_text_are_dropped_where_they_are_no_files(output: Path) -> None:
    os.symlink(b"step-2/weights", os.fsencode(output) + b"/l\xff")
    os.mkfifo(os.fsencode(output) + b"/f\xff")
    os.mkdir(os.fsencode(output) + b"/d\xff")

    assert sorted(what.split()[0] for what in arranged(output).values()) == [
        "empty-folder-dropped", "link-dropped", "special-file-dropped"
    ]  # fmt: skip


def test_what_is_excluded_lies_beside_and_is_named(output: Path, tmp_path: Path) -> None:
    aside = tmp_path / "output.unsigned"
    aside.mkdir()
    (output / "wandb" / "run").mkdir(parents=True)
    (output / "wandb" / "run" / "log").write_bytes(b"log")
    (output / "wandb" / "weights").symlink_to("../step-2/weights")
    (output / "current").symlink_to("wandb/run/log")

    done = arranged(output, exclude=("wandb/**",), aside=aside)

    assert files_of(aside) == {"wandb/run/log": b"log"}
    assert files_of(output) == {"step-2/config": b"12", "step-2/weights": b"1234"}
    assert done["wandb/run/log"] == "file-excluded"
    assert done["wandb/weights"] == "link-dropped ../step-2/weights: checkpoint.exclude covers it"
    assert done["current"] == "link-dropped wandb/run/log: leads to nothing that is kept"


def swapped(at: str, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `act` happen just before the links are followed on paper, or just before they are copied."""
    method = getattr(arranging._Arranging, at)

    def first(self: object, *arguments: object) -> object:
        act()
        return method(self, *arguments)

    monkeypatch.setattr(arranging._Arranging, at, first)


@pytest.mark.parametrize("at", ["follow", "_copy"])
def test_attack_what_a_link_leads_to_is_swapped_for_a_link_to_a_secret(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"1234")
    (output / "latest").symlink_to("step-2/weights")

    def swap() -> None:
        (output / "step-2" / "weights").unlink(missing_ok=True)
        (output / "step-2" / "weights").symlink_to(secret)

    swapped(at, swap, monkeypatch)

    with pytest.raises(CannotLook, match="symbolic links"):
        arranged(output)
    assert not (output / "latest").exists()


def test_attack_a_folder_on_the_way_is_swapped_for_a_link_out(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "weights").write_bytes(b"1234")
    (output / "latest").symlink_to("step-2/weights")

    def swap() -> None:
        (output / "step-2").rename(tmp_path / "away")
        (output / "step-2").symlink_to(outside)

    swapped("_copy", swap, monkeypatch)

    with pytest.raises(CannotLook, match="not a directory"):
        arranged(output)
    assert not (output / "latest").exists()


def test_attack_a_file_grows_while_it_is_copied(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (output / "latest").symlink_to("step-2/weights")
    swapped("_copy", lambda: (output / "step-2" / "weights").write_bytes(b"0" * 9999), monkeypatch)

    with pytest.raises(ChangedWhileRead):
        arranged(output)


def test_attack_a_link_put_where_a_copy_is_to_be_written(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (output / "latest").symlink_to("step-2/weights")
    swapped("_copy", lambda: (output / "latest").symlink_to(victim), monkeypatch)

    with pytest.raises(Exception, match="exist"):
        arranged(output)
    assert victim.read_bytes() == b"mine"
