"""The question that verification answers, put together from policy and expectation, and its own faults.

Nothing here looks at evidence: a policy that has run out, a model that it does not know or a tree
without a file refuses whatever the evidence states.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.trust.claims import Expectation, Part
    from tuneguard.trust.policy import Identity, Model, Policy, Requirement, Role

ESSENTIAL: Mapping[str, frozenset[str]] = {
    "train": frozenset({"seal"}),
    "resume": frozenset({"provenance"}),
    "promote": frozenset({"provenance", "scan", "evaluation"}),
    "base": frozenset({"verdict", "provenance"}),
    "load": frozenset({"verdict"}),
    "release": frozenset({"release"}),
    "renew": frozenset({"release"}),
}
"""What each purpose demands whatever the policy states: TRUST.md rules 9, 8, 15 with 17 to 20, 21 and 23."""

ATTEMPT_BOUND = frozenset({"scan", "evaluation"})
"""The kinds of which a promotion counts only what names its own open attempt."""

_MADE = ("signature", "provenance")
"""The kinds of evidence that the builder makes of a tree."""

EMPTY_TREE = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The tree digest of no files at all: SHA-256 of nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, by the step that saw it.

    `path` is a file of the tree; without it the fault is about the piece of evidence itself.
    `aside` marks evidence that is about something else than this question, such as a scan for an
    earlier attempt: it does not count, and it is nobody's fault. `tree` is the digest that the
    evidence is about, where that is the fault.
    """

    step: str
    message: str
    path: str | None = None
    why: str | None = None
    fix: str | None = None
    aside: bool = False
    tree: str | None = None


class Stop(Exception):
    """The steps on this piece end here; `fault` is why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True)
class Question:
    """A tree, a policy, and what is expected. `manifest` is None where only the digest is known.

    `parts` are the runs, by tree, of which the tree is a part that the policy allows.
    """

    digest: str
    manifest: Manifest | None
    policy: Policy
    expectation: Expectation
    parts: Mapping[str, Part] = field(default_factory=dict)

    @property
    def integrity_only(self) -> bool:
        """Whether no model is expected, so that nothing but integrity can be asked about."""
        return self.expectation.purpose == "integrity" or self.expectation.model is None

    @property
    def lasting(self) -> bool:
        """Whether it is asked about what was decided before, and not to make anything new on it."""
        return not self.integrity_only and self.expectation.purpose in ("base", "load", "release", "renew")

    @cached_property
    def model(self) -> Model | None:
        """What the policy fixes about the expected model."""
        name = self.expectation.model
        return None if self.integrity_only or name is None else self.policy.models.get(name)

    @cached_property
    def demanded(self) -> tuple[Requirement, ...]:
        """Every requirement of the purpose, the deferred ones too."""
        if self.integrity_only:
            return ()
        if self.expectation.purpose == "resume":
            return tuple(each for each in self.policy.require.get("promote", ()) if each.kind in _MADE)
        if self.expectation.purpose == "base":
            made = (each for each in self.policy.require.get("promote", ()) if each.kind in _MADE)
            lasting = (replace(each, max_age=None) for each in made)
            return (*self.policy.require.get("load", ()), *lasting)
        if self.expectation.purpose == "renew":
            return tuple(replace(each, max_age=None) for each in self.policy.require.get("release", ()))
        return self.policy.require.get(self.expectation.purpose, ())

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """The requirements to be met now."""
        return tuple(each for each in self.demanded if each.kind not in self.expectation.deferred)

    @cached_property
    def kinds(self) -> frozenset[str] | None:
        """The kinds of evidence that matter now; None where every kind does."""
        return None if self.integrity_only else frozenset(each.kind for each in self.requirements)

    def roles_of(self, identity: Identity, kind: str) -> tuple[Role, ...]:
        """The roles in which `identity` may sign `kind` about the expected model (or about any, if none)."""
        model = self.expectation.model
        return tuple(
            role
            for role in self.policy.roles.values()
            if identity.name in role.any_of
            and kind in role.evidence
            and (self.integrity_only or model in role.models)
        )


def check_question(question: Question) -> Iterator[Fault]:
    """The question itself can be answered.

    The policy has not expired, or, for loading and following a tag, its `gracePeriod` has not. The
    policy knows the expected model, and the model's repository is the tree's destination. The policy
    demands evidence for the purpose: at least provenance, a scan and an evaluation for a promotion, a
    verdict for loading, a seal for training, a release for following a tag. The tree holds at least one
    file. This machine's clock is not behind a release that the machine has believed. No evidence
    corrects a fault of this step.

    The model, and the run where one is expected, come from the caller or from the policy by the
    target's repository. The tree, its folder's name and its evidence never supply them.
    """
    policy, expected = question.policy, question.expectation
    if policy.expired(expected.now, loading=expected.purpose in ("load", "release")):
        yield Fault(
            "V01",
            f"the policy {policy.name} ran out on {policy.expires:%Y-%m-%d %H:%M} UTC",
            fix="ask the policy's owner for a new one, signed by the root",
        )
    if question.digest == EMPTY_TREE or (question.manifest is not None and not question.manifest.files):
        yield Fault("V01", "the tree holds no file, so there is nothing to verify")
    released = expected.released
    if released is not None and expected.now + limits.CLOCK_BACK < released.seen:
        yield Fault(
            "V01",
            f"this machine's clock reads {expected.now:%Y-%m-%d %H:%M} UTC, and it has seen a release at "
            f"{released.seen:%Y-%m-%d %H:%M} UTC",
            why="with the clock set back, what has run out would seem to be valid",
            fix="set the clock right",
        )
    if question.integrity_only:
        return
    if question.model is None:
        known = ", ".join(policy.models) or "none"
        yield Fault(
            "V01",
            f"the policy {policy.name} knows no model {printable(str(expected.model))}",
            fix=f"it knows: {known}",
        )
        return
    home = question.model.repository
    if expected.repository not in (None, home):
        yield Fault(
            "V01",
            f"{question.model.name} belongs to {home}, not to {printable(str(expected.repository))}",
            why="a model is believed only in the repository that the policy fixes for it",
        )
    if expected.purpose not in ESSENTIAL:  # for an unknown purpose nothing would be demanded
        yield Fault("V01", f"{printable(expected.purpose)} is not a purpose that anything is verified for")
    demanded = {each.kind for each in question.demanded}
    for kind in sorted(ESSENTIAL.get(expected.purpose, frozenset()) - demanded):
        yield Fault(
            "V01",
            f"the policy demands no {kind} to {expected.purpose}, and without one nothing passes",
            fix="list it in the policy's `require`",
        )
