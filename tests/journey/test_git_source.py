"""Which commit the code of a run is of, found without letting the repository run anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from test_run import provenance_of

from tuneguard.attest.predicates.provenance import Git
from tuneguard.training.git_source import without_credentials
from world.repositories import committed, git, seen

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder


def test_clean_code_is_of_its_commit(tmp_path: Path) -> None:
    code = committed(tmp_path)
    git(tmp_path, "remote", "add", "mirror", "https://mirror.example/code.git")
    git(tmp_path, "remote", "add", "origin", "https://alice:secret@host.example/team/code.git")
    commit = git(tmp_path, "rev-parse", "HEAD")

    found = seen(code)

    assert found == Git(repository="https://host.example/team/code.git", commit=commit, dirty=False)
    assert str(found) == f"git {commit[:12]} of https://host.example/team/code.git, clean"


@pytest.mark.parametrize("way", ["pack", "detach", "worktree", "sha256", "root"])
def test_however_the_repository_is_laid_out(tmp_path: Path, way: str) -> None:
    if way == "sha256":
        git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256")
    code = committed(tmp_path)
    if way == "pack":
        git(tmp_path, "gc", "-q")
    if way == "detach":
        git(tmp_path, "checkout", "-q", "--detach")
    if way in ("worktree", "root"):
        git(tmp_path, "worktree", "add", "-q", "-b", "other", str(tmp_path / "beside"))
        code = tmp_path / "beside/code"
    commit = git(tmp_path, "rev-parse", "HEAD")

    assert seen(code.parent if way == "root" else code) == Git(commit=commit, dirty=False)


def test_what_is_not_as_in_the_commit_is_dirty(tmp_path: Path) -> None:
    code = committed(tmp_path)
    (tmp_path / "README.md").write_text("Changed, and no part of the code\n")
    assert seen(code).dirty is False  # type: ignore[union-attr]

    (code / "train.py").write_text("print('other')\n")
    (code / "lib/data.py").rename(code / "lib/other.py")
    (code / "ignored.py").write_text("import os\n")
    (code / ".gitignore").write_text("*\n")

    found = seen(code)
    assert found is not None
    assert (found.dirty, found.differing) == (True, 5)
    assert str(found).endswith(", dirty: 5 files not as in the commit")


def test_code_that_is_in_no_commit(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text("pass\n")
    assert seen(code) is None

    git(tmp_path, "init", "-q")
    assert seen(code) is None

    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "nothing")
    found = seen(code)
    assert found is not None
    assert found.dirty is None


def test_without_git_nobody_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = committed(tmp_path)
    monkeypatch.setattr("tuneguard.training.git_source.shutil.which", lambda *_, **__: None)

    assert seen(code) == Git(commit=git(tmp_path, "rev-parse", "HEAD"))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://token@host.example/x.git", "https://host.example/x.git"),
        ("https://a:b@c@host.example/x", "https://host.example/x"),
        ("ssh://git:secret@host.example:22/x", "ssh://host.example:22/x"),
        ("https://host.example/x?private_token=1#2", "https://host.example/x"),
        ("git@host.example:team/x.git", "git@host.example:team/x.git"),
        ("alice:secret@host.example:x", "alice@host.example:x"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("https://[broken/x", None),
        ("https://host.example/\x1b[31m", None),
        ("x" * 3000, None),
    ],
)
def test_attack_credentials_in_the_address_are_published(address: str, shown: str | None) -> None:
    assert without_credentials(address) == shown


@pytest.mark.sandbox
def test_the_provenance_names_the_commit_and_trace_shows_it(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    git(project.path, "init", "-q", "-b", "main")
    git(project.path, "add", "code")
    git(project.path, "commit", "-q", "-m", "first")
    git(project.path, "remote", "add", "origin", "https://user:secret@host.example/x.git")
    commit = git(project.path, "rev-parse", "HEAD")

    assert project("run", "--run", "042") == 0

    expected = Git(repository="https://host.example/x.git", commit=commit, dirty=False)
    assert provenance_of(project, "042").code.annotations.git == expected
    assert f"git {commit[:12]} of https://host.example/x.git, clean" in capsys.readouterr().out
    assert project("trace", "runs/042") == 0
    assert f"git {commit[:12]} of https://host.example/x.git, clean" in capsys.readouterr().out
    assert project("trace", "runs/042", "--json") == 0
    made = json.loads(capsys.readouterr().out)["facts"]["lineage"]["from"]
    [code] = [each for each in made if each["role"] == "code"]
    assert code["git"] == {"repository": "https://host.example/x.git", "commit": commit, "dirty": False}
