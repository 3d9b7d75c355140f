"""The options that a plan's steps are given, and the volumes in which what they name lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.plan.step import At, Mount, Service
from tuneguard.signing.signer import PLAIN_PATH, for_people, holds_pin, scheme_of

if TYPE_CHECKING:
    from pathlib import Path

    from tuneguard.plan.step import Arguments
    from tuneguard.project.project import Project


@dataclass(frozen=True, slots=True)
class Given:
    """Options of a step with what it mounts for them, and where each volume lies."""

    arguments: Arguments = ()
    mounts: tuple[Mount, ...] = ()
    volumes: tuple[tuple[str, Path], ...] = ()

    def __add__(self, other: Given) -> Given:
        """Both."""
        return Given(
            (*self.arguments, *other.arguments),
            (*self.mounts, *other.mounts),
            (*self.volumes, *other.volumes),
        )


def reading(project: Project) -> Given:
    """The pipeline, the policy and the root's key: what every step reads."""
    policy = [("--policy", "policy", project.policy_option), ("--root", "root", project.root_option)]
    found = Given()
    if project.in_project:
        found += _file("--project", "project", project.pipeline_file)
    for option, volume, path in policy:
        if path is not None:
            found += _file(option, volume, path)
    return found


def ledger(project: Project) -> Given:
    """The ledger, for a step that reads it or writes to it. It lies in a folder that the step writes to."""
    file = project.ledger_file
    if file is None:
        return Given()
    mounted = Given((), (Mount("ledger", read_only=False),), (("ledger", file.absolute().parent),))
    if project.ledger_option is None:
        return mounted
    return Given(("--ledger", At("ledger", file.name))) + mounted


def evidence(folder: Path, *, read_only: bool) -> Given:
    """The evidence folder of what is judged."""
    return Given(
        ("--evidence", At("evidence")),
        (Mount("evidence", read_only=read_only),),
        (("evidence", folder.absolute()),),
    )


def registry(project: Project) -> Given:
    """How registries are reached, for a step that does."""
    hosts = [word for host in project.insecure_registries for word in ("--insecure-registry", host)]
    ca = (
        Given() if project.registry_ca is None else _file("--registry-ca", "registry-ca", project.registry_ca)
    )
    return ca + Given(tuple(hosts))


def signing(project: Project, role: str) -> frozenset[Service]:
    """What a step reaches to sign with the key of `role`: nothing where the key is a file.

    Raises:
        UsageError: the key's URI holds a PIN: everybody sees the arguments of a step.
    """
    uri = project.key_uri(role)
    if uri is None:
        return frozenset()
    if holds_pin(uri):
        raise UsageError(
            f"the key of the role {role} has its PIN in its URI, and steps are given the URI as an argument",
            where=for_people(uri),
            help="name a file with the PIN instead: pin-source=FILE; or leave it out, and it is asked for",
        )
    return frozenset() if scheme_of(uri) in (PLAIN_PATH, "file") else frozenset({Service.SIGNING})


def keys(project: Project, roles: frozenset[str]) -> dict[str, str]:
    """The URI of the key of each role that has one."""
    found = {role: project.key_uri(role) for role in roles}
    return {role: uri for role, uri in found.items() if uri is not None}


def _file(option: str, volume: str, path: Path) -> Given:
    whole = path.absolute()
    return Given((option, At(volume, whole.name)), (Mount(volume, whole.name),), ((volume, whole.parent),))
