"""The NVIDIA GPUs of this machine, and what a sandbox is to be shown of those that a run asked for.

Where the machine has a CDI specification (`cdi`), that says what belongs to a GPU. Else it is the device
nodes of the driver, ``/dev/nvidia0`` and its kin, and the driver's libraries, which the loader's cache knows
and which mostly lie below ``/usr``, where the sandbox shows them anyway. ``CUDA_VISIBLE_DEVICES`` names the
GPUs by their UUIDs, as the driver or the specification names them.

A GPU that is parted by MIG comes only from a CDI specification: no file names the UUIDs of its parts.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping  # noqa: TC003 (a dataclass's field)
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.display import counted
from tuneguard.errors import TuneguardError, UsageError
from tuneguard.files import printable, read_bounded
from tuneguard.sandbox import cdi, layout
from tuneguard.sandbox.controls import OWN
from tuneguard.sandbox.holders import holder
from tuneguard.sandbox.launch import ENVIRONMENT
from tuneguard.sandbox.shown import CARD, PART, Edits, Given, Gpu, Shown
from tuneguard.sandbox.variables import fault_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KIND = "nvidia.com/gpu"
VISIBLE = "CUDA_VISIBLE_DEVICES"

_NEEDED = ("nvidiactl", "nvidia-uvm")
_OPTIONAL = ("nvidia-uvm-tools", "nvidia-modeset")
_OURS = re.compile(r"/dev/nvidia[A-Za-z0-9_/-]*")
_UUID = re.compile(r"(GPU|MIG)-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DRIVER = re.compile(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s")
_LIBRARY = re.compile(r"\s+(lib(?:cuda|nvidia-[\w-]+)\.so\.\d+) \(([^)]*)\) => (/\S+)")
_BITS = ("x86-64", "AArch64")
_VERSION = re.compile(r"\.so\.(\d+(?:\.\d+)+)$")
_TOPS = ("etc", "opt", "run", "var")
"""Top folders of the sandbox's root that a file of a driver may lie in, beside those of the system."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The GPUs that this machine has for runs, and what stands in the way of others."""

    gpus: tuple[Gpu, ...] = ()
    common: Edits = field(default_factory=Edits)
    by: str = "device nodes"
    specifications: Mapping[str, str] = field(default_factory=dict)
    driver: str | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def take(self, count: int, where: str) -> Shown:
        """`count` GPUs, those first that no other process holds.

        Raises:
            UsageError: there are fewer; `where` asked for them.
        """
        if count > len(self.gpus):
            found = "none" if not self.gpus else f"{len(self.gpus)}"
            raise UsageError(
                f"train.resources asks for {counted(count, 'GPU')}, and this machine has {found} for a run",
                where=printable(where),
                help="; ".join(self.faults) or "ask for fewer, or see what it has: tuneguard doctor",
            )
        taken = sorted(self.gpus, key=lambda gpu: holder(gpu.own) is not None)[:count]
        edits = self.common
        for gpu in taken:
            edits += gpu.edits
        visible = {VISIBLE: ",".join(str(gpu.uuid) for gpu in taken)}
        return Shown(
            tuple(taken),
            replace(edits, environment={**edits.environment, **visible}),
            self.by,
            self.specifications,
            self.driver,
            self.libraries,
        )


def offered(root: Path = Path("/")) -> Offer:
    """The GPUs of this machine. `root` is for looking elsewhere.

    Raises:
        ConfigurationError, UsageError: a CDI specification says what cannot be done.
        Refused, CannotLook: a CDI specification is not to be believed, or cannot be read.
    """
    specifications = cdi.specifications(KIND, root)
    cards, driver, libraries = dict(_cards(root)), _driver(root), dict(_libraries(root))
    versions = {name: found[1] for name, path in libraries.items() if (found := _version(root, path))}
    offer = (
        _by_specification(specifications, cards, root)
        if specifications
        else _by_nodes(cards, libraries, root)
    )
    return replace(offer, driver=driver, libraries=versions)


# --- By a specification -----------------------------------------------------------------------------


