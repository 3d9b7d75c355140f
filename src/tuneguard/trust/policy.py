"""Whom we believe about what: the signed policy, as values.

`load_signed` verifies the root's signature over the policy's exact bytes and only then parses those
very bytes, once (TRUST.md rule 1). `parse_policy` reads them strictly: unknown keys, missing keys,
wrong values and names that nothing defines are all reported together, with their places. Empty
means no: an identity in no role, a model with no base, a role with no models believe nobody.

The ``gates`` blocks, of all models and of one, stay raw, with their places: each gate decodes its own. What a
policy would refuse that its author may not expect, and its content in plain words, is `trust.review`'s.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping  # noqa: TC003 (decode reads these annotations)
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

from tuneguard import paste
from tuneguard.artifact.pattern import Patterns, fault_of_pattern
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.fields import (
    Count,
    Digest,
    Duration,
    Either,
    Instant,
    Name,
    Or,
    Wrong,
    examine,
    one_of,
    read_duration,
    read_text,
    read_texts,
)
from tuneguard.files import printable
from tuneguard.nodes import Node, Problems, shown
from tuneguard.records import read_yaml
from tuneguard.sandbox.state import ControlState
from tuneguard.sandbox.variables import Variables  # noqa: TC001 (decode reads these annotations)
from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.signing.key import PublicKey
from tuneguard.trust import references

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.signing.signer import Signer

POLICY_PAYLOAD_TYPE = "application/vnd.tuneguard.policy.v1+yaml"
"""The payload type of the root's signature, so that no other signature of its key passes for one."""

API_VERSION: Literal["tuneguard.dev/v1alpha2"] = "tuneguard.dev/v1alpha2"
OLD_API_VERSIONS = ("tuneguard.dev/v1alpha1",)
"""What `trust.migrate` reads, and nothing else does."""

ROLES = ("data-steward", "builder", "scanner", "evaluator", "approver", "promoter")
KINDS = ("seal", "signature", "provenance", "scan", "evaluation", "approval", "verdict", "release")
PURPOSES = ("train", "promote", "load", "release")

RoleName = Literal["data-steward", "builder", "scanner", "evaluator", "approver", "promoter"]
Kind = Literal["seal", "signature", "provenance", "scan", "evaluation", "approval", "verdict", "release"]
ControlName = Literal["network", "filesystem", "pid", "memory", "processes", "deadline", "devices"]

_REPOSITORY = re.compile(
    r"[a-z0-9]([a-z0-9.-]{0,253}[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+"
)


# --- What a policy states ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Revocation:
    """Since when a key is not believed, and why.

    The reasons of `RETIRED` mean that the key was given up in good order, and end it as ``valid_until`` does.
    Every other reason means that somebody else may hold it: nothing that it ever signed counts, whatever its
    date.
    """

    at: Instant
    reason: str


RETIRED = ("retired", "superseded")
"""The reasons of a revocation that do not doubt what the key signed before."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A key, who keeps it, and when it is believed. One custodian's two keys count once.

    ``form`` is what the key signs: ``dsse``, typed envelopes, or ``blob``, raw bytes as ``cosign sign-blob``
    does.
    """

    name: str
    key: PublicKey
    custodian: str
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    revoked: Revocation | None = None
    form: str = "dsse"

    @property
    def compromised(self) -> bool:
        """Whether the key is revoked because somebody else may hold it."""
        return self.revoked is not None and self.revoked.reason not in RETIRED

    @property
    def ends(self) -> datetime | None:
        """When it stops making evidence that counts: ``valid_until``, or the day on which it was retired."""
        retired = None if self.revoked is None or self.compromised else self.revoked.at
        return min((each for each in (self.valid_until, retired) if each is not None), default=None)

    def counts(self, now: datetime | None) -> bool:
        """Whether it makes evidence that counts at `now` or later; None: at some time."""
        return not self.compromised and (now is None or self.ends is None or now < self.ends)


@dataclass(frozen=True, slots=True)
class Role:
    """The identities of a role, how many must agree, which evidence they may sign, about which models."""

    name: str
    any_of: tuple[str, ...]
    threshold: int
    evidence: frozenset[str]
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SealedBy:
    """Any version of a tree that one of the stewards sealed under a name."""

    name: Name
    stewards: tuple[Name, ...] = field(metadata={"key": "steward"})

    def covers(self, identity: str, name: str) -> bool:
        """Whether a seal by `identity` under `name` is such a version."""
        return name == self.name and identity in self.stewards


