"""Git repositories, made by the real git."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tuneguard.artifact.digest import hash_tree
from tuneguard.training import git_source

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.attest.predicates.provenance import Git

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{
        f"GIT_{who}_{what}": "test@example.com"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


def git(folder: Path, *arguments: str) -> str:
    """What git answers in a folder."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def committed(top: Path) -> Path:
    """A repository with one commit, which has the folder ``code`` and a file beside it; the folder."""
    code = top / "code"
    (code / "lib").mkdir(parents=True)
    (code / "train.py").write_text("print('train')\n")
    (code / "lib/data.py").write_text("rows = []\n")
    (top / "README.md").write_text("About\n")
    git(top, "init", "-q", "-b", "main")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    return code


def seen(code: Path) -> Git | None:
    """What a run finds out of its code."""
    return git_source.source_of(code, code, hash_tree(code))