def _by_specification(
    specifications: tuple[cdi.Specification, ...], cards: Mapping[int, _Card], root: Path
) -> Offer:
    named: dict[str, Edits] = {}
    common = Edits()
    for each in specifications:
        common += _edits(each.edits, each.path, root)
        for device in each.devices:
            if device.name != "all":  # it stands for all others together
                named[device.name] = _edits(device.container_edits, each.path, root)
    gpus: dict[frozenset[str], Gpu] = {}
    for name, edits in named.items():
        key = frozenset(device.target for device in edits.devices)
        gpu = _named(name, edits, cards)
        before = gpus.get(key)
        if before is None or before.uuid is None:  # one device may have several names
            gpus[key] = gpu
    parted = {node for gpu in gpus.values() if gpu.part for node in _card_nodes(gpu.edits)}
    whole = [gpu for gpu in gpus.values() if gpu.part or not parted & set(_card_nodes(gpu.edits))]
    return Offer(
        tuple(gpu for gpu in whole if gpu.uuid is not None and gpu.own),
        common,
        "CDI specification",
        {each.path: each.sha256 for each in specifications},
        faults=tuple(
            f"the UUID of a device of {specifications[-1].path} is not known: nvidia-ctk cdi generate "
            "--device-name-strategy=uuid"
            for gpu in whole
            if gpu.uuid is None
        ),
    )


def _named(name: str, edits: Edits, cards: Mapping[int, _Card]) -> Gpu:
    part = name.startswith("MIG-") or any(PART.fullmatch(each.target) for each in edits.devices)
    numbers = [int(found[1]) for each in edits.devices if (found := CARD.fullmatch(each.target))]
    card = cards.get(numbers[0]) if len(numbers) == 1 else None
    uuid = name if _UUID.fullmatch(name) else card.uuid if card is not None and not part else None
    return Gpu(uuid, None if card is None else card.model, part, edits)


def _card_nodes(edits: Edits) -> list[str]:
    return [each.target for each in edits.devices if CARD.fullmatch(each.target)]


def _edits(said: cdi.ContainerEdits, file: str, root: Path) -> Edits:
    devices, left_out = list[Given](), list[str]()
    for node in said.device_nodes:
        if _OURS.fullmatch(node.path):
            devices.append(_device(node.host_path or node.path, node.path, file, root))
        else:
            left_out.append(f"{node.path}, which is no device of CUDA's")
    files = []
    for mount in said.mounts:
        why = _why_not_mounted(mount, file, root)
        if why is not None:
            left_out.append(f"{mount.host_path}, {why}")
        elif not _is_of_system(mount.container_path):
            files.append(Given(_below(root, mount.host_path), mount.container_path))
    for what, those in (
        ("hooks", said.hooks),
        ("groups", said.additional_gids),
        ("network devices", said.net_devices),
        ("cache settings", (said.intel_rdt,) if said.intel_rdt else ()),
    ):
        if those:
            left_out.append(f"{what} of {file}")
    environment = dict(variable.split("=", 1) for variable in said.env)
    for name in environment:
        why = fault_of(name)
        if why is not None and name != VISIBLE:
            raise _unusable(file, f"the variable {name} {why}")
    return Edits(tuple(devices), tuple(files), environment, tuple(left_out))


def _why_not_mounted(mount: cdi.Mount, file: str, root: Path) -> str | None:
    """Why a file is left out; None where it is shown.

    Raises:
        UsageError: it would have to be shown, and cannot be.
    """
    try:
        mode = os.stat(_below(root, mount.host_path)).st_mode
    except OSError as error:
        raise _unusable(
            file, f"{mount.host_path} cannot be shown: {(error.strerror or str(error)).lower()}"
        ) from None
    if _is_of_system(mount.container_path):
        if mount.host_path != mount.container_path:
            raise _unusable(
                file, f"{mount.container_path} is shown as this machine has it, and no other file"
            )
        return None
    if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
        return "which leads to a process outside"
    if not stat.S_ISREG(mode):
        raise _unusable(file, f"{mount.host_path} is not a file, and folders are not shown whole")
    if not _is_free(mount.container_path):
        raise _unusable(file, f"nothing can be bound at {mount.container_path}")
    return None


def _is_of_system(path: str) -> bool:
    return path.split("/")[1] in layout.SYSTEM


def _is_free(path: str) -> bool:
    top, *rest = path.split("/")[1:]
    taken = top == "etc" and rest[:1] in [[name] for name in (*layout.SETTINGS, *layout.MADE)]
    return top in _TOPS and bool(rest) and not taken and not (path + "/").startswith(OWN + "/")


