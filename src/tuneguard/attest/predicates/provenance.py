"""Provenance: what a checkpoint was made from, by whom, how, and behind which walls.

SLSA provenance v1 with a build type of our own, described in ``docs/evidence.md``. What the person chose is
in ``externalParameters``, what the builder saw in ``internalParameters``, everything read in
``resolvedDependencies`` with its role.

Source: SLSA v1.0, "Provenance".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tuneguard.attest import relied
from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import TREE_DIGEST, Resource, Statement, tree_resource
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneguard.attest.relied import Relied

TYPE = "https://slsa.dev/provenance/v1"
KIND = "provenance"
BUILD_TYPE = "https://tuneguard.dev/buildtypes/train/v1"
CLASSES = ("final", "intermediate")
WALL_STATES = ("proven", "weakened", "absent")


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that the run read: ``role`` is data, base, code, config or parent."""

    role: str
    name: str
    version: str | None
    digest: Mapping[str, str]


class Wall(NamedTuple):
    """A wall of the sandbox, its state, and how that was found out."""

    name: str
    state: str
    how: str


class Comparison(NamedTuple):
    """Whether code and configuration were looked through for an evaluation set, and how it came out.

    ``set`` is the set's tree digest. Where ``compared`` is false nothing is claimed, and ``how`` says why.
    """

    set: str
    compared: bool
    how: str


@dataclass(frozen=True)
class Provenance:
    """One training run, as its supervisor saw it. Times are RFC 3339 in UTC, durations seconds.

    ``parent`` and ``parent_tree`` name the run and the tree that this one resumed. ``kind`` is ``final``, or
    ``intermediate`` for a run that was stopped. ``unsafe`` lists the dangerous switches that were used.
    ``relied_on`` names who sealed the base; who vouched for a tree that was resumed, and on whom that relied.
    """

    model: str
    run: str
    kind: str
    command: tuple[str, ...]
    data: tuple[Dependency, ...]
    base: Dependency
    code: Dependency
    config: Dependency
    walls: tuple[Wall | tuple[str, str, str], ...]
    base_scan: Mapping[str, Any]
    started: str
    finished: str
    builder_id: str
    expected_seconds: int
    deadline_seconds: int
    environment: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    parent_tree: str | None = None
    isolation: str = "same-user"
    level: str = "SLSA_BUILD_LEVEL_1"
    unsafe: tuple[str, ...] = ()
    relied_on: tuple[Relied, ...] = ()
    comparison: Comparison | None = None

    def __post_init__(self) -> None:
        if (self.parent is None) != (self.parent_tree is None):
            msg = "a resumed run names both its parent and the parent's tree"
            raise ValueError(msg)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """Everything that the run read, the parent's tree with it."""
        given = (*self.data, self.base, self.code, self.config)
        if self.parent is None or self.parent_tree is None:
            return given
        return (*given, Dependency("parent", self.parent, None, {TREE_DIGEST: self.parent_tree}))


def to_predicate(body: Provenance) -> dict[str, Any]:
    """The predicate's JSON values, as ``docs/schemas/provenance.schema.json`` describes them."""
    external = {
        "model": body.model,
        "run": body.run,
        "class": body.kind,
        "command": list(body.command),
        "expectedSeconds": body.expected_seconds,
        "deadlineSeconds": body.deadline_seconds,
        "unsafe": list(body.unsafe),
    }
    if body.parent is not None:
        external["parent"] = body.parent
    internal: dict[str, Any] = {
        "isolation": body.isolation,
        "level": body.level,
        "walls": [{"name": name, "state": state, "how": how} for name, state, how in body.walls],
        "baseScan": dict(body.base_scan),
        "environment": dict(body.environment),
    }
    if body.comparison is not None:
        internal["evaluationSet"] = {
            "digest": {TREE_DIGEST: body.comparison.set},
            "compared": body.comparison.compared,
            "how": body.comparison.how,
        }
    if body.relied_on:
        internal[relied.FIELD] = relied.to_json(body.relied_on)
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "internalParameters": internal,
            "resolvedDependencies": [_descriptor(dependency).to_json() for dependency in body.dependencies],
        },
        "runDetails": {
            "builder": {"id": body.builder_id},
            "metadata": {
                "invocationId": body.run,
                "startedOn": body.started,
                "finishedOn": body.finished,
            },
        },
    }


