"""The pipeline file, ``tuneguard.yaml``, as values.

What is trained on what, with which command, and where it goes. It is untrusted: anyone who writes
it can ask for anything, and the policy decides. It is read strictly all the same, because a
misspelt key is a control that its author believes to be there. All faults are reported together.

    >>> fill(("{code}/train.py", "--set={{a}", "--out={checkpoint}"), {"code": "/c", "checkpoint": "/o"})
    ('/c/train.py', '--set={a}', '--out=/o')
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping  # noqa: TC003 (decode reads these annotations)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from tuneguard import limits
from tuneguard.artifact.pattern import fault_of_pattern
from tuneguard.errors import Refused, UsageError
from tuneguard.fields import (
    Duration,
    Either,
    Name,
    Size,
    Wrong,
    at_least,
    examine,
    read_text,
)
from tuneguard.files import missing, read_named
from tuneguard.nodes import Node, Problems, shown, suggestion
from tuneguard.records import read_yaml
from tuneguard.sandbox.variables import Variables  # noqa: TC001 (decode reads these annotations)

PIPELINE = "tuneguard.yaml"
"""What the file is called in a project's folder."""
PLACEHOLDERS = ("code", "config", "data", "base", "checkpoint", "scratch", "run", "resume")
"""What ``{…}`` may name in a command."""

_PLACEHOLDER = re.compile(r"\{\{|\{([^{}]*)(\}?)")
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_URI = re.compile(r"[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?")
_REGISTRY = re.compile(r"oci:.+|[A-Za-z0-9.:\[\]-]+(/[a-z0-9._-]+)+")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


# --- Readers ---------------------------------------------------------------------------------------


def _read_path(node: Node) -> str:
    text = read_text(node)
    if not text:
        raise Wrong("must be a path, found nothing")
    if not text.isprintable():
        raise Wrong(
            f"holds a character that is not shown as it is, found `{shown(text)}`",
            "rename it without line ends, control characters and what changes how text is read",
        )
    return text


def _read_pattern(node: Node) -> str:
    text = _read_path(node)
    fault = fault_of_pattern(text)
    if fault is not None:
        raise Wrong(f"is no pattern: `{shown(text)}` {fault}", "such as wandb/**, *.log, **/events.*")
    return text


def _read_argument(node: Node) -> str:
    """A part of the command, its placeholders checked."""
    text = read_text(node)
    _check_placeholders(text, PLACEHOLDERS)
    if _CONTROL.search(text):
        raise Wrong(f"holds a control character, found `{shown(text)}`", "only line ends and tabs may stand")
    return text


def _read_run_template(node: Node) -> str:
    """A text in which ``{run}`` may stand."""
    text = _read_path(node)
    _check_placeholders(text, ("run",))
    return text


def _read_checkpoint(node: Node) -> str:
    """The checkpoint's path: every run has its own, so ``{run}`` is in it."""
    text = _read_run_template(node)
    if "run" not in _named(text):
        raise Wrong("must hold {run}: a run's folder is its own for ever", "such as runs/{run}")
    return text


def _read_registry(node: Node) -> str:
    text = _read_path(node)
    if not _REGISTRY.fullmatch(text):
        raise Wrong(
            f"must be a registry, found `{shown(text)}`", "oci:FOLDER or HOST/REPOSITORY, without a tag"
        )
    return text


def _read_tag(node: Node) -> str:
    """A tag, once its ``{run}`` is filled in: a run id may stand anywhere in a tag."""
    text = _read_run_template(node)
    if not _TAG.fullmatch(fill((text,), {"run": "0"})[0]):
        raise Wrong(
            f"cannot be a tag: `{shown(text)}`",
            "letters, digits and . _ -, beginning with no . or -, at most 128",
        )
    return text


def _check_placeholders(text: str, known: tuple[str, ...]) -> None:
    for found in _PLACEHOLDER.finditer(text):
        if found.group() == "{{":
            continue
        if not found[2]:
            raise Wrong(f"has a brace that opens nothing: `{shown(found.group())}`", "write {{ for a brace")
        if found[1] not in known:
            help = suggestion(found[1], known)
            raise Wrong(f"has an unknown placeholder `{shown(found.group())}`", f"{help} {{{{ is a brace")


def _matching(pattern: re.Pattern[str], what: str, help: str) -> object:
    def read(node: Node) -> str:
        text = read_text(node)
        if not pattern.fullmatch(text) or not text.isprintable():
            raise Wrong(f"must be {what}, found `{shown(text)}`", help)
        return text

    return read


