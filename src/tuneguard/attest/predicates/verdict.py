"""Verdict: a promoter's decision about a tree, for one repository, under one policy.

A SLSA verification summary v1. Only a passed verdict names the OCI manifest as a second subject: tools such
as ``cosign verify`` accept any predicate about a digest, so a refused verdict must never be about one. Both
refused and not-understood are written as FAILED; the reasons distinguish them.

Source: SLSA v1.0, "Verification Summary Attestation".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import field

from tuneguard.attest.predicate import Predicate
from tuneguard.attest.relied import Relied, ReliedOn, in_order
from tuneguard.attest.statement import OnlySha256, Resource, Sha256Set, Statement, TreeSet, only_digest
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.typed import Count, JsonStruct, Sha256, Text, Time, about, check_times

TYPE = "https://slsa.dev/verification_summary/v1"
KIND = "verdict"
PROFILE = "https://tuneguard.dev/profile"
EXTENSION = "https://tuneguard.dev/verdict"
POLICY = "https://tuneguard.dev/policy#"


Profile = Literal["production", "development"]


class PolicyRef(NamedTuple):
    """The policy that was decided under, by name, version and the SHA-256 of its exact bytes."""

    name: str
    version: int
    sha256: str
    profile: Profile


class Verifier(JsonStruct, frozen=True):
    """Who decided, as a URI."""

    id: Text


class PolicyFile(JsonStruct, frozen=True):
    """The policy that was decided under."""

    uri: Text
    digest: Annotated[OnlySha256, about("SHA-256 of the policy's exact bytes.")]


class Input(JsonStruct, frozen=True):
    """A piece of evidence that was used."""

    name: Annotated[Text, about("The evidence file's name.")]
    digest: OnlySha256


class PolicyVersion(JsonStruct, frozen=True):
    """The policy's name and version."""

    name: Text
    version: Count


class Log(JsonStruct, frozen=True):
    """The ledger's size and RFC 6962 root when it was decided."""

    size: Count
    root: Sha256


class Part(JsonStruct, frozen=True):
    """Which part of a run the tree is."""

    path: Annotated[str, about("The folder of the run's output; empty for the output with files left out.")]
    of: Annotated[TreeSet, about("The tree of the whole run, which signature and provenance are about.")]


class Decision(JsonStruct, frozen=True, kw_only=True):
    """What was decided about."""

    model: Text
    run: Text
    attempt: Text
    reasons: Annotated[tuple[str, ...], about("Why it failed, each.")]
    policy: PolicyVersion
    log: Log | None = None
    part: Annotated[Part | None, about("Absent where the tree is the whole output of the run.")] = None
    relied_on: Annotated[
        ReliedOn | None,
        about("All whose evidence counted, those who sealed data, base, evaluation set and classifier too."),
    ] = None


class Verdict(JsonStruct, frozen=True, kw_only=True):
    """SLSA verification summary v1 with two extension fields.

    The statement's subjects are the tree and, only if it passed, the OCI manifest.
    """

    verifier: Verifier
    time: Time = field(name="timeVerified")
    resource_uri: Annotated[Text, about("The model's repository, as the policy has it.")]
    policy: PolicyFile
    inputs: tuple[Input, ...] = field(name="inputAttestations")
    result: Annotated[Literal["PASSED", "FAILED"], about("FAILED for refused and for not-understood.")] = (
        field(name="verificationResult")
    )
    verified_levels: tuple[str, ...]
    slsa_version: str | None = None
    profile: Annotated[Profile, about("The policy's profile.")] = field(name=PROFILE)
    decision: Decision = field(name=EXTENSION)

    def __post_init__(self) -> None:
        check_times(timeVerified=self.time)

    @property
    def passed(self) -> bool:
        """Whether it passed."""
        return self.result == "PASSED"

    @property
    def model(self) -> str:
        """The model."""
        return self.decision.model

    @property
    def run(self) -> str:
        """The run that made the tree."""
        return self.decision.run

    @property
    def relied_on(self) -> tuple[Relied, ...]:
        """All whose evidence counted; empty in what was signed before there was the field."""
        return self.decision.relied_on or ()

    @classmethod
    def of(
        cls,
        *,
        result: Literal["PASSED", "FAILED"],
        resource_uri: str,
        policy: PolicyRef,
        time: str,
        verifier: str,
        inputs: tuple[tuple[str, str], ...] = (),
        relied_on: tuple[Relied, ...] = (),
        reasons: tuple[str, ...] = (),
        **decided: Any,
    ) -> Verdict:
        """A verdict with its `Decision`. ``inputs`` are the evidence used, by file name and SHA-256."""
        return cls(
            verifier=Verifier(verifier),
            time=time,
            resource_uri=resource_uri,
            policy=PolicyFile(POLICY + policy.name, Sha256Set(policy.sha256)),
            inputs=tuple(Input(name, Sha256Set(sha256)) for name, sha256 in inputs),
            result=result,
            verified_levels=("SLSA_BUILD_LEVEL_1",) if result == "PASSED" else ("FAILED",),
            slsa_version="1.0",
            profile=policy.profile,
            decision=Decision(
                reasons=reasons,
                policy=PolicyVersion(policy.name, policy.version),
                relied_on=in_order(relied_on),
                **decided,
            ),
        )


def _check(statement: Statement, body: Verdict, where: str) -> None:
    """The subjects fit the result: a manifest beside the tree only if it passed."""
    manifest = manifest_of(statement)
    if statement.tree is None or len(statement.subjects) != 1 + body.passed or body.passed != bool(manifest):
        raise NotUnderstood(
            "a passed verdict is about a tree and a manifest, any other about a tree alone",
            where=printable(where),
        )


PREDICATE = Predicate(KIND, TYPE, Verdict, _check)


def statement(tree_name: str, digest: str, body: Verdict, manifest: str | None = None) -> Statement:
    """The statement to sign about the tree `digest`; `manifest` is the OCI manifest's ``sha256:…``.

    Raises:
        ValueError: a passed verdict without a manifest, or another one with it. A bug of the caller's.
    """
    if body.passed != (manifest is not None):
        msg = "exactly a passed verdict names the manifest"
        raise ValueError(msg)
    made = PREDICATE.statement(tree_name, digest, body)
    if manifest is None:
        return made
    named = Resource(body.resource_uri, {"sha256": manifest.removeprefix("sha256:")})
    return replace(made, subjects=(*made.subjects, named))


def manifest_of(statement: Statement) -> str | None:
    """The OCI manifest (``sha256:…``) that a verdict names as its second subject, if it names one."""
    found = only_digest(statement.subjects[1], "sha256") if len(statement.subjects) > 1 else None
    return found and f"sha256:{found}"