def from_predicate(predicate: Mapping[str, Any], where: str) -> Provenance:
    """Read a predicate of our build type. Raises `NotUnderstood`, for any other build type too."""
    fields = Fields.of(predicate, where)
    definition, details = fields.section("buildDefinition"), fields.section("runDetails")
    if definition.text("buildType") != BUILD_TYPE:
        raise definition.wrong("buildType", f"is not {BUILD_TYPE}")
    external, internal = definition.section("externalParameters"), definition.section("internalParameters")
    metadata = details.section("metadata")
    found = [_dependency(entry) for entry in definition.sections("resolvedDependencies")]
    parent = _parent(external.optional_text("parent"), found, where)
    return Provenance(
        model=external.text("model"),
        run=external.text("run"),
        kind=external.one_of("class", CLASSES),
        command=external.texts("command"),
        expected_seconds=external.number("expectedSeconds"),
        deadline_seconds=external.number("deadlineSeconds"),
        unsafe=external.texts("unsafe"),
        data=tuple(dependency for dependency in found if dependency.role == "data"),
        base=_only("base", found, where),
        code=_only("code", found, where),
        config=_only("config", found, where),
        parent=external.optional_text("parent"),
        parent_tree=parent,
        walls=_walls(internal.sections("walls")),
        isolation=internal.text("isolation"),
        level=internal.text("level"),
        base_scan=internal.mapping("baseScan"),
        environment=internal.mapping("environment"),
        relied_on=relied.read(internal),
        comparison=_comparison(internal),
        builder_id=details.section("builder").text("id"),
        started=metadata.time("startedOn"),
        finished=metadata.time("finishedOn"),
    )


def from_statement(statement: Statement, where: str) -> Provenance:
    """Read a statement about one tree."""
    only_tree(statement, where)
    return from_predicate(statement.predicate, where)


def statement(tree_name: str, digest: str, body: Provenance) -> Statement:
    """The statement to sign about the tree `digest`."""
    return Statement((tree_resource(tree_name, digest),), TYPE, to_predicate(body))


def _descriptor(dependency: Dependency) -> Resource:
    annotations = {"role": dependency.role}
    if dependency.version is not None:
        annotations["version"] = dependency.version
    return Resource(dependency.name, dependency.digest, annotations=annotations)


def _dependency(entry: Fields) -> Dependency:
    annotations = entry.section("annotations")
    digests = entry.section("digest")
    if not digests.values:
        raise entry.wrong("digest", "is empty")
    return Dependency(
        role=annotations.text("role"),
        name=entry.text("name"),
        version=annotations.optional_text("version"),
        digest={key: digests.sha256(key) for key in digests.values},
    )


def _only(role: str, found: Sequence[Dependency], where: str) -> Dependency:
    those = [dependency for dependency in found if dependency.role == role]
    if len(those) != 1:
        raise NotUnderstood(
            f"names {len(those)} dependencies of role {role}, not one", where=printable(where)
        )
    return those[0]


def _parent(parent: str | None, found: Sequence[Dependency], where: str) -> str | None:
    """The parent's tree digest: named exactly where a parent run is named, and under its name."""
    if parent is None and not any(dependency.role == "parent" for dependency in found):
        return None
    named = _only("parent", found, where)
    if named.name != parent or set(named.digest) != {TREE_DIGEST}:
        raise NotUnderstood("the parent run and the parent tree do not agree", where=printable(where))
    return named.digest[TREE_DIGEST]


def _comparison(internal: Fields) -> Comparison | None:
    """None where the field is absent, as in what was signed before there was one."""
    if not internal.has("evaluationSet"):
        return None
    found = internal.section("evaluationSet")
    return Comparison(found.section("digest").sha256(TREE_DIGEST), found.flag("compared"), found.text("how"))


def _walls(entries: Sequence[Fields]) -> tuple[Wall, ...]:
    walls: dict[str, Wall] = {}
    for entry in entries:
        wall = Wall(entry.text("name"), entry.one_of("state", WALL_STATES), entry.text("how"))
        if wall.name in walls:
            raise entry.wrong("name", "is listed twice")
        walls[wall.name] = wall
    return tuple(walls.values())


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
