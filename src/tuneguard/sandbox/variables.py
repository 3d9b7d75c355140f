"""The environment variables that a pipeline file adds to a training, as ``train.env``.

They change what the same code and command do, so a policy can fix them, and the provenance names them.
None of them is a place for a secret: provenance is published, and a training has no network to use one with.

    >>> fault_of("NCCL_DEBUG"), fault_of("HF_TOKEN")
    (None, 'looks like the name of a secret')
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from tuneguard.fields import Wrong, read_text
from tuneguard.nodes import shown
from tuneguard.sandbox.environment import THREADS, clean_environment

if TYPE_CHECKING:
    from tuneguard.nodes import Node

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SECRET = re.compile(
    r"SECRET|PASSW|PASSPHRASE|CREDENTIAL|COOKIE|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY"
    r"|(^|_)(AUTH|AUTHORIZATION|KEY|KEYS|PASS|PAT|PWD|TOKEN)(_|$)|TOKEN$"
)
_LOADERS = ("LD_", "PYTHON")
PREFIX = "TUNEGUARD_"
"""The prefix of the variables that give a training its paths."""
_OURS = frozenset({*clean_environment(), "CUDA_VISIBLE_DEVICES"}) - set(THREADS)
_LONGEST = 4096


def fault_of(name: str) -> str | None:
    """Why a pipeline sets no variable of that name, in words that fit after it; None where it may."""
    large = name.upper()
    if not _NAME.fullmatch(name):
        return "is not the name of a variable"
    if large.startswith(_LOADERS):
        return "has the loader or the interpreter run other code"
    if large in _OURS or large.startswith(PREFIX):
        return "is set by Tuneguard"
    if _SECRET.search(large):
        return "looks like the name of a secret"
    return None


def _read_name(node: Node) -> str:
    name = read_text(node)
    fault = fault_of(name)
    if fault is not None:
        raise Wrong(f"`{shown(name)}` {fault}", "no variable of a training has such a name: docs/pipeline.md")
    return name


def _read_value(node: Node) -> str:
    value = read_text(node)
    if not value.isprintable() or len(value) > _LONGEST:
        raise Wrong(
            f"must be at most {_LONGEST:,} characters that are shown as they are, found `{shown(value)}`",
            "a longer value belongs into train.config",
        )
    return value


Variables = Mapping[Annotated[str, _read_name], Annotated[str, _read_value]]
"""Values by name, as they stand in the file: no placeholder is filled in."""
