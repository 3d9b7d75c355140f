"""Attacks on the steps themselves: what whoever writes the project's folder cannot make them do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project


@pytest.mark.sandbox
def test_attack_modules_planted_in_the_project_are_not_imported_by_the_step_that_holds_the_key(
    project: Project,
) -> None:
    for name in ("click", "json", "tuneguard", "cryptography", "sitecustomize"):
        project.write(f"{name}.py", f"open({str(project.path / 'stolen')!r}, 'w')\nraise SystemExit(0)\n")

    assert project("run", "--run", "042") == 0

    assert not (project.path / "stolen").exists()
    assert (project.path / "runs/042.evidence").is_dir()