@dataclass(frozen=True, slots=True)
class Promoted:
    """Any promoted model of ours of a name: its verdict counts for loading, and the provenance behind it."""

    model: Name = field(metadata={"key": "promoted"})


def described(listed: str | SealedBy | Promoted) -> str:
    """What a policy lists, for people: a digest, whose seal under which name, or which promoted model."""
    if isinstance(listed, str):
        return listed
    if isinstance(listed, Promoted):
        return f"a promoted {listed.model}"
    return f"{listed.name} as sealed by {' or '.join(listed.stewards) or 'nobody'}"


def _digest_or_seal(node: Node) -> object:
    return SealedBy if isinstance(node.value, dict) else Digest


def _a_base(node: Node) -> object:
    return Promoted if "promoted" in node.mapping else _digest_or_seal(node)


@dataclass(frozen=True, slots=True)
class EvaluationRule:
    """What a model is measured with: the set, by tree digest or by steward, the classifier, suites."""

    set: Annotated[Digest | SealedBy, Either(_digest_or_seal)]
    classifier: Digest
    suites: Mapping[Name, Count]
    minimum_rows: Count


def _read_pattern(node: Node) -> str:
    text = read_text(node)
    fault = fault_of_pattern(text)
    if fault is not None:
        raise Wrong(f"is no pattern: `{shown(text)}` {fault}", "such as checkpoint-*, or README.md")
    return text


def _read_subset_path(node: Node) -> str:
    """A pattern of folders, or ``.`` for the run's output itself."""
    return "." if node.value == "." else _read_pattern(node)


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of a run's output that may be promoted: a folder, with what may be left out of it."""

    path: Annotated[str, _read_subset_path]
    exclude: tuple[Annotated[str, _read_pattern], ...] = ()

    def allows(self, path: str) -> bool:
        """Whether the folder `path` is one; the empty path is the output itself."""
        return self.path == "." if not path else self.path != "." and Patterns([self.path]).cover(path)


@dataclass(frozen=True, slots=True)
class Model:
    """All that the policy fixes about a model. ``code`` and ``config``: None is any digest.

    ``command`` is the training's command as the pipeline file has it, placeholders unfilled; None is any.
    Code alone fixes nothing: a free command runs what it likes beside it. ``env`` is all that the pipeline
    file may set in the training's environment; None is anything. ``gates`` tighten the policy's. ``metrics``:
    a training may say how far it is, while it runs. ``subsets`` are parts of a run that may be promoted
    beside the whole of it.
    """

    name: str
    repository: str
    builders: tuple[str, ...] = ()
    data: tuple[SealedBy, ...] = ()
    bases: tuple[str | SealedBy | Promoted, ...] = ()
    code: tuple[str, ...] | None = None
    config: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] | None = field(default_factory=dict)
    evaluation: EvaluationRule | None = None
    gates: Mapping[str, Node] = field(default_factory=dict)
    metrics: bool = True
    subsets: tuple[Subset, ...] = ()

    @property
    def fixed(self) -> bool:
        """Whether the policy fixes all that a run does with its data: code, config, command and env."""
        return None not in (self.code, self.config, self.command, self.env)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A kind of evidence that is demanded, the roles of which one must give it, and its age at most."""

    kind: str
    roles: tuple[str, ...]
    max_age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. It is believed only as `load_signed` returns it.

    ``controls`` is ``"all"`` (every isolation control proven) or the least state of each isolation control
    that it names; an isolation control that it does not name must be proven. ``sha256`` is of the file's
    bytes.

    From ``expires`` on nobody makes new evidence under it. Loading goes on for its ``grace``, if it has one.
    """

    name: str
    version: int
    expires: datetime
    profile: Literal["production", "development"]
    identities: Mapping[str, Identity]
    roles: Mapping[str, Role]
    separation_of_duties: tuple[tuple[str, str], ...]
    log: PublicKey | None
    models: Mapping[str, Model]
    require: Mapping[str, tuple[Requirement, ...]]
    controls: Mapping[str, ControlState] | Literal["all"]
    gates: Mapping[str, Node]
    sha256: str
    file: str
    warn_from: datetime | None = None
    grace: timedelta = timedelta(0)

    def expired(self, now: datetime, *, loading: bool = False) -> bool:
        """Whether its time is over at `now`: for `loading`, its grace too."""
        return now >= self.expires and not (loading and now - self.expires < self.grace)

    @property
    def development(self) -> bool:
        """Whether this policy is not for production, which every output then states."""
        return self.profile == "development"

    def model_for(self, repository: str) -> Model | None:
        """The model that lives in `repository`, or None where that is no model or several."""
        found = [model for model in self.models.values() if model.repository == repository]
        return found[0] if len(found) == 1 else None

    def control(self, name: str) -> ControlState:
        """The least state of an isolation control that this policy accepts."""
        return ControlState.PROVEN if self.controls == "all" else self.controls.get(name, ControlState.PROVEN)

    def signs_blobs(self, key: PublicKey) -> bool | None:
        """Whether a key is marked for raw blobs; None where the policy does not name it.

        A signature over raw bytes and one over a typed envelope are made alike, so one key makes only
        one of the two (TRUST.md rule 5): else a blob could be chosen that reads as an envelope.
        """
        found = [each.form == "blob" for each in self.identities.values() if each.key == key]
        return found[0] if found else None

    @property
    def release_lifetime(self) -> timedelta:
        """How long a release pointer is believed from its issue, whatever its own date."""
        ages = [each.max_age for each in self.require["release"] if each.max_age is not None]
        return min(ages, default=RELEASE_LIFETIME)

    def by_keyid(self) -> Mapping[str, Identity]:
        """Every identity by its key's id (`PublicKey.keyid`). One key is one identity."""
        return {each.key.keyid: each for each in self.identities.values()}

    @property
    def compromised(self) -> bool:
        """Whether any identity is revoked because somebody else may hold its key."""
        return any(each.compromised for each in self.identities.values())

    def custodians(self, role: str, now: datetime | None = None) -> frozenset[str]:
        """The custodians of a key that counts in `role` at `now`, or at some time."""
        names = self.roles[role].any_of if role in self.roles else ()
        return frozenset(each.custodian for name in names if (each := self.identities[name]).counts(now))