def _read_cpus(node: Node) -> float:
    if isinstance(node.value, bool) or not isinstance(node.value, int | float) or node.value <= 0:
        raise Wrong(f"must be a number of processors above 0, found {node.kind}")
    return float(node.value)


def _read_weight(node: Node) -> float:
    """A share of a mixture: any positive number, for shares are relative to each other."""
    if isinstance(node.value, bool) or not isinstance(node.value, int | float) or node.value <= 0:
        raise Wrong(f"must be a number above 0, found {node.kind}", "such as 3, or 0.75")
    return float(node.value)


def _read_cidr(node: Node) -> str:
    import ipaddress

    text = read_text(node)
    try:
        if "/" not in text:
            raise ValueError("no prefix length")
        ipaddress.ip_network(text)
    except ValueError as error:
        raise Wrong(f"must be a CIDR, found `{shown(text)}`", "such as 10.20.0.10/32") from error
    return text


def _read_port(node: Node) -> int:
    if isinstance(node.value, bool) or not isinstance(node.value, int) or not 0 < node.value < 65536:
        raise Wrong(f"must be a port from 1 to 65535, found {node.kind}")
    return node.value


_PathText = Annotated[str, _read_path]
_Namespace = Annotated[
    str,
    _matching(_NAMESPACE, "a namespace", "lower-case letters, digits and -, at most 63, such as ml-training"),
]
_Claim = Annotated[
    str, _matching(_CLAIM, "the name of a volume claim", "lower-case letters, digits, - and ., at most 253")
]
_Uri = Annotated[
    str, _matching(_URI, "a key's URI or path", "such as keys/builder.key or awskms:///alias/builder")
]
KeyRole = Literal["data-steward", "builder", "scanner", "evaluator", "approver", "promoter", "log"]


# --- What a pipeline states --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of the project, and the volume claim that holds it in a cluster."""

    path: _PathText
    claim: _Claim | None = None


@dataclass(frozen=True, slots=True)
class DataSet:
    """One of several training data sets: sealed under this name, and mounted below ``{data}`` under it.

    ``weight`` is its share of the mixture. It is recorded in the provenance; the training code mixes.
    """

    name: Name
    path: _PathText
    claim: _Claim | None = None
    weight: Annotated[float, _read_weight] | None = None


def _one_or_several(node: Node) -> object:
    return tuple[DataSet, ...] if isinstance(node.value, list) else Place


@dataclass(frozen=True, slots=True)
class Data:
    """The training data, and the evaluation set, which no training sandbox ever sees."""

    train: Annotated[Place | tuple[DataSet, ...], Either(_one_or_several)]
    eval: Place | None = None

    @property
    def sets(self) -> tuple[Place | DataSet, ...]:
        """Each training data set: one folder, or those of a list."""
        return self.train if isinstance(self.train, tuple) else (self.train,)


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run may use: processors, bytes of memory, accelerators. None: the engine's default."""

    cpu: Annotated[float, _read_cpus] | None = None
    memory: Size | None = None
    gpu: Annotated[int, at_least(0)] | None = None


def _read_retries(node: Node) -> int:
    number = at_least(0)(node)
    if number > limits.RETRIES:
        raise Wrong(f"must be at most {limits.RETRIES}, found {number:,}", "leave it out for none")
    return number


@dataclass(frozen=True, slots=True)
class Train:
    """How to train. ``command`` is a list, never a shell's line; ``scratch`` is in bytes.

    ``env`` are variables beside those that every training gets, as they stand in the file. ``metrics``: the
    training may say how far it is. ``retries``: how often a training that was ended from outside goes on.
    """

    code: Place
    command: tuple[Annotated[str, _read_argument], ...]
    expected_duration: Duration
    env: Variables = field(default_factory=dict)
    config: _PathText | None = None
    image: _PathText | None = None
    scratch: Size | None = None
    resources: Resources = field(default_factory=Resources)
    metrics: bool = True
    retries: Annotated[int, _read_retries] = 0

    @property
    def expected_seconds(self) -> int:
        """How long a run should take."""
        return int(self.expected_duration.total_seconds())

    @property
    def deadline(self) -> timedelta:
        """When a run is stopped: after half as long again as it should take."""
        return self.expected_duration * 3 / 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where runs go; ``path`` holds ``{run}``. A run's files have ``max_size`` bytes together at most.

    ``exclude`` are patterns of what is not signed, and moved to a folder beside.
    """

    path: Annotated[str, _read_checkpoint]
    claim: _Claim | None = None
    max_size: Size | None = None
    exclude: tuple[Annotated[str, _read_pattern], ...] = ()


@dataclass(frozen=True, slots=True)
class Promote:
    """Which files of a checkpoint a promotion takes: those that ``include`` covers, but not ``exclude``.

    Both are patterns. Without ``include`` every file is covered. The policy lists what may be left out.
    """

    include: tuple[Annotated[str, _read_pattern], ...] = ()
    exclude: tuple[Annotated[str, _read_pattern], ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What evaluates, beside the evaluation set: the classifier of toxic answers."""

    classifier: Place


