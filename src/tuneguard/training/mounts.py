"""What a training is shown, under which paths, and the variables that name them.

The library ``datasets`` writes what ``map``, ``filter`` and ``sort`` make beside the files that it read. A
folder that ``save_to_disk`` left is therefore shown as a folder of scratch, in which each file of the data is
mounted read-only: what is cached lies in scratch, and the data stay as they were verified.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.sandbox.controls import Bind
from tuneguard.sandbox.unsafe import UnsafeNoSandbox
from tuneguard.sandbox.variables import PREFIX
from tuneguard.training.inputs import DATA, INSIDE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.project.project import Project
    from tuneguard.training.input import Input
    from tuneguard.training.prepare import Prepared

CHECKPOINT, SCRATCH = f"{INSIDE}/checkpoint", f"{INSIDE}/scratch"
_SAVED = "state.json"
"""A file of every folder that ``Dataset.save_to_disk`` writes, beside its Arrow files."""


def values(prepared: Prepared) -> dict[str, str]:
    """What each placeholder of a command stands for, inside."""
    by_role = {item.role: item for item in prepared.inputs}
    config = by_role["config"]
    resumed = {"resume": by_role["resume"].inside} if "resume" in by_role else {}
    return {
        "code": by_role["code"].inside,
        "config": f"{config.inside}/{config.dependency.name}",
        "data": DATA,
        "base": by_role["base"].inside,
        "checkpoint": CHECKPOINT,
        "scratch": SCRATCH,
        "run": prepared.claimed.run,
        **resumed,
    }


def variables(prepared: Prepared, project: Project) -> dict[str, str]:
    """``TUNEGUARD_…`` for each placeholder that has a value."""
    told = values(prepared)
    if project.pipeline.train.config is None:
        del told["config"]
    return {PREFIX + name.upper(): value for name, value in told.items()}


def binds(prepared: Prepared, scratch: Path) -> tuple[Bind, ...]:
    """Everything that is mounted: the inputs to read, the checkpoint's folder and scratch to write."""
    views = {} if isinstance(prepared.backend, UnsafeNoSandbox) else dict(_views(prepared.inputs))
    return (
        *(Bind(path, inside) for path, inside in prepared.gathered.mounted() if inside not in views),
        *(
            bind
            for at, (inside, path) in enumerate(views.items())
            for bind in _view(scratch / ".datasets" / str(at), inside, path)
        ),
        Bind(prepared.claimed.written, CHECKPOINT, writable=True, identity=prepared.claimed.identity),
        Bind(scratch, SCRATCH, writable=True),
    )


def _views(inputs: tuple[Input, ...]) -> Iterator[tuple[str, Path]]:
    """The folders of the data that ``save_to_disk`` left, where each of their files can be a mount.

    A folder inside of one is shown with it, read-only.
    """
    left = limits.SAVED_ENTRIES
    for item in (each for each in inputs if each.role == "dataset"):
        paths = {file.path for file in item.manifest.files}
        within: str | None = None
        for folder in sorted({posixpath.dirname(path) for path in paths if path.endswith(".arrow")}):
            nested = within is not None and f"{folder}/".startswith(within)
            if nested or posixpath.join(folder, _SAVED) not in paths:
                continue
            left -= sum(1 for _ in (item.path / folder).iterdir())
            if left >= 0:
                within = f"{folder}/".lstrip("/")
                yield posixpath.join(item.inside, folder).rstrip("/"), item.path / folder


def _view(own: Path, inside: str, source: Path) -> Iterator[Bind]:
    """A folder of scratch at `inside`, in which what lies in `source` is mounted read-only."""
    own.mkdir(mode=0o700, parents=True)
    yield Bind(own, inside, writable=True)
    for entry in source.iterdir():
        place = own / entry.name
        place.mkdir() if entry.is_dir() else place.touch()
        yield Bind(entry, posixpath.join(inside, entry.name))