# --- Reading it ------------------------------------------------------------------------------------


def _read_key(node: Node) -> PublicKey:
    if not isinstance(node.value, str):
        raise Wrong(f"must be a public key in base64, found {node.kind}")
    try:
        return PublicKey.from_base64(node.value)
    except (NotUnderstood, UsageError) as error:
        raise Wrong(f"is wrong: {error.what}", error.help) from error


def _read_repository(node: Node) -> str:
    if not isinstance(node.value, str) or not _REPOSITORY.fullmatch(node.value):
        found = f"`{shown(node.value)}`" if isinstance(node.value, str) else node.kind
        raise Wrong(
            f"must be HOST/PATH, found {found}",
            "in lower case, without scheme, tag or digest, such as registry.internal/models/support-llama",
        )
    return node.value


def _read_pair(node: Node) -> tuple[str, str]:
    roles = read_texts(node)
    if len(roles) != 2 or roles[0] == roles[1]:
        raise Wrong(f"must be a pair of two roles, found {len(roles)}", "such as [builder, promoter]")
    return roles[0], roles[1]


def _read_requirement(node: Node) -> Requirement:
    """``{seal: data-steward, maxAge: 90d}`` or ``{scan: [scanner, promoter]}``."""
    given = [key for key in node.mapping if key != "maxAge"]
    if len(given) != 1:
        raise Wrong(f"must name one kind of evidence, found {len(given)}", "such as {signature: builder}")
    kind = one_of(node.key(given[0]), KINDS)
    named = node.mapping[kind]
    roles = (named,) if isinstance(named.value, str) else tuple(named.items)
    if not roles:
        raise Wrong(
            "must name a role, or a list of which one is enough", "such as {signature: builder}", named
        )
    age = node.get("maxAge")
    names = tuple(one_of(role, ROLES) for role in roles)
    return Requirement(kind, names, None if age is None else read_duration(age))


_KEY = Annotated[PublicKey, _read_key]
_Digests = Annotated[tuple[Digest, ...] | None, Or("any")]
_Command = Annotated[tuple[Annotated[str, read_text], ...] | None, Or("any")]
_Requirements = tuple[Annotated[Requirement, _read_requirement], ...]

RELEASE_LIFETIME = timedelta(days=30)
"""How long a release pointer is believed where the policy sets no `maxAge` for it."""

