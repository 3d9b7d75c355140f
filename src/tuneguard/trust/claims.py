"""What verification is asked, and what it answers: the expectation, the claims, the requirements met.

Facts only. `verify` makes them; gates, the report and the command line read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

from tuneguard.findings import Verdict
from tuneguard.typed import JsonStruct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneguard.attest.statement import Statement
    from tuneguard.findings import Finding, Skipped
    from tuneguard.trust.policy import Requirement

Body = TypeVar("Body", bound=JsonStruct)
Body_co = TypeVar("Body_co", bound=JsonStruct, covariant=True)

Purpose = Literal["train", "resume", "base", "promote", "load", "release", "renew", "integrity"]
Sealed = Literal["dataset", "evaluation", "base", "classifier"]


@dataclass(frozen=True, slots=True)
class Released:
    """The newest release of a tag that is known here, and the latest moment at which one was believed."""

    sequence: int
    manifest: str
    seen: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """That a tree is a part of a signed run: the run's tree `whole`, and the folder `path` of it.

    The empty path is the run's output itself, with files left out. `file` and `sha256` are of the signature
    whose list of files shows it.
    """

    whole: str
    path: str
    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the caller expects of a tree. It never comes from the tree, its name or its evidence.

    `model` None asks about integrity only, whatever `purpose` states; that never passes.
    `run` is the run that must have made the tree (None: not compared).
    `attempt` is the open promotion attempt: only a scan and an evaluation that name it count.
    `recorded` maps a kind to the SHA-256 of the evidence files that the ledger recorded for the open
    attempt; with it, exactly these count, and a missing one refuses. None: there is no ledger to ask.
    `manifest_digest` is the OCI manifest's digest (``sha256:…``) as derived from the tree.
    `repository` is where the tree is bound for or came from, when that has a name.
    `deferred` names kinds of evidence that this step does not demand yet; a verification with a
    deferred kind is not a decision, and no gate takes it for one.

    For the purpose ``train``: `sealed` is what the tree is to be used as, `data_name` and
    `data_version` the seal that it must bear (None: the version is unpinned).
    For ``release``: `tag` is the tag that must name the manifest, `released` what is known of it here.
    For ``renew``: the same, and a release that ran out counts too.
    For ``base``: the tree is a promoted model, which another run begins from.
    For ``resume``: the tree is an earlier run's output, `run` that run.
    """

    purpose: Purpose
    now: datetime
    model: str | None = None
    run: str | None = None
    attempt: str | None = None
    recorded: Mapping[str, tuple[str, ...]] | None = None
    manifest_digest: str | None = None
    repository: str | None = None
    deferred: frozenset[str] = frozenset()
    sealed: Sealed = "dataset"
    data_name: str | None = None
    data_version: str | None = None
    tag: str | None = None
    released: Released | None = None


@dataclass(frozen=True)
class Claim(Generic[Body_co]):
    """One piece of evidence that counts: a signer, in one of their roles, signed this about the tree.

    `time` is the signer's own date (RFC 3339, UTC): claimed, until a time authority counts.
    `file` and `sha256` are of the evidence file; `body` is what its predicate states.
    """

    kind: str
    role: str
    identity: str
    custodian: str
    time: str | None
    file: str
    sha256: str
    statement: Statement
    body: Body_co

    @property
    def subject(self) -> str | None:
        """The digest of the tree that it is about, where it names one."""
        digests = (resource.digest.get("dirHash") for resource in self.statement.subjects)
        return next((digest for digest in digests if digest is not None), None)


@dataclass(frozen=True)
class Satisfied:
    """A requirement that is met, and every claim that counts towards it (any one of them will do)."""

    requirement: Requirement
    claims: tuple[Claim[JsonStruct], ...]


@dataclass(frozen=True)
class Verification:
    """What verification found out.

    `findings` refuse. `skipped` is evidence that does not count and does not matter: it can neither
    pass nor refuse (so `verdict` ignores it). `unmet` names the kinds whose requirement is not met.
    `parts` are the runs, by tree, of which the tree is a part that the policy allows.
    """

    expectation: Expectation
    digest: str
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    claims: tuple[Claim[JsonStruct], ...]
    satisfied: tuple[Satisfied, ...]
    unmet: frozenset[str] = field(default_factory=frozenset)
    notes: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def integrity_only(self) -> bool:
        """Whether nothing was expected, so that an intact tree is all that is known."""
        return self.expectation.purpose == "integrity" or self.expectation.model is None

    @property
    def verdict(self) -> Verdict:
        """Refused with a finding; integrity only where nothing was expected; else passed."""
        if self.findings or self.unmet:
            return Verdict.REFUSED
        return Verdict.INTEGRITY_ONLY if self.integrity_only else Verdict.PASSED

    @property
    def passed(self) -> bool:
        """Whether every requirement of the purpose, bar the deferred ones, is met."""
        return self.verdict is Verdict.PASSED

    def counting(self, kind: type[Body]) -> tuple[Claim[Body], ...]:
        """The claims of a kind that meet a requirement of the purpose. Any one of them will do."""
        met = (claim for met in self.satisfied for claim in met.claims)
        return tuple(cast("Claim[Body]", claim) for claim in met if isinstance(claim.body, kind))
