"""Provenance: what a checkpoint was made from, by whom, how, and under which isolation controls.

SLSA provenance v1 with a build type of our own, described in ``docs/evidence.md``. What the person chose is
in ``externalParameters``, what the builder saw in ``internalParameters``, everything read in
``resolvedDependencies`` with its role.

Source: SLSA v1.0, "Provenance".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from tuneguard import limits
from tuneguard.attest.predicate import Predicate
from tuneguard.attest.relied import Relied, ReliedOn, in_order
from tuneguard.attest.statement import TREE_DIGEST, TreeSet
from tuneguard.display import counted
from tuneguard.sandbox.state import ControlState
from tuneguard.typed import Count, JsonStruct, Sha256, Text, Time, about, check_times, twice

TYPE = "https://slsa.dev/provenance/v1"
KIND = "provenance"
BUILD_TYPE = "https://tuneguard.dev/buildtypes/train/v2"
OLD_BUILD_TYPE = "https://tuneguard.dev/buildtypes/train/v1"
"""What was signed before ``walls`` became ``controls``: it is read, and not written any more."""
Class = Literal["final", "intermediate"]


class Part(JsonStruct, frozen=True):
    """Which part of a run's output was resumed from."""

    path: Annotated[Text, about("The folder in the run's output.")]
    of: Annotated[TreeSet, about("The tree of the whole run, which its signature and provenance are about.")]