DEFAULT_REQUIRE: Mapping[str, tuple[Requirement, ...]] = MappingProxyType(
    {
        "train": (Requirement("seal", ("data-steward",), timedelta(days=90)),),
        "promote": (
            Requirement("signature", ("builder",)),
            Requirement("provenance", ("builder",)),
            Requirement("scan", ("scanner", "promoter"), timedelta(days=1)),
            Requirement("evaluation", ("evaluator", "promoter"), timedelta(days=7)),
        ),
        "load": (Requirement("verdict", ("promoter",)),),
        "release": (Requirement("release", ("promoter",), RELEASE_LIFETIME),),
    }
)
"""What is demanded where a policy states nothing about a purpose."""


@dataclass(frozen=True, slots=True)
class _Metadata:
    name: Name
    version: Count
    expires: Instant
    warn_from: Instant | None = None
    grace_period: Duration = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Identity:
    key: _KEY
    custodian: Name
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    revoked: Revocation | None = None
    form: Literal["dsse", "blob"] = field(default="dsse", metadata={"key": "format"})


@dataclass(frozen=True, slots=True)
class _Role:
    any_of: tuple[Name, ...]
    evidence: frozenset[Kind]
    models: tuple[Name, ...]
    threshold: Count = 1


@dataclass(frozen=True, slots=True)
class _Log:
    key: _KEY


@dataclass(frozen=True, slots=True)
class _Model:
    repository: Annotated[str, _read_repository]
    builder: tuple[Name, ...] = ()
    data: tuple[SealedBy, ...] = ()
    base: tuple[Annotated[Digest | SealedBy | Promoted, Either(_a_base)], ...] = ()
    code: _Digests = None
    config: _Digests = None
    command: _Command = None
    env: Annotated[Variables | None, Or("any")] = field(default_factory=dict)
    evaluation: EvaluationRule | None = None
    gates: Mapping[str, Node] = field(default_factory=dict)
    metrics: bool = True
    subsets: tuple[Subset, ...] = ()


@dataclass(frozen=True, slots=True)
class _Require:
    train: _Requirements = DEFAULT_REQUIRE["train"]
    promote: _Requirements = DEFAULT_REQUIRE["promote"]
    load: _Requirements = DEFAULT_REQUIRE["load"]
    release: _Requirements = DEFAULT_REQUIRE["release"]


@dataclass(frozen=True, slots=True)
class _File:
    """The file as it is written; `Policy` is what it means."""

    api_version: Literal["tuneguard.dev/v1alpha2"]
    kind: Literal["Policy"]
    metadata: _Metadata
    profile: Literal["production", "development"]
    identities: Mapping[Name, _Identity]
    roles: Mapping[RoleName, _Role]
    models: Mapping[Name, _Model]
    separation_of_duties: tuple[Annotated[tuple[str, str], _read_pair], ...] = ()
    log: _Log | None = None
    time_authorities: tuple[Node, ...] = ()
    require: _Require = field(default_factory=_Require)
    controls: Annotated[Mapping[ControlName, ControlState] | None, Or("all")] = None
    gates: Mapping[str, Node] = field(default_factory=dict)


FILE = _File
"""The shape of the file, for its documentation."""


def parse_policy(data: bytes, file: str) -> Policy:
    """What the bytes of a policy state. Nobody has vouched for them here; see `load_signed`.

    Raises:
        ConfigurationError: with every fault and its place.
    """
    node = read_yaml(data, file)
    problems = Problems()
    version = node.get("apiVersion")
    if version is not None and version.value in OLD_API_VERSIONS:
        help = paste.after("print it as one of today for the root to sign", "policy", "migrate", Path(file))
        problems.add(version, f"a policy of {version.value} is not read any more", help)
        problems.raise_if_any()
    read = examine(node, _File, problems)
    references.check(node, problems)
    problems.raise_if_any()
    assert read is not None
    return _meaning(read, hashlib.sha256(data).hexdigest(), file)


