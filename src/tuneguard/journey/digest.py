"""Digest a tree: walk it closed-world, hash every file, print the one number that names it."""

from __future__ import annotations

from pathlib import Path

from tuneguard.artifact import digest as hashing
from tuneguard.display import counted, shown, size
from tuneguard.facts import DigestFacts
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.project import Project


def digest(directory: str | Path, *, project: Project | None = None) -> Result[DigestFacts]:
    """The tree digest of `directory`, in ``subjects[0].digest``.

    Raises:
        ForbiddenTree: an entry that a tree cannot hold; every one is named.
        ChangedWhileRead: a file changed while it was hashed.
    """
    directory = Path(directory)
    project = project or Project()
    manifest = hashing.hash_tree(directory, reporter=project.reporter)
    project.reporter.emit(
        "Hashed",
        f"{shown(directory)}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}",
        manifest.digest,
    )
    return Result(
        command="digest",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        facts=DigestFacts(files=len(manifest.files), bytes=manifest.size),
    )
