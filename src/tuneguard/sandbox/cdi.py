"""The Container Device Interface: files in which a machine says what a container needs to use a device.

NVIDIA's toolkit writes them. Of what they say, a sandbox takes device nodes, files to mount and variables;
hooks are programs that would run outside with our rights, and are not run. A file counts only if nobody but
root or the user who runs this can have written it: it decides what of this machine a training sees.

Source: the CDI specification, SPEC.md, versions 0.3.0 to 1.1.0.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping  # noqa: TC003 (decode reads these annotations)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tuneguard import limits
from tuneguard.errors import CannotLook, Refused
from tuneguard.fields import Wrong, decode, read_text
from tuneguard.files import cannot_look, printable, read_named
from tuneguard.nodes import Node
from tuneguard.records import read_json, read_yaml

FOLDERS = ("etc/cdi", "var/run/cdi")
"""Where the files lie; what a later folder says of a device replaces what an earlier one said."""

_VERSION = re.compile(r"0\.[3-9]\.0|1\.[01]\.0")
_WRITE = 0o022


def _read_version(node: Node) -> str:
    text = read_text(node)
    if not _VERSION.fullmatch(text):
        raise Wrong(f"is a version that is not known here: `{printable(text[:20])}`", "0.3.0 to 1.1.0 are")
    return text


def _read_path(node: Node) -> str:
    text = read_text(node)
    if text != os.path.normpath(text) or not text.startswith("/") or "\0" in text or text.startswith("//"):
        raise Wrong("must be an absolute path without . and ..")
    return text


def _read_variable(node: Node) -> str:
    text = read_text(node)
    if "=" not in text or not text.isprintable():
        raise Wrong("must be NAME=VALUE")
    return text


_Path = Annotated[str, _read_path]


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device file: `path` inside, `host_path` on the machine where that is another."""

    path: _Path
    host_path: _Path | None = None
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    file_mode: int | None = None
    permissions: str | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A file of the machine that appears inside."""

    host_path: _Path
    container_path: _Path
    type: str | None = None
    options: tuple[Annotated[str, read_text], ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerEdits:
    """What a device needs, or all of a file's devices do."""

    env: tuple[Annotated[str, _read_variable], ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[Node, ...] = ()
    additional_gids: tuple[int, ...] = ()
    intel_rdt: Node | None = None
    net_devices: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """One device under one of its names."""

    name: str
    container_edits: ContainerEdits = field(default_factory=ContainerEdits)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _File:
    cdi_version: Annotated[str, _read_version]
    kind: str
    devices: tuple[Device, ...]
    container_edits: ContainerEdits = field(default_factory=ContainerEdits)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Specification:
    """What one file says, with its path on the machine and the SHA-256 of its bytes."""

    path: str
    sha256: str
    devices: tuple[Device, ...]
    edits: ContainerEdits


def specifications(kind: str, root: Path = Path("/")) -> tuple[Specification, ...]:
    """What this machine's files say of devices of `kind`, in the order in which later ones count more.

    `root` is for looking elsewhere.

    Raises:
        ConfigurationError: a file of that kind is not as the specification wants it.
        Refused: somebody else could have written a file.
        CannotLook: a file cannot be read, or there are too many.
    """
    found = [path for folder in FOLDERS for path in _listed(root / folder)]
    if len(found) > limits.CDI_FILES:
        raise CannotLook(f"there are more than {limits.CDI_FILES} CDI files", help="remove those not in use")
    read = (_read(path, kind, "/" + str(path.relative_to(root))) for path in found)
    return tuple(each for each in read if each is not None)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".json"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_look(error, folder) from error


def _read(path: Path, kind: str, name: str) -> Specification | None:
    """What a file says; None if it is about another kind of device."""
    for each in (path.parent, path):
        _check_owner(each, name)
    data = read_named(path, limits.CDI_BYTES)
    node = (
        _node(read_json(data, name, limit=limits.CDI_BYTES), name)
        if path.suffix == ".json"
        else read_yaml(data, name, limit=limits.CDI_BYTES)
    )
    said = node.get("kind")
    if said is not None and said.value != kind:
        return None
    file = decode(node, _File)
    return Specification(name, hashlib.sha256(data).hexdigest(), file.devices, file.container_edits)


def _check_owner(path: Path, name: str) -> None:
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _WRITE:
        raise Refused(
            "somebody else could have written this CDI file, which decides what a training is shown",
            where=printable(name),
            help="have root own it and its folder, writable for nobody else",
        )


def _node(value: Any, file: str) -> Node:
    """JSON as nodes, all at the beginning of the file."""
    if isinstance(value, dict):
        value = {key: _node(each, file) for key, each in value.items()}
    elif isinstance(value, list):
        value = [_node(each, file) for each in value]
    return Node(value, 1, 1, file)