def _meaning(read: _File, sha256: str, file: str) -> Policy:
    pairs = dict.fromkeys((*read.separation_of_duties, ("builder", "promoter")))
    if ("promoter", "builder") in pairs:
        del pairs["builder", "promoter"]
    return Policy(
        name=read.metadata.name,
        version=read.metadata.version,
        expires=read.metadata.expires,
        profile=read.profile,
        identities=MappingProxyType(
            {
                name: Identity(
                    name, each.key, each.custodian, each.valid_from, each.valid_until, each.revoked, each.form
                )
                for name, each in read.identities.items()
            }
        ),
        roles=MappingProxyType(
            {
                name: Role(name, each.any_of, each.threshold, frozenset(each.evidence), each.models)
                for name, each in read.roles.items()
            }
        ),
        separation_of_duties=tuple(pairs),
        log=read.log.key if read.log else None,
        models=MappingProxyType(
            {
                name: Model(
                    name,
                    each.repository,
                    each.builder,
                    each.data,
                    each.base,
                    each.code,
                    each.config,
                    each.command,
                    each.env,
                    each.evaluation,
                    each.gates,
                    each.metrics,
                    each.subsets,
                )
                for name, each in read.models.items()
            }
        ),
        require=MappingProxyType(
            {
                "train": read.require.train,
                "promote": read.require.promote,
                "load": read.require.load,
                "release": read.require.release,
            }
        ),
        controls="all"
        if read.controls is None
        else MappingProxyType({str(control): least for control, least in read.controls.items()}),
        gates=read.gates,
        sha256=sha256,
        file=file,
        warn_from=read.metadata.warn_from,
        grace=read.metadata.grace_period,
    )


# --- The root's signature --------------------------------------------------------------------------


def load_signed(
    data: bytes,
    bundle: bytes,
    roots: Sequence[PublicKey],
    *,
    now: datetime,
    file: str,
    loading: bool = False,
) -> Policy:
    """A policy, after one of the `roots` was found to have signed exactly these bytes.

    Nothing of `data` is parsed before that, and the signed bytes are parsed once. The keys in
    `roots` come from outside the project (`trust.root`); what the bundle states about its key chooses
    nothing. Past its `expires`, a policy is believed for `loading` alone, and only in its grace. The caller
    still owes: a `now` that is the present, and the bytes of one reading.

    Raises:
        Refused: no root, another payload type, not signed by a root, other bytes, or expired.
        NotUnderstood: the bundle is not one.
        ConfigurationError: the root signed a policy that is wrong.
    """
    policy = parse_policy(verified(data, bundle, roots, file=file), file)
    if policy.expired(now, loading=loading):
        raise Refused(
            f"expired on {policy.expires:%Y-%m-%dT%H:%M:%SZ}",
            where=printable(file),
            help="its owner must raise version and expires, and sign it again",
        )
    return policy


def verified(data: bytes, bundle: bytes, roots: Sequence[PublicKey], *, file: str) -> bytes:
    """The bytes of a policy, after one of the `roots` was found to have signed exactly them.

    Nothing of them is parsed, and whether the policy is of today or has expired is not asked.

    Raises:
        Refused: no root, another payload type, not signed by a root, or other bytes.
        NotUnderstood: the bundle is not one.
    """
    place = printable(file)
    known = ", ".join(root.keyid[:12] for root in roots)
    if not roots:
        raise Refused("no root key is given, so nobody is believed", where=place)
    try:
        envelope = read_bundle(bundle, f"{place}.sigstore.json")
    except NotUnderstood as error:
        [problem] = error.problems
        raise NotUnderstood(
            problem.what,
            where=problem.where,
            help=problem.help or "restore it, or have the root sign the policy again: tuneguard policy sign",
        ) from error
    if envelope.payload_type != POLICY_PAYLOAD_TYPE:
        raise Refused(
            f"its signature is over a `{shown(envelope.payload_type)}`, not over a policy",
            where=place,
            help="sign it as a policy: tuneguard policy sign",
        )
    if not any(envelope.signed_by(root) for root in roots):
        raise Refused(
            "is not signed by the root that this machine believes",
            where=place,
            help=f"the root here is {known}: get the policy from its owner",
        )
    if envelope.payload != data:
        raise Refused(
            "is not the policy that the root signed: its bytes were changed afterwards",
            where=place,
            help="restore it, or have the root sign it again: tuneguard policy sign",
        )
    return envelope.payload


def sign_policy(data: bytes, signer: Signer, *, file: str = "policy.yaml") -> bytes:
    """The bundle to keep beside a policy as ``policy.yaml.sigstore.json``.

    The policy is read first: a root that signs what nobody can read locks everybody out.

    Raises:
        ConfigurationError: the policy is wrong.
        CannotLook: the signer failed.
    """
    parse_policy(data, file)
    return make_bundle(signer, POLICY_PAYLOAD_TYPE, data)