def _unusable(file: str, why: str) -> UsageError:
    return UsageError(
        f"this CDI specification cannot be followed: {printable(why)}",
        where=printable(file),
        help="generate it again (nvidia-ctk cdi generate), or fix it",
    )


# --- By device nodes --------------------------------------------------------------------------------


def _by_nodes(cards: Mapping[int, _Card], libraries: Mapping[str, str], root: Path) -> Offer:
    if not cards:
        return Offer(
            faults=(
                "there is no CDI specification, and the NVIDIA driver is not loaded or has no GPU for CUDA",
            )
        )
    faults, gpus = list[str](), list[Gpu]()
    for number, card in sorted(cards.items()):
        name = f"/dev/nvidia{number}"
        if card.parted:
            faults.append(f"{name} is parted by MIG: name its parts by nvidia-ctk cdi generate")
        elif card.uuid is None:
            faults.append(f"the driver does not know the UUID of {name}: run nvidia-smi once")
        elif not _is_device(_below(root, name)):
            faults.append(f"there is no {name}: run nvidia-smi once as root")
        else:
            edits = Edits((Given(_below(root, name), name),))
            gpus.append(Gpu(card.uuid, card.model, part=False, edits=edits))
    for name in _NEEDED:
        if not _is_device(_below(root, f"/dev/{name}")):
            faults.append(f"there is no /dev/{name}: run nvidia-modprobe -u -c 0 as root")
    if "libcuda.so.1" not in libraries:
        faults.append("the loader's cache has no libcuda.so.1: install the driver's libraries, run ldconfig")
    common = [f"/dev/{name}" for name in (*_NEEDED, *_OPTIONAL) if _is_device(_below(root, f"/dev/{name}"))]
    elsewhere = [path for path in libraries.values() if not _is_of_system(path)]
    return Offer(
        tuple(gpus) if "libcuda.so.1" in libraries and set(_NEEDED) <= {name[5:] for name in common} else (),
        Edits(
            tuple(Given(_below(root, name), name) for name in common),
            tuple(Given(_below(root, path), path) for path in elsewhere if _is_free(path)),
            left_out=tuple(path for path in elsewhere if not _is_free(path)),
        ),
        faults=tuple(faults),
    )


# --- What the machine says --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Card:
    """A GPU as the driver describes it."""

    uuid: str | None
    model: str | None
    parted: bool


def _cards(root: Path) -> Iterator[tuple[int, _Card]]:
    """The driver's GPUs by the number of their device node. One that it excludes is none."""
    for path in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        said = dict(_pairs(_text(path)))
        number = said.get("device minor", "")
        if not re.fullmatch(r"\d{1,4}", number) or said.get("gpu excluded", "No").lower() == "yes":
            continue
        uuid = said.get("gpu uuid", "")
        parts = root / f"proc/driver/nvidia/capabilities/gpu{number}/mig"
        yield (
            int(number),
            _Card(
                uuid if _UUID.fullmatch(uuid) else None,
                printable(said["model"][:100]) if said.get("model") else None,
                parted=next(parts.glob("gi*"), None) is not None,
            ),
        )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().lower(), value.strip()


def _driver(root: Path) -> str | None:
    """The version of the kernel's driver."""
    found = _DRIVER.search(_text(root / "proc/driver/nvidia/version"))
    return found[1] if found else None


def _text(path: Path) -> str:
    try:
        return read_bounded(path, limits.DRIVER_BYTES).decode("utf-8", "replace")
    except TuneguardError:
        return ""


def _libraries(root: Path) -> Iterable[tuple[str, str]]:
    """The driver's libraries by name, with the path at which the loader finds each."""
    program = shutil.which("ldconfig", path=ENVIRONMENT["PATH"])
    if program is None:
        return
    said = subprocess.run(
        (program, "-p", "-C", str(root / "etc/ld.so.cache")),
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    for name, flags, path in _LIBRARY.findall(said.stdout.decode("utf-8", "replace")):
        if any(bits in flags for bits in _BITS):
            yield name, path


def _version(root: Path, path: str) -> re.Match[str] | None:
    return _VERSION.search(os.path.realpath(_below(root, path)))


def _device(source: str, target: str, file: str, root: Path) -> Given:
    if not _is_device(_below(root, source)):
        raise _unusable(file, f"{source} is not a device of this machine")
    return Given(_below(root, source), target)


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except OSError:
        return False


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
