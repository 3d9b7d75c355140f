"""The project of tests/journey, its model at home in a real registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steps import MODEL, Promotion

if TYPE_CHECKING:
    from projects import ProjectFolder

REPOSITORY = f"models/{MODEL}"


def at_home_in(project: ProjectFolder, host: str, name: str = REPOSITORY) -> str:
    """As the policy's owner: the model lives in this repository, which is returned."""
    repository = f"{host}/{name}"
    policy = project.path / "policy.yaml"
    before = f"repository: registry.internal/models/{MODEL}"
    assert before in policy.read_text()
    policy.write_text(policy.read_text().replace(before, f"repository: {repository}"))
    assert project("policy", "sign", "--quiet") == 0
    return repository


def promotion(project: ProjectFolder, repository: str, tag: str = "ft-042") -> Promotion:
    """A promotion of run 042 into a repository of a registry."""
    made = Promotion(project)
    made.reference = f"{repository}:{tag}"
    return made


def promoter(project: ProjectFolder, half: str = "pub") -> str:
    """The promoter's key, or its public half."""
    return str(project.path.parent / f"home/keys/{MODEL}/promoter.{half}")