@dataclass(frozen=True, slots=True)
class RegistryTarget:
    """Where a promoted model goes; ``tag`` may hold ``{run}``."""

    push: Annotated[str, _read_registry]
    tag: Annotated[str, _read_tag] | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    """The addresses that a cluster's training pods may reach to read data."""

    cidrs: tuple[Annotated[str, _read_cidr], ...]
    ports: tuple[Annotated[int, _read_port], ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster's controls are rendered from."""

    namespace: _Namespace
    storage: Storage | None = None
    gpu_quota: Annotated[int, at_least(0)] | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline file. Paths in it count from the folder that it lies in, ``project``.

    The ``gates`` blocks are raw, with their places: each gate decodes its own, and it may only
    tighten the policy's.
    """

    name: str
    data: Data
    base: Place
    train: Train
    checkpoint: Checkpoint
    keys: Mapping[str, str]
    evaluation: Evaluation | None
    gates: Mapping[str, Node]
    registry: RegistryTarget | None
    cluster: Cluster | None
    promote: Promote
    project: Path
    file: str

    def resolve(self, path: str) -> Path:
        """A path of the file as one that works from anywhere, links within the project followed.

        The file is not trusted, and nobody named the links.

        Raises:
            Refused: a link on its way leads out of the project.
        """
        named = self.project / path
        real = Path(os.path.realpath(named))
        if real == Path(os.path.normpath(named)):
            return named
        if not real.is_relative_to(self.project):
            raise Refused(
                "must lie in the project's folder: a link on its way leads out of it",
                where=shown(str(named)),
                help="name the place itself and not a link; a key may also be named with --key",
            )
        return real

    def checkpoint_path(self, run: str) -> str:
        """The checkpoint's path for a run, as the file writes it."""
        return fill((self.checkpoint.path,), {"run": run})[0]

    def checkpoint_folder(self, run: str) -> Path:
        """The checkpoint's folder for a run, links left as they are: a run refuses to write behind one."""
        return self.project / self.checkpoint_path(run)

    def key_uri(self, role: str) -> str | None:
        """The URI of a role's key; for a key file the path as `resolve` gives it. Raises as that does."""
        from tuneguard.signing.signer import scheme_of
        from tuneguard.signing.signers import file

        uri = self.keys.get(role)
        if uri is None or scheme_of(uri) not in file.SIGNER.schemes:
            return uri
        return os.fspath(self.resolve(os.fspath(file.path_of(uri))))

    def tag(self, run: str) -> str | None:
        """The registry's tag for a run."""
        template = self.registry.tag if self.registry else None
        return None if template is None else fill((template,), {"run": run})[0]


@dataclass(frozen=True, slots=True)
class _Metadata:
    name: Name


@dataclass(frozen=True, slots=True)
class _File:
    """The file as it is written; `Pipeline` is what it means."""

    api_version: Literal["tuneguard.dev/v1alpha1"]
    kind: Literal["Pipeline"]
    metadata: _Metadata
    data: Data
    base: Place
    train: Train
    checkpoint: Checkpoint
    keys: Mapping[KeyRole, _Uri] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    gates: Mapping[str, Node] = field(default_factory=dict)
    registry: RegistryTarget | None = None
    cluster: Cluster | None = None
    promote: Promote = field(default_factory=Promote)


FILE = _File
"""The shape of the file, for its documentation."""


def load(path: Path) -> Pipeline:
    """The pipeline in a file, or in the file ``tuneguard.yaml`` of a folder.

    Raises:
        UsageError: there is none.
        ConfigurationError: with every fault and its place.
        CannotLook: it cannot be read.
    """
    file = path / PIPELINE if path.is_dir() else path
    try:
        resolved = file.resolve(strict=True)
    except (OSError, RuntimeError):
        raise missing(file, "no pipeline file") from None
    data = read_named(resolved, limits.RECORD_BYTES)
    return parse(data, str(file), resolved.parent)


def parse(data: bytes, file: str, project: Path) -> Pipeline:
    """What the bytes of a pipeline file state.

    Raises:
        ConfigurationError: with every fault and its place.
    """
    node = read_yaml(data, file)
    problems = Problems()
    read = examine(node, _File, problems)
    command = node.get("train", "command")
    if command is not None and command.value == []:
        problems.add(command, "`command` is empty", 'such as [python, "{code}/train.py"]')
    _check_used(node, problems)
    _check_sets(node.get("data", "train"), problems)
    for patterns in (("checkpoint", "exclude"), ("promote", "include"), ("promote", "exclude")):
        _check_number(node.get(*patterns), problems)
    problems.raise_if_any()
    assert read is not None
    return Pipeline(
        name=read.metadata.name,
        data=read.data,
        base=read.base,
        train=read.train,
        checkpoint=read.checkpoint,
        keys={str(role): uri for role, uri in read.keys.items()},
        evaluation=read.evaluation,
        gates=read.gates,
        registry=read.registry,
        cluster=read.cluster,
        promote=read.promote,
        project=project,
        file=file,
    )


def _check_used(node: Node, problems: Problems) -> None:
    """A placeholder whose value the file does not give would be filled with nothing."""
    command = node.get("train", "command")
    for argument in command.items if command else ():
        if not isinstance(argument.value, str):
            continue
        for name in ("config", "scratch"):
            if name in _named(argument.value) and node.get("train", name) is None:
                problems.add(argument, f"uses {{{name}}}, and `train` has no `{name}`", f"add `{name}`")


def _check_number(patterns: Node | None, problems: Problems) -> None:
    if patterns is not None and isinstance(patterns.value, list) and len(patterns.items) > limits.PATTERNS:
        problems.add(patterns, f"lists {len(patterns.items):,} patterns", f"at most {limits.PATTERNS}")


def _check_sets(train: Node | None, problems: Problems) -> None:
    """A list of data sets holds some, and each has a name and a folder of its own."""
    if train is None or not isinstance(train.value, list):
        return
    if not 0 < len(train.items) <= limits.DATA_SETS:
        problems.add(train, f"`train` lists {len(train.items):,} data sets", f"list 1 to {limits.DATA_SETS}")
    for key, what in (("name", "name"), ("path", "folder")):
        given = [each for item in train.items if (each := item.get(key)) and isinstance(each.value, str)]
        known = [os.path.normpath(str(each.value)).casefold() for each in given]
        for at, each in enumerate(given):
            if known[at] in known[:at]:
                problems.add(each, f"a data set before has the {what} `{shown(str(each.value))}` too")


def _named(text: str) -> set[str]:
    return {found[1] for found in _PLACEHOLDER.finditer(text) if found[2]}


# --- Commands and run ids --------------------------------------------------------------------------


def fill(
    command: tuple[str, ...], values: Mapping[str, str], *, python: str | None = None
) -> tuple[str, ...]:
    """A command with its placeholders filled in; what is filled in is not looked at again.

    ``{{`` is a brace; ``}`` is always itself. `python` replaces a first word ``python``. An argument with
    ``{resume}`` is left out where that has no value.

    Raises:
        KeyError: a placeholder has no value: a bug of ours, for the file's were checked.
    """
    filled = tuple(
        _PLACEHOLDER.sub(lambda found: _filled(found, values), part)
        for part in command
        if "resume" in values or "resume" not in _named(part)
    )
    if python is not None and command and command[0] == "python":
        return (python, *filled[1:])
    return filled


def _filled(found: re.Match[str], values: Mapping[str, str]) -> str:
    return "{" if found.group() == "{{" else values[found[1]]


def valid_run_id(text: str) -> str:
    """`text`, if it is a run id: 1 to 63 of ``a-z 0-9 . -``, beginning with a letter or digit.

    Raises:
        UsageError: it is not.
    """
    if not _RUN_ID.fullmatch(text):
        raise UsageError(
            f"`{shown(text)}` is not a run id",
            help="use a-z, 0-9, . and -, beginning with a letter or digit, at most 63; "
            "in YAML write it in quotes, because an unquoted 042 is the number 34",
        )
    return text


def new_run_id(now: datetime) -> str:
    """A run id that nobody has used: the time in UTC and four hex digits.

    >>> from datetime import UTC, datetime
    >>> new_run_id(datetime(2026, 11, 23, 9, 42, 7, tzinfo=UTC))[:16]
    '20261123-094207-'
    """
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
