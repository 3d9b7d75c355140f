"""`tools/peers.py`: counterparts are built once, whole, and a missing one is told by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GO = """\
#!/bin/sh
# A stand-in for the Go compiler: writes what it was asked for, fails on the peers named in $FAILS.
while [ "$1" != -o ]; do shift; done
echo "$2" >> "$CALLS"
mkdir -p "$GOCACHE" "$GOMODCACHE"
printf 'half' > "$2"
for name in $FAILS; do
  [ "${2##*/}" = "$name" ] || continue
  echo "go: downloading x v1" >&2
  echo "$name.go:1: does not compile" >&2
  exit 1
done
printf 'whole' > "$2"
"""


@pytest.fixture
def build(tmp_path):
    """Run the tool with the stand-in compiler, and what it called."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "go").write_text(GO)
    (tools / "go").chmod(0o755)
    calls = tmp_path / "calls"
    system = f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin"

    def run(*arguments, fails="", required=False, path=system):
        calls.write_text("")
        environment = {
            "PATH": path,
            "HOME": str(tmp_path),
            "TUNEGUARD_CACHE": str(tmp_path / "cache"),
            "CALLS": str(calls),
            "FAILS": fails,
            **({"TUNEGUARD_PEERS": "required"} if required else {}),
        }
        done = subprocess.run(
            [sys.executable, str(ROOT / "tools/peers.py"), *arguments],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        done.built = [Path(line).name for line in calls.read_text().splitlines()]
        return done

    return run


def test_what_is_built_once_is_not_built_again_and_other_versions_are_removed(build, tmp_path):
    old = tmp_path / "cache" / "peers-0000000000000000" / "bin"
    old.mkdir(parents=True)

    first, second = build(), build()

    bin = Path(first.stdout.strip())
    assert len(first.built) == 9
    assert "built cosign in" in first.stderr
    assert {path.name for path in bin.iterdir()} == set(first.built)
    assert {path.read_text() for path in bin.iterdir()} == {"whole"}
    assert second.built == []
    assert not old.exists()


def test_the_compilers_caches_are_gone_afterwards(build):
    bin = Path(build().stdout.strip())

    assert [path.name for path in bin.parent.iterdir()] == ["bin"]


def test_a_peer_that_does_not_build_is_told_by_name_and_the_others_are_there(build):
    done = build(fails="oras")

    assert "  oras: oras.go:1: does not compile" in done.stderr
    assert done.returncode == 0
    bin = Path(done.stdout.strip())
    assert not (bin / "oras").exists(), "half a binary"
    assert (bin / "crane").read_text() == "whole"
    assert build().built == ["oras"]


def test_where_peers_are_required_a_missing_one_fails(build):
    assert build(fails="fulcio", required=True).returncode == 1


def test_without_a_compiler_the_list_says_what_is_needed(build, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()

    done = build("--list", path=str(empty))

    assert "cosign            needs Go" in done.stdout
    assert "softhsm2-util     apt-get install softhsm2" in done.stdout
    assert "make test-peers" not in done.stdout


def test_a_changed_module_is_another_folder(tmp_path):
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from peers import digest
    finally:
        sys.path.pop(0)
    copy = tmp_path / "module"
    shutil.copytree(ROOT / "tests/peers/cmd", copy / "cmd")
    for name in ("go.mod", "go.sum"):
        shutil.copy(ROOT / "tests/peers" / name, copy)
    before = digest(copy)
    assert before == digest(ROOT / "tests/peers")

    for changed in ("go.sum", "cmd/refreg/main.go"):
        with (copy / changed).open("a") as file:
            file.write("\n")
        assert digest(copy) != before
        before = digest(copy)
