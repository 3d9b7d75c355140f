"""Verdict: a promoter's decision about a tree, for one repository, under one policy.

A SLSA verification summary v1. Only a passed verdict names the OCI manifest as a second subject: tools such
as ``cosign verify`` accept any predicate about a digest, so a refused verdict must never speak of one. Both
refused and not-understood are written as FAILED; the reasons tell them apart.

Source: SLSA v1.0, "Verification Summary Attestation".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.attest import relied
from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate
from tuneguard.attest.statement import Resource, Statement, only_digest, tree_resource
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneguard.attest.relied import Relied

TYPE = "https://slsa.dev/verification_summary/v1"
KIND = "verdict"
PROFILE = "https://tuneguard.dev/profile"
EXTENSION = "https://tuneguard.dev/verdict"
POLICY = "https://tuneguard.dev/policy#"
PROFILES = ("production", "development")
RESULTS = ("PASSED", "FAILED")


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """The policy that was decided under, by name, version and the SHA-256 of its exact bytes."""

    name: str
    version: int
    sha256: str
    profile: str


@dataclass(frozen=True, slots=True)
class Log:
    """The ledger's state when it was decided: entries and RFC 6962 root in hex."""

    size: int
    root: str


@dataclass(frozen=True)
class Verdict:
    """One decision. ``verifier`` is a URI; ``inputs`` are the evidence used, by file name and SHA-256.

    ``relied_on`` names all whose evidence counted, those who sealed the data too. It is empty in verdicts
    that were signed before there was this field.
    """

    result: str
    model: str
    run: str
    attempt: str
    resource_uri: str
    policy: PolicyRef
    time: str
    verifier: str
    log: Log | None = None
    reasons: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    relied_on: tuple[Relied, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it says yes."""
        return self.result == "PASSED"


def to_predicate(body: Verdict) -> dict[str, Any]:
    """The predicate's JSON values, as ``docs/schemas/verdict.schema.json`` describes them."""
    extension: dict[str, Any] = {
        "model": body.model,
        "run": body.run,
        "attempt": body.attempt,
        "reasons": list(body.reasons),
        "policy": {"name": body.policy.name, "version": body.policy.version},
    }
    if body.relied_on:
        extension[relied.FIELD] = relied.to_json(body.relied_on)
    if body.log is not None:
        extension["log"] = {"size": body.log.size, "root": body.log.root}
    return {
        "verifier": {"id": body.verifier},
        "timeVerified": body.time,
        "resourceUri": body.resource_uri,
        "policy": {"uri": POLICY + body.policy.name, "digest": {"sha256": body.policy.sha256}},
        "inputAttestations": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in body.inputs],
        "verificationResult": body.result,
        "verifiedLevels": ["SLSA_BUILD_LEVEL_1"] if body.passed else ["FAILED"],
        "slsaVersion": "1.0",
        PROFILE: body.policy.profile,
        EXTENSION: extension,
    }


def from_predicate(predicate: Mapping[str, Any], where: str) -> Verdict:
    """Read a predicate that one of our promoters wrote. Raises `NotUnderstood`."""
    fields = Fields.of(predicate, where)
    extension = fields.section(EXTENSION)
    policy, log = extension.section("policy"), extension.optional_section("log")
    return Verdict(
        result=fields.one_of("verificationResult", RESULTS),
        model=extension.text("model"),
        run=extension.text("run"),
        attempt=extension.text("attempt"),
        resource_uri=fields.text("resourceUri"),
        policy=PolicyRef(
            name=policy.text("name"),
            version=policy.number("version"),
            sha256=fields.section("policy").section("digest").sha256("sha256"),
            profile=fields.one_of(PROFILE, PROFILES),
        ),
        time=fields.time("timeVerified"),
        verifier=fields.section("verifier").text("id"),
        log=Log(log.number("size"), log.sha256("root")) if log else None,
        reasons=extension.texts("reasons"),
        inputs=tuple(
            (entry.text("name"), entry.section("digest").sha256("sha256"))
            for entry in fields.sections("inputAttestations")
        ),
        relied_on=relied.read(extension),
    )


def from_statement(statement: Statement, where: str) -> Verdict:
    """Read a statement whose subjects fit its result: a manifest beside the tree only if it passed."""
    body = from_predicate(statement.predicate, where)
    manifest = manifest_of(statement)
    if statement.tree is None or len(statement.subjects) != 1 + body.passed or body.passed != bool(manifest):
        raise NotUnderstood(
            "a passed verdict speaks of a tree and a manifest, any other of a tree alone",
            where=printable(where),
        )
    return body


def statement(tree_name: str, digest: str, body: Verdict, manifest: str | None = None) -> Statement:
    """The statement to sign about the tree `digest`; `manifest` is the OCI manifest's ``sha256:…``.

    Raises:
        ValueError: a passed verdict without a manifest, or another one with it. A bug of the caller's.
    """
    if body.passed != (manifest is not None):
        msg = "exactly a passed verdict names the manifest"
        raise ValueError(msg)
    subjects: tuple[Resource, ...] = (tree_resource(tree_name, digest),)
    if manifest is not None:
        subjects += (Resource(body.resource_uri, {"sha256": manifest.removeprefix("sha256:")}),)
    return Statement(subjects, TYPE, to_predicate(body))


def manifest_of(statement: Statement) -> str | None:
    """The OCI manifest (``sha256:…``) that a verdict names as its second subject, if it names one."""
    found = only_digest(statement.subjects[1], "sha256") if len(statement.subjects) > 1 else None
    return found and f"sha256:{found}"


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
