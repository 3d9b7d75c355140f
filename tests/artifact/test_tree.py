"""The walk: closed-world, by descriptors, refusing by name what a manifest cannot hold."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.artifact.tree import (
    Entry,
    fault_of_name,
    fault_of_path,
    fold,
    open_file,
    reported_together,
    walk,
)
from tuneguard.errors import CannotLook, ChangedWhileRead, ForbiddenTree, Refused
from tuneguard.files import directory
from tuneguard.findings import Finding, Severity
from world.trees import as_nobody, deep


def walked(root: Path) -> list[Entry]:
    with directory(root) as descriptor:
        return walk(descriptor, name="tree")


def refused(root: Path) -> ForbiddenTree:
    with pytest.raises(ForbiddenTree) as caught:
        walked(root)
    return caught.value


def rules(error: Refused) -> list[str]:
    return [finding.rule for finding in error.findings]


def paths(error: Refused) -> list[str]:
    return [finding.location.path for finding in error.findings]


def test_every_file_is_listed_with_its_size_in_the_order_of_its_paths_bytes(tree):
    root = tree(
        {"b": b"12", "a/z": b"", "a-b": b"1", "a/é": b"123", "Z": b"", ".hidden/x": b"", "a/z.json": b""}
    )

    assert walked(root) == [
        Entry(".hidden/x", 0),
        Entry("Z", 0),
        Entry("a-b", 1),
        Entry("a/z", 0),
        Entry("a/z.json", 0),
        Entry("a/é", 3),
        Entry("b", 2),
    ]


def test_nothing_is_ignored_not_even_git_and_caches(tree):
    files = dict.fromkeys((".git/config", "__pycache__/a.pyc", ".gitattributes", ".DS_Store"), b"x")

    assert {entry.path for entry in walked(tree(files))} == set(files)


def test_hard_links_are_two_files(tree):
    root = tree({"a": b"1"})
    os.link(root / "a", root / "b")

    assert [entry.path for entry in walked(root)] == ["a", "b"]


@pytest.mark.parametrize("target", ["weights.bin", "sub", "/etc/hostname", "nowhere"])
def test_a_symbolic_link_refuses_whatever_it_points_to(tree, target):
    root = tree({"weights.bin": b"1", "sub/x": b"2"})
    (root / "sub" / "link").symlink_to(target if target[0] == "/" else root / target)

    error = refused(root)

    assert (rules(error), paths(error)) == (["T-SYMLINK"], ["sub/link"])
    assert str(error) == "is a symbolic link at tree/sub/link"
    assert error.help == "replace it by what it points to (`tuneguard stage` does), or remove it"


def test_a_linked_folder_full_of_code_is_refused_and_not_walked(tree, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "modeling.py").write_text("")
    root = tree({"a": b""})
    (root / "code").symlink_to(tmp_path / "outside", target_is_directory=True)

    assert paths(refused(root)) == ["code"]


def test_a_fifo_in_the_tree_refuses_and_hangs_nobody(tree):
    root = tree({"a": b""})
    os.mkfifo(root / "model.bin")

    error = refused(root)

    assert (rules(error), error.findings[0].message) == (["T-SPECIAL"], "is a FIFO")


def test_a_socket_in_the_tree_refuses(tree, monkeypatch):
    root = tree({"a": b""})
    monkeypatch.chdir(root)  # the path of a socket is at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")

        assert refused(root).findings[0].message == "is a socket"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_in_the_tree_refuses(tree):
    root = tree({"a": b""})
    try:
        os.mknod(root / "zero", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container makes no devices")

    assert refused(root).findings[0].message == "is a character device"


def test_an_empty_folder_refuses(tree):
    root = tree({"a": b""})
    (root / "logs").mkdir()

    error = refused(root)

    assert (rules(error), paths(error)) == (["T-EMPTY-DIR"], ["logs"])


def test_a_tree_without_any_file_refuses(tmp_path):
    error = refused(tmp_path)

    assert (rules(error), str(error)) == (["T-EMPTY-DIR"], "is an empty folder at tree")


def test_lost_and_found_of_a_volume_is_told_how_to_mend(tree):
    root = tree({"a": b""})
    (root / "lost+found").mkdir()

    assert "mount the volume with subPath" in (refused(root).help or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a folder that is root's")
def test_a_volumes_lost_and_found_that_only_root_reads_is_told_how_to_mend(tree):
    root = tree({"a": b""})
    (root / "lost+found").mkdir(0o700)
    with directory(root) as descriptor, as_nobody(), pytest.raises(CannotLook) as caught:
        walk(descriptor, name="/data/")

    assert str(caught.value) == "permission denied at /data/lost+found"
    assert "mount the volume with subPath" in (caught.value.help or "")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (b"caf\xe9.json", "is not UTF-8"),
        (b"a\\b", "holds a backslash"),
        (b"a\nb", "holds a control character or a line separator"),
        (b"\x1b[2Jok", "holds a control character or a line separator"),
        (b"a\x7f", "holds a control character or a line separator"),
        ("a\u0085b".encode(), "holds a control character or a line separator"),
        ("a\u2028b".encode(), "holds a control character or a line separator"),
        ("model\u202egnp.bin".encode(), "holds a character that reorders text"),
    ],
)
def test_a_name_that_tools_or_people_misread_refuses_and_is_printed_escaped(tree, name, fault):
    root = tree({"a": b""})
    (Path(os.fsdecode(os.fsencode(root) + b"/" + name))).write_bytes(b"")

    error = refused(root)

    assert (rules(error), error.findings[0].message) == (["T-NAME"], f"has a name that {fault}")
    for shown in (str(error), *paths(error)):
        assert shown.isprintable()
        shown.encode()  # no surrogates either


@pytest.mark.parametrize(
    "name", ["модель.bin", "模型", "🙂", "a b", "-rf", "x'y\"z", "~", "a\u200db", "lost+found"]
)
def test_an_unusual_name_that_is_plain_text_passes(tree, name):
    assert [entry.path for entry in walked(tree({f"{name}/{name}": b""}))] == [f"{name}/{name}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("README", "readme"), ("caf\u00e9", "cafe\u0301"), ("straße", "STRASSE"), ("\u212a", "k")],
)
def test_twins_that_another_file_system_takes_for_one_file_refuse(tree, one, other):
    error = refused(tree({f"d/{one}": b"1", f"d/{other}": b"2"}))

    assert rules(error) == ["T-COLLISION"]
    assert error.findings[0].message.endswith("only in case or Unicode form")


def test_folders_collide_as_files_do(tree):
    assert rules(refused(tree({"Code/a": b"", "code/b": b""}))) == ["T-COLLISION"]


def test_the_same_name_in_two_folders_is_no_collision(tree):
    assert len(walked(tree({"a/README": b"", "b/readme": b""}))) == 2


def test_every_forbidden_entry_is_told_not_only_the_first(tree):
    root = tree({"ok": b""})
    (root / "z").symlink_to("ok")
    (root / "e").mkdir()
    os.mkfifo(root / "f")

    error = refused(root)

    assert list(zip(rules(error), paths(error), strict=True)) == [
        ("T-EMPTY-DIR", "e"),
        ("T-SPECIAL", "f"),
        ("T-SYMLINK", "z"),
    ]
    assert str(error) == "is an empty folder (and 2 more such entries) at tree/e"


def test_a_million_links_end_the_walk_at_the_bound(tree):
    root = tree({"ok": b""})
    for number in range(limits.TREE_FAULTS + 50):
        (root / f"l{number}").symlink_to("ok")

    assert len(refused(root).findings) == limits.TREE_FAULTS


def test_a_file_below_256_folders_passes(tmp_path):
    entries = walked(deep(tmp_path / "tree", limits.TREE_DEPTH))

    assert [entry.path for entry in entries] == ["d/" * limits.TREE_DEPTH + "file"]


def test_one_folder_more_refuses(tmp_path):
    error = refused(deep(tmp_path / "tree", limits.TREE_DEPTH + 1))

    assert rules(error) == ["T-DEPTH"]
    assert error.findings[0].message == "lies deeper than 256 folders"


def test_ten_thousand_levels_end_in_that_refusal_with_few_descriptors(in_memory):
    root = deep(in_memory / "tree", 10_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
    try:
        assert rules(refused(root)) == ["T-DEPTH"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_path_of_4096_bytes_passes_and_of_4097_refuses(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(16):
        os.mkdir("d" * 254, dir_fd=descriptor)  # 255 bytes with its slash: 4,080 in all
        below = os.open("d" * 254, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("é" * 8, os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    try:
        assert [len(entry.path.encode()) for entry in walked(root)] == [4096]

        os.close(os.open("é" * 8 + "x", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        error = refused(root)
    finally:
        os.close(descriptor)
        shutil.rmtree(root)

    assert rules(error) == ["T-PATH"]


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tree):
    root = tree({"hidden/evil.py": b"", "a": b""})
    (root / "hidden").chmod(0o311)
    with directory(root) as descriptor, as_nobody(), pytest.raises(CannotLook) as caught:
        walk(descriptor, name="tree")
    (root / "hidden").chmod(0o755)

    assert str(caught.value) == "permission denied at tree/hidden"


def test_a_forbidden_entry_is_told_even_where_a_folder_cannot_be_read(tree):
    root = tree({"hidden/evil.py": b"", "a": b""})
    (root / "link").symlink_to("a")
    (root / "hidden").chmod(0)
    with directory(root) as descriptor, as_nobody(), pytest.raises(ForbiddenTree) as caught:
        walk(descriptor, name="tree")
    (root / "hidden").chmod(0o755)

    assert list(zip(rules(caught.value), paths(caught.value), strict=True)) == [
        ("T-SYMLINK", "link"),
        ("T-UNREADABLE", "hidden"),
    ]


def test_what_a_manifest_can_hold_is_listed_beside_the_faults(tree):
    root = tree({"b": b"12", "sub/a": b"1"})
    (root / "a").symlink_to("b")
    (root / "sub" / "logs").mkdir()
    os.mkfifo(root / "z")
    faults: list[Finding] = []

    with directory(root) as descriptor:
        assert walk(descriptor, name="tree", faults=faults) == [Entry("b", 2), Entry("sub/a", 1)]

    told = [(fault.rule, fault.location.path) for fault in faults]
    assert told == [("T-SYMLINK", "a"), ("T-EMPTY-DIR", "sub/logs"), ("T-SPECIAL", "z")]


def test_attack_more_links_than_are_listed_do_not_end_the_look_at_the_rest(tree):
    root = tree({"ok": b""})
    for number in range(limits.TREE_FAULTS + 50):
        (root / f"l{number}").symlink_to("ok")
    faults: list[Finding] = []

    with directory(root) as descriptor:
        assert walk(descriptor, name="tree", faults=faults) == [Entry("ok", 0)]

    assert (len(faults), faults[-1].rule) == (limits.TREE_FAULTS + 1, "T-MORE")
    assert faults[-1].message == "holds 50 more such entries"


def test_a_tree_of_faults_alone_has_no_files(tmp_path):
    faults: list[Finding] = []

    with directory(tmp_path) as descriptor:
        assert walk(descriptor, name="tree", faults=faults) == []

    assert [fault.rule for fault in faults] == ["T-EMPTY-DIR"]


def test_faults_count_towards_the_bound_on_files(tree, monkeypatch):
    root = tree({"a": b"", "b/c": b""})
    (root / "b" / "link").symlink_to("c")
    monkeypatch.setattr(limits, "TREE_FILES", 2)

    with directory(root) as descriptor, pytest.raises(CannotLook, match="more than 2 files"):
        walk(descriptor, name="tree", faults=[])


def test_what_ends_the_work_is_told_together_with_the_faults(tree):
    root = tree({"ok": b""})
    (root / "link").symlink_to("ok")
    faults: list[Finding] = []
    with directory(root) as descriptor:
        walk(descriptor, name="tree", faults=faults)

    with pytest.raises(ForbiddenTree) as caught, reported_together(faults, "tree"):
        raise Refused("is no seal", where="tree/x", findings=[Finding("V07", Severity.HIGH, "changed")])

    assert rules(caught.value) == ["T-SYMLINK", "V07"]
    assert [problem.what for problem in caught.value.problems] == ["is a symbolic link", "is no seal"]


def test_without_faults_what_ends_the_work_is_told_as_it_is():
    with pytest.raises(CannotLook, match=r"^permission denied$"), reported_together([], "tree"):
        raise CannotLook("permission denied")


def test_a_tree_of_more_files_than_the_bound_is_not_looked_at(tree, monkeypatch):
    monkeypatch.setattr(limits, "TREE_FILES", 2)

    with pytest.raises(CannotLook, match="more than 2 files"):
        walked(tree({"a": b"", "b": b"", "c": b""}))


def test_the_locale_does_not_change_what_a_path_is(tree):
    root = tree({"é": b"", "模": b""})
    code = "import sys; from tuneguard.artifact.digest import hash_tree; print(hash_tree(sys.argv[1]).digest)"
    source = str(Path(__file__).parents[2] / "src")

    def digest(**locale: str) -> str:
        environment = {**os.environ, **locale, "PYTHONPATH": source}
        return subprocess.run(
            [sys.executable, "-c", code, root], env=environment, capture_output=True, text=True, check=True
        ).stdout

    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    assert digest(**plain) == digest(PYTHONUTF8="1")


def test_a_file_is_opened_below_the_root(tree):
    root = tree({"a/b": b"bytes"})
    with directory(root) as descriptor:
        opened = open_file(descriptor, "a/b")

    assert os.read(opened, 10) == b"bytes"
    os.close(opened)


@pytest.mark.parametrize(
    "path", ["../secret", "a/../../secret", "/etc/passwd", "", ".", "a//b", "a/", "a\0b"]
)
def test_a_path_that_leaves_the_tree_is_never_opened(tree, tmp_path, path):
    (tmp_path / "secret").write_text("")
    with directory(tree({"a/b": b""})) as descriptor, pytest.raises(Refused, match="is no path below a tree"):
        open_file(descriptor, path)


def test_a_folder_swapped_for_a_link_after_the_walk_is_not_followed(tree, tmp_path):
    root = tree({"code/train.py": b"good"})
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "train.py").write_text("bad")
    walked(root)
    (root / "code").rename(tmp_path / "away")
    (root / "code").symlink_to(tmp_path / "evil")

    with directory(root) as descriptor, pytest.raises(Refused):
        open_file(descriptor, "code/train.py")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("b", path)])
def test_what_took_the_place_of_a_file_is_not_opened(tree, make):
    root = tree({"b": b""})
    make(root / "a")

    with directory(root) as descriptor, pytest.raises(Refused):
        open_file(descriptor, "a")


def test_a_file_that_is_gone_changed_under_the_reader(tree):
    with (
        directory(tree({"b": b""})) as descriptor,
        pytest.raises(ChangedWhileRead, match="no longer there at a"),
    ):
        open_file(descriptor, "a")


names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and len(name.encode("utf-8", "surrogatepass")) <= 255
)


@given(st.sets(names, min_size=1, max_size=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_walk_lists_exactly_what_is_there_or_refuses(tmp_path_factory, chosen):
    root = tmp_path_factory.mktemp("any")
    for name in chosen:
        Path(os.fsdecode(bytes(root) + b"/" + name.encode("utf-8", "surrogatepass"))).write_bytes(b"")

    representable = all(fault_of_name(name) is None for name in chosen)
    distinct = len({fold(name) for name in chosen}) == len(chosen)

    if representable and distinct:
        assert [entry.path for entry in walked(root)] == sorted(chosen, key=str.encode)
    else:
        refused(root)


@given(st.text(st.sampled_from("a./\\\n\u00e9\u202e-"), max_size=12))
def test_a_path_is_acceptable_exactly_if_each_of_its_names_is(path):
    by_names = not path.startswith("/") and all(fault_of_name(name) is None for name in path.split("/"))

    assert (fault_of_path(path) is None) == by_names
