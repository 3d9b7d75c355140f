"""What a sandbox is shown of the GPUs that a run asked for: `gpus` finds it on the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 (a dataclass's field)
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 (likewise)

from tuneguard.sandbox.holders import why_not_alone

CARD = re.compile(r"/dev/nvidia(\d+)")
"""The node of a whole GPU, by its number."""
PART = re.compile(r"/dev/nvidia-caps/[A-Za-z0-9_-]+")
"""A node of a part of a GPU, as MIG makes them."""


@dataclass(frozen=True, slots=True)
class Given:
    """A device node or a file of this machine, and its path inside."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class Edits:
    """What is added to a sandbox, and what is not though a specification names it, in words."""

    devices: tuple[Given, ...] = ()
    files: tuple[Given, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        """Both, each thing once."""
        return Edits(
            tuple(dict.fromkeys((*self.devices, *other.devices))),
            tuple(dict.fromkeys((*self.files, *other.files))),
            {**self.environment, **other.environment},
            tuple(dict.fromkeys((*self.left_out, *other.left_out))),
        )


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a part of one; without a UUID CUDA cannot be given it."""

    uuid: str | None
    model: str | None
    part: bool
    edits: Edits

    @property
    def own(self) -> tuple[Path, ...]:
        """The nodes that belong to it alone."""
        pattern = PART if self.part else CARD
        return tuple(each.source for each in self.edits.devices if pattern.fullmatch(each.target))


@dataclass(frozen=True, slots=True)
class Shown:
    """What a run is shown: its GPUs, all that belongs to them, and where that was read."""

    gpus: tuple[Gpu, ...]
    edits: Edits
    by: str
    specifications: Mapping[str, str]
    driver: str | None
    libraries: Mapping[str, str]

    def why_not_alone(self) -> str | None:
        """Who else holds one of the GPUs, or why that cannot be known."""
        return why_not_alone(node for gpu in self.gpus for node in gpu.own)
