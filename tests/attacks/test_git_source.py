"""A repository that runs something, waits, or lies when it is asked for its commit."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from world.repositories import ENVIRONMENT, committed, git, seen

if TYPE_CHECKING:
    from pathlib import Path


def test_attack_a_repository_that_names_programs(tmp_path: Path) -> None:
    """Every setting that has git run something, and git itself does run it."""
    code = committed(tmp_path / "top")
    top, ran = tmp_path / "top", tmp_path / "ran"
    program = tmp_path / "evil.sh"
    program.write_text(f"#!/bin/sh\necho ran >> {ran}\ncat\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    (tmp_path / "included").write_text(f"[core]\n\tfsmonitor = {program}\n")
    for name, value in {
        "core.fsmonitor": program,
        "core.hooksPath": hooks,
        "core.sshCommand": program,
        "core.gitProxy": program,
        "core.pager": program,
        "core.editor": program,
        "core.askPass": program,
        "credential.helper": program,
        "diff.external": program,
        "filter.evil.clean": program,
        "filter.evil.smudge": program,
        "filter.evil.process": program,
        "include.path": tmp_path / "included",
        "remote.origin.url": f"ext::{program}",
        "remote.origin.promisor": "true",
        "remote.origin.partialclonefilter": "blob:none",
        "extensions.partialClone": "origin",
        "alias.ls-tree": f"!{program}",
        "alias.config": f"!{program}",
        "protocol.ext.allow": "always",
    }.items():
        git(top, "config", name, str(value))
    (top / ".git/info/attributes").write_text("* filter=evil diff=evil\n")
    (code / ".gitattributes").write_text("* filter=evil\n")
    (code / "train.py").write_text("changed\n")

    found = seen(code)

    assert not ran.exists()
    assert found is not None
    assert found.dirty
    subprocess.run(["git", "status"], cwd=top, env=ENVIRONMENT, capture_output=True, check=False)
    assert ran.exists()


def test_attack_a_commit_whose_objects_are_to_be_fetched(tmp_path: Path) -> None:
    """A promised object is asked of the remote, by a program that the repository names."""
    code = committed(tmp_path / "top")
    ran = tmp_path / "ran"
    for name, value in {
        "core.repositoryformatversion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": f"ext::sh -c 'echo ran > {ran}'",
        "remote.origin.promisor": "true",
        "protocol.ext.allow": "always",
    }.items():
        git(tmp_path / "top", "config", name, value)
    tree = git(tmp_path / "top", "rev-parse", "HEAD:code")
    (tmp_path / "top/.git/objects" / tree[:2] / tree[2:]).unlink()

    found = seen(code)

    assert not ran.exists()
    assert found is not None
    assert found.dirty is None


@pytest.mark.parametrize("name", ["HEAD", "config", "packed-refs", "commondir"])
def test_attack_a_pipe_in_the_place_of_a_file(tmp_path: Path, name: str) -> None:
    code = committed(tmp_path)
    git(tmp_path, "pack-refs", "--all")
    (tmp_path / ".git" / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / ".git" / name)

    found = seen(code)

    assert found is None or found.repository is None


def test_attack_an_object_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.GIT_SECONDS", 0.5)
    code = committed(tmp_path)
    tree = git(tmp_path, "rev-parse", "HEAD:code")
    path = tmp_path / ".git/objects" / tree[:2] / tree[2:]
    path.unlink()
    os.mkfifo(path)

    found = seen(code)

    assert found is not None
    assert found.dirty is None


@pytest.mark.parametrize(
    "head",
    [
        "ref: ../../../etc/passwd",
        "ref: refs/heads/../../../../../../etc/hostname",
        "ref: HEAD",
        "ref: refs/heads/main",
        "--upload-pack=evil",
        "x" * 5000,
        "",
    ],
)
def test_attack_a_head_that_leads_elsewhere(tmp_path: Path, head: str) -> None:
    code = committed(tmp_path)
    (tmp_path / ".git/HEAD").write_text(head)
    (tmp_path / ".git/refs/heads/main").write_text("ref: refs/heads/main\n")

    assert seen(code) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_attack_a_repository_that_somebody_else_put_above_the_code(tmp_path: Path) -> None:
    code = committed(tmp_path)
    assert seen(code) is not None

    os.chown(tmp_path / ".git", 12345, 12345)

    assert seen(code) is None