class Git(JsonStruct, frozen=True, kw_only=True):
    """The commit that code is of, as the builder found it. The code's own digest is what counts."""

    repository: Annotated[
        Text | None, about("The address of the remote, without user, password and query.")
    ] = None
    commit: Annotated[
        Annotated[str, Meta(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$", max_length=64)], about("HEAD.")
    ]
    dirty: Annotated[
        bool | None,
        about("Whether a file of the code is not as in the commit. Left out where nobody compared."),
    ] = None
    differing: Annotated[Count | None, about("How many files are not as in the commit.")] = None

    def __str__(self) -> str:
        """For people: ``git 0123456789ab of https://…, clean``."""
        state = {None: "not compared", False: "clean", True: "dirty"}[self.dirty]
        if self.differing:
            state += f": {counted(self.differing, 'file')} not as in the commit"
        return f"git {self.commit[:12]}{f' of {self.repository}' if self.repository else ''}, {state}"


class Annotations(JsonStruct, frozen=True):
    """What a dependency was to the run."""

    role: Annotated[
        Text,
        about("data (any number), base, code, config (one each) or parent (with externalParameters.parent)."),
    ]
    version: Text | None = None
    weight: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        about("Of a data set: its share of the mixture, as the pipeline file has it."),
    ] = None
    verdict: Annotated[
        Sha256 | None,
        about("Of a base that is a promoted model: SHA-256 of its verdict's bundle. The version is its run."),
    ] = None
    part: Annotated[
        Part | None,
        about("Of a parent that is a part of a run's output: which. The dependency's digest is the part's."),
    ] = None
    git: Annotated[Git | None, about("Of code in a git repository: the commit.")] = None


class Dependency(JsonStruct, frozen=True):
    """Something that the run read."""

    name: Text
    digest: Annotated[dict[str, Sha256], Meta(min_length=1)]
    annotations: Annotations

    @classmethod
    def of(
        cls,
        role: str,
        name: str,
        version: str | None,
        digest: dict[str, str],
        *,
        weight: float | None = None,
        verdict: str | None = None,
        part: Part | None = None,
        git: Git | None = None,
    ) -> Dependency:
        """A dependency in its role: data, base, code, config or parent."""
        return cls(name, digest, Annotations(role, version, weight, verdict, part, git))

    @property
    def role(self) -> str:
        """What it was to the run."""
        return self.annotations.role

    @property
    def version(self) -> str | None:
        """Its version, where it has one."""
        return self.annotations.version


class Control(JsonStruct, frozen=True):
    """An isolation control."""

    name: Text
    state: ControlState
    how: Annotated[Text, about("How the state was found out.")]


class Comparison(JsonStruct, frozen=True, kw_only=True):
    """Whether code and configuration were compared with the policy's evaluation set, and how it came out."""

    digest: Annotated[TreeSet, about("The policy's evaluation set when the run began.")]
    compared: Annotated[
        bool,
        about(
            "Whether code and configuration were looked through for its files and rows. false claims nothing."
        ),
    ]
    how: Annotated[Text, about("What was looked through, or why nothing was.")]


class Change(JsonStruct, frozen=True, kw_only=True):
    """What was done to one entry of the output before it was hashed."""

    path: Annotated[Text, about("Below the output's root, what cannot be shown escaped.")]
    done: Annotated[Text, about("As in counts.")]
    why: Annotated[Text | None, about("What a link says, and why it was dropped.")] = None
    size: Annotated[Count | None, about("Bytes of an excluded file, or that a copy added.")] = None


class Output(JsonStruct, frozen=True, kw_only=True):
    """How the output was put in order before it was hashed."""

    counts: Annotated[
        dict[Text, Count],
        about(
            "How often each was done: link-copied, link-dropped, empty-folder-dropped, special-file-dropped, "
            "hard-link-split, file-excluded."
        ),
    ]
    changes: Annotated[
        tuple[Change, ...],
        Meta(max_length=limits.OUTPUT_CHANGES),
        about("Excluded files first, the largest first; then all by path. As many as are named one by one."),
    ]


class Ended(JsonStruct, frozen=True, kw_only=True):
    """How a training ended that did not end well."""

    exit_code: Annotated[int | None, about("Absent where a signal ended it.")] = None
    signal: Annotated[Count | None, about("The signal that ended it.")] = None
    stopped: Annotated[Text | None, about("Who ended it from outside: deadline or interrupt.")] = None
    note: Annotated[Text | None, about("What explains it: out of memory, for one.")] = None


class Segment(JsonStruct, frozen=True, kw_only=True):
    """A part of a training that was ended from outside, before the training went on."""

    seconds: Annotated[int, Meta(ge=0)]
    signal: Count
    resumed: Annotated[Text | None, about("The folder of the output from which the next one went on.")] = None


class Resources(JsonStruct, frozen=True, kw_only=True):
    """What the pipeline file asked of the machine. What it does not name was not bounded by it."""

    cpu: Annotated[float, Meta(gt=0)] | None = None
    memory: Annotated[Count | None, about("Bytes.")] = None
    gpu: Count | None = None


class Chosen(JsonStruct, frozen=True, kw_only=True):
    """What the person chose."""

    model: Text
    run: Text
    kind: Annotated[Class, about("intermediate: of a run that was stopped or failed; never promoted.")] = (
        field(name="class")
    )
    command: Annotated[tuple[str, ...], about("As the pipeline file has it, placeholders unfilled.")]
    env: Annotated[dict[Text, str], about("What the pipeline file set in the training's environment.")] = (
        field(default_factory=dict)
    )
    metrics: Annotated[
        bool, about("Whether the training could say numbers while it ran. Left out where it could not.")
    ] = False
    resources: Resources | None = None
    expected_seconds: Count
    deadline_seconds: Count
    unsafe: Annotated[tuple[str, ...], about("Every --unsafe switch that was used.")]
    parent: Annotated[
        Text | None, about("The run that this one resumed; its tree is the dependency of role parent.")
    ] = None


class Device(JsonStruct, frozen=True, kw_only=True):
    """A GPU that the run was shown."""

    uuid: Annotated[Text, about("As CUDA_VISIBLE_DEVICES named it.")]
    model: Text | None = None
    kind: Annotated[Literal["whole", "mig"], about("Whether it is a GPU or a part of one.")]


class Devices(JsonStruct, frozen=True, kw_only=True):
    """The GPUs that the run was shown, and the driver below them. CUDA's own packages are distributions."""

    shown: Annotated[tuple[Device, ...], Meta(min_length=1)]
    by: Annotated[Text, about("What said what belongs to them: a CDI specification, or the device nodes.")]
    specifications: Annotated[dict[Text, Sha256], about("The CDI files by path, with their digests.")] = (
        field(default_factory=dict)
    )
    driver: Annotated[Text | None, about("The version of the kernel's driver.")] = None
    libraries: Annotated[
        dict[Text, Text], about("The driver's libraries that the loader finds, by name, with their versions.")
    ] = field(default_factory=dict)
    left_out: Annotated[
        tuple[Text, ...], about("What a CDI specification names and the run was not given, hooks for one.")
    ] = ()


class Observed(JsonStruct, frozen=True, kw_only=True):
    """What the builder saw."""

    isolation: Annotated[Text, about("same-user: builder and training are the same user on one machine.")]
    level: Annotated[Text, about("The SLSA build level that is claimed at most.")]
    controls: tuple[Control, ...]
    base_scan: Annotated[
        dict[str, Any], about("The run's own scan of the base model before anything opened it.")
    ]
    comparison: Comparison | None = field(name="evaluationSet", default=None)
    processors: Annotated[Text | None, about("What kept the run to externalParameters.resources.cpu.")] = None
    devices: Devices | None = None
    environment: Annotated[
        dict[str, Any],
        about(
            "Interpreter, installed distributions by the digest of their RECORD, start-up files, platform."
        ),
    ]
    ended: Annotated[Ended | None, about("Of class intermediate. Absent in older evidence.")] = None
    output: Annotated[Output | None, about("Absent where the output was hashed as the training left it.")] = (
        None
    )
    segments: Annotated[
        tuple[Segment, ...], about("Those before the last. Left out where the training was never ended.")
    ] = ()
    relied_on: Annotated[
        ReliedOn | None,
        about(
            "Who sealed the base; of a resumed run, who vouched for the tree that it resumed, "
            "and all on whom that run relied."
        ),
    ] = None

    def __post_init__(self) -> None:
        if twice([control.name for control in self.controls]):
            raise ValueError("an isolation control is listed twice")


class OldObserved(Observed, frozen=True, kw_only=True):
    """What the builder saw, as `OLD_BUILD_TYPE` has it."""

    controls: tuple[Control, ...] = field(name="walls")


class Definition(JsonStruct, frozen=True, kw_only=True, tag_field="buildType", tag=BUILD_TYPE):
    """What was built, and from what."""

    chosen: Chosen = field(name="externalParameters")
    observed: Observed = field(name="internalParameters")
    dependencies: Annotated[tuple[Dependency, ...], about("Everything that the run read.")] = field(
        name="resolvedDependencies"
    )

    def __post_init__(self) -> None:
        for role in ("base", "code", "config"):
            self.only(role)
        if self.chosen.parent is not None or self.of_role("parent"):
            parent = self.only("parent")
            if parent.name != self.chosen.parent or set(parent.digest) != {TREE_DIGEST}:
                raise ValueError("the parent run and the parent tree do not agree")

    def of_role(self, role: str) -> tuple[Dependency, ...]:
        """All dependencies of a role."""
        return tuple(dependency for dependency in self.dependencies if dependency.role == role)

    def only(self, role: str) -> Dependency:
        """The dependency of a role that has one."""
        those = self.of_role(role)
        if len(those) != 1:
            raise ValueError(f"names {len(those)} dependencies of role {role}, not one")
        return those[0]


class OldDefinition(Definition, frozen=True, kw_only=True, tag=OLD_BUILD_TYPE):
    """What was built, and from what, as `OLD_BUILD_TYPE` has it."""

    observed: OldObserved = field(name="internalParameters")


class Builder(JsonStruct, frozen=True):
    """Who built it, as a URI."""

    id: Text


class Metadata(JsonStruct, frozen=True):
    """Which run, and when."""

    run: Annotated[Text, about("The run id.")] = field(name="invocationId")
    started: Time = field(name="startedOn")
    finished: Time = field(name="finishedOn")

    def __post_init__(self) -> None:
        check_times(startedOn=self.started, finishedOn=self.finished)


class Details(JsonStruct, frozen=True):
    """Who ran it, and when."""

    builder: Builder
    metadata: Metadata


class Provenance(JsonStruct, frozen=True):
    """SLSA provenance v1 with a build type of ours. The statement's one subject is the checkpoint's tree."""

    definition: Definition | OldDefinition = field(name="buildDefinition")
    details: Details = field(name="runDetails")

    @classmethod
    def of(
        cls,
        *,
        dependencies: tuple[Dependency, ...],
        started: str,
        finished: str,
        builder: str,
        level: str,
        controls: tuple[Control, ...],
        base_scan: dict[str, Any],
        environment: dict[str, Any],
        relied_on: tuple[Relied, ...] = (),
        comparison: Comparison | None = None,
        output: Output | None = None,
        ended: Ended | None = None,
        segments: tuple[Segment, ...] = (),
        processors: str | None = None,
        devices: Devices | None = None,
        **chosen: Any,
    ) -> Provenance:
        """The provenance of a run with what was `Chosen` for it. The parent is one of its dependencies."""
        parent = next((each.name for each in dependencies if each.role == "parent"), None)
        observed = Observed(
            isolation="same-user",
            level=level,
            controls=controls,
            base_scan=base_scan,
            environment=environment,
            relied_on=in_order(relied_on),
            comparison=comparison,
            output=output,
            ended=ended,
            segments=segments,
            processors=processors,
            devices=devices,
        )
        definition = Definition(
            chosen=Chosen(parent=parent, **chosen),
            observed=observed,
            dependencies=dependencies,
        )
        return cls(definition, Details(Builder(builder), Metadata(chosen["run"], started, finished)))

    @property
    def chosen(self) -> Chosen:
        """What the person chose."""
        return self.definition.chosen

    @property
    def observed(self) -> Observed:
        """What the builder saw."""
        return self.definition.observed

    @property
    def model(self) -> str:
        """The model."""
        return self.chosen.model

    @property
    def run(self) -> str:
        """The run."""
        return self.chosen.run

    @property
    def relied_on(self) -> tuple[Relied, ...]:
        """Who sealed the base, and who vouched for what was resumed."""
        return self.observed.relied_on or ()

    @property
    def data(self) -> tuple[Dependency, ...]:
        """The data."""
        return self.definition.of_role("data")

    @property
    def base(self) -> Dependency:
        """The base model."""
        return self.definition.only("base")

    @property
    def code(self) -> Dependency:
        """The code."""
        return self.definition.only("code")

    @property
    def config(self) -> Dependency:
        """The configuration."""
        return self.definition.only("config")


PREDICATE = Predicate(KIND, TYPE, Provenance)
