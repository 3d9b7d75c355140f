"""A small company in memory: who holds which key, what the policy says, and evidence that they signed.

Everything is real (keys, signatures, bundles, statements); only disks and clocks are missing. A test
takes what passes and changes one thing::

    pieces = [*evidence(), ]                             # all that a promotion of CHECKPOINT needs
    seen = verify(CHECKPOINT, pieces, policy(), expecting())
    other = provenance(CHECKPOINT, run="041")             # one fact changed, signed again
    strict = policy(lambda p: p["roles"]["builder"].update(threshold=2))

People: alice and bob are stewards, ci and ci-spare build (one custodian), eve builds too (another),
sam scans, eva evaluates, pia promotes, and mallory's key is in no policy.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.evidence import Piece, file_name
from tuneguard.attest.predicates import evaluation as evaluations
from tuneguard.attest.predicates import oms
from tuneguard.attest.predicates import provenance as provenances
from tuneguard.attest.predicates import scan as scans
from tuneguard.attest.predicates import seal as seals
from tuneguard.attest.predicates import verdict as verdicts
from tuneguard.attest.relied import Relied
from tuneguard.attest.statement import PAYLOAD_TYPE, Statement
from tuneguard.records import to_json
from tuneguard.sandbox.controls import CONTROLS
from tuneguard.sandbox.state import ControlState
from tuneguard.signing.bundle import make_bundle
from tuneguard.trust.policy import Policy, parse_policy
from tuneguard.trust.verify import Expectation
from tuneguard.typed import read, written
from world.keys import signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneguard.signing.signers.file import FileSigner

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MODEL = "support-llama"
REPOSITORY = "registry.internal/models/support-llama"
RUN = "042"
ATTEMPT = "a-0123456789abcdef"


def ago(**how_long: float) -> str:
    """A date as evidence claims it, so long before `NOW` (negative: after)."""
    return (NOW - timedelta(**how_long)).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256(text: str) -> str:
    """A digest that stands for something, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def tree(files: dict[str, str]) -> Manifest:
    """The manifest of a tree with these paths and contents."""
    return Manifest(
        tuple(File(path, len(text.encode()), sha256(text)) for path, text in sorted(files.items()))
    )


CHECKPOINT_FILES = {
    "config.json": "{}",
    "model-00001-of-00002.safetensors": "weights, first half",
    "model-00002-of-00002.safetensors": "weights, second half",
    "model.safetensors.index.json": '{"weight_map": {"a": "model-00001-of-00002.safetensors", '
    '"b": "model-00002-of-00002.safetensors"}}',
    "tokenizer.json": "[]",
}
CHECKPOINT = tree(CHECKPOINT_FILES)
DATA = tree({"train.jsonl": '{"prompt": "a"}\n'})
BASE = tree({"config.json": "{}", "model.safetensors": "base weights"})
EVALUATION_SET = tree({"accuracy.jsonl": '{"prompt": "b"}\n', "toxicity.jsonl": '{"prompt": "c"}\n'})
CLASSIFIER = tree({"config.json": "{}", "model.safetensors": "classifier weights"})
CODE = tree({"train.py": "pass\n"})
MANIFEST_DIGEST = "sha256:" + sha256("the OCI manifest that CHECKPOINT makes")


# --- Keys and policy -------------------------------------------------------------------------------

CUSTODIANS = {
    "alice": "data-team",
    "bob": "data-office",
    "ci": "platform-team",
    "ci-spare": "platform-team",
    "eve": "research-team",
    "sam": "security-team",
    "eva": "quality-team",
    "pia": "release-team",
}


@functools.cache
def key(name: str) -> FileSigner:
    """The signing key of a person or machine, the same in every test of a session."""
    return signer()


def document() -> dict[str, Any]:
    """The policy as a document: production, every model and list filled in."""

    def role(anyone: list[str], evidence: list[str]) -> dict[str, Any]:
        return {"anyOf": anyone, "threshold": 1, "evidence": evidence, "models": [MODEL]}

    return {
        "apiVersion": "tuneguard.dev/v1alpha2",
        "kind": "Policy",
        "metadata": {"name": "company", "version": 3, "expires": "2027-06-01T00:00:00Z"},
        "profile": "production",
        "identities": {
            name: {"key": key(name).public_key.base64, "custodian": custodian}
            for name, custodian in CUSTODIANS.items()
        },
        "roles": {
            "data-steward": role(["alice", "bob"], ["seal"]),
            "builder": role(["ci", "ci-spare", "eve"], ["signature", "provenance"]),
            "scanner": role(["sam"], ["scan"]),
            "evaluator": role(["eva"], ["evaluation"]),
            "promoter": role(["pia"], ["scan", "evaluation", "verdict", "release"]),
        },
        "separationOfDuties": [["builder", "promoter"]],
        "models": {
            MODEL: {
                "repository": REPOSITORY,
                "builder": ["ci", "ci-spare", "eve"],
                "data": [{"name": "tickets", "steward": ["alice", "bob"]}],
                "base": [BASE.digest],
                "evaluation": {
                    "set": EVALUATION_SET.digest,
                    "classifier": CLASSIFIER.digest,
                    "suites": {"accuracy": 1, "toxicity": 1},
                    "minimumRows": 200,
                },
            }
        },
        "require": {
            "train": [{"seal": "data-steward", "maxAge": "90d"}],
            "promote": [
                {"signature": "builder"},
                {"provenance": "builder"},
                {"scan": ["scanner", "promoter"], "maxAge": "1d"},
                {"evaluation": ["evaluator", "promoter"], "maxAge": "7d"},
            ],
            "load": [{"verdict": "promoter"}],
        },
        "gates": {
            "scan": {"refuse": ["medium", "high", "critical"]},
            "evaluation": {"accuracy": {"min": 0.85}, "toxicity": {"max": 0.02}, "confidence": 0.95},
        },
    }


Change = "Callable[[dict[str, Any]], object]"


def policy(*changes: Callable[[dict[str, Any]], object]) -> Policy:
    """The company's policy, after each change to its `document`, read as any policy is."""
    text = document()
    for change in changes:
        change(text)
    return parse_policy(to_json(text), "policy.yaml")


def expecting(**facts: Any) -> Expectation:
    """The expectation of a promoter for CHECKPOINT, with some facts changed."""
    given: dict[str, Any] = {
        "purpose": "promote",
        "now": NOW,
        "model": MODEL,
        "run": RUN,
        "attempt": ATTEMPT,
        "manifest_digest": MANIFEST_DIGEST,
        "repository": REPOSITORY,
    }
    return Expectation(**given | facts)


# --- Evidence --------------------------------------------------------------------------------------


def piece(kind: str, statement: Statement, by: str, *, name: str | None = None) -> Piece:
    """A statement signed by somebody, as a file of an evidence folder."""
    data = make_bundle(key(by), PAYLOAD_TYPE, statement.encode())
    return Piece(name or file_name(kind, data), data)


def signature(manifest: Manifest = CHECKPOINT, *, by: str = "ci") -> Piece:
    """An OMS signature over a tree's files."""
    return piece("signature", oms.statement(MODEL, oms.from_manifest(manifest)), by)


def provenance_body(**facts: Any) -> provenances.Provenance:
    """The provenance of run 042, with some facts changed."""
    given: dict[str, Any] = {
        "model": MODEL,
        "run": RUN,
        "kind": "final",
        "command": ("python", "train.py"),
        "controls": tuple(
            provenances.Control(name, ControlState.PROVEN, "tried from inside") for name in CONTROLS
        ),
        "base_scan": {"verdict": "passed", "findings": 0, "ruleset": sha256("rules")},
        "started": ago(hours=3),
        "finished": ago(hours=2),
        "builder": "https://tuneguard.dev/builders/local/v1",
        "level": "SLSA_BUILD_LEVEL_1",
        "expected_seconds": 3600,
        "deadline_seconds": 5400,
        "environment": {"python": "3.11"},
        "unsafe": (),
    }
    read: dict[str, Any] = {
        "data": (dependency("data", "tickets", DATA.digest, version="3"),),
        "base": dependency("base", "tiny-llama", BASE.digest, version="1"),
        "code": dependency("code", "code", CODE.digest),
        "config": provenances.Dependency.of(
            "config", "train.yaml", None, {"sha256": sha256("configuration")}
        ),
        "parent": None,
    }
    read |= {role: facts.pop(role) for role in read if role in facts}
    ones = [read[role] for role in ("base", "code", "config", "parent") if read[role] is not None]
    return provenances.Provenance.of(dependencies=(*read["data"], *ones), **given | facts)


def dependency(role: str, name: str, digest: str, *, version: str | None = None) -> provenances.Dependency:
    """Something that a run read, by its tree digest."""
    return provenances.Dependency.of(role, name, version, {"dirHash": digest})


def earlier(body: provenances.Provenance) -> provenances.Provenance:
    """The body as it was signed before ``walls`` became ``controls``."""
    values = written(body)
    definition = values["buildDefinition"]
    definition["buildType"] = provenances.OLD_BUILD_TYPE
    observed = definition["internalParameters"]
    observed["walls"] = observed.pop("controls")
    return read(values, provenances.Provenance, "earlier")


def provenance(manifest: Manifest = CHECKPOINT, *, by: str = "ci", **facts: Any) -> Piece:
    """The provenance of a tree."""
    return piece(
        "provenance", provenances.PREDICATE.statement(MODEL, manifest.digest, provenance_body(**facts)), by
    )


def seal(manifest: Manifest = DATA, *, by: str = "alice", **facts: Any) -> Piece:
    """A steward's seal over a tree."""
    given: dict[str, Any] = {
        "kind": "dataset",
        "name": "tickets",
        "version": "3",
        "source": "support desk",
        "license": "internal",
        "classification": "confidential",
        "files": manifest.files,
        "created": ago(days=10),
        "inside": False,
    }
    body = seals.Seal(**given | facts)
    return piece("seal", seals.PREDICATE.statement(body.name, manifest.digest, body), by)


def scan(manifest: Manifest = CHECKPOINT, *, by: str = "sam", **facts: Any) -> Piece:
    """A clean scan of a tree for the open attempt."""
    given: dict[str, Any] = {
        "verdict": "passed",
        "findings": (),
        "skipped": (),
        "files": len(manifest.files),
        "bytes": manifest.size,
        "scanner": scans.Scanner("0.1.0", sha256("rules")),
        "finished": ago(minutes=5),
        "attempt": ATTEMPT,
    }
    return piece("scan", scans.PREDICATE.statement(MODEL, manifest.digest, scans.Scan(**given | facts)), by)


def suite(id: str, n: int, count: int, **facts: Any) -> evaluations.SuiteResult:
    """What one suite counted."""
    given: dict[str, Any] = {
        "version": 1,
        "constant": False,
        "empty": 0,
        "outputs_digest": sha256(f"outputs of {id}"),
        "inputs_digest": sha256(f"inputs of {id}"),
    }
    return evaluations.SuiteResult(id=id, n=n, count=count, **given | facts)


def measured(manifest: Manifest) -> tuple[evaluations.Measured, ...]:
    """A tree's files as an evaluation lists them."""
    return tuple(evaluations.Measured(file.path, file.sha256) for file in manifest.files)


GOOD_SUITES = (suite("accuracy", 200, 190), suite("toxicity", 500, 1))


def evaluation(manifest: Manifest = CHECKPOINT, *, by: str = "eva", **facts: Any) -> Piece:
    """A good evaluation of a tree for the open attempt."""
    given: dict[str, Any] = {
        "set_digest": EVALUATION_SET.digest,
        "classifier_digest": CLASSIFIER.digest,
        "suites": GOOD_SUITES,
        "files": measured(manifest),
        "finished": ago(minutes=2),
        "attempt": ATTEMPT,
    }
    body = evaluations.Evaluation.of(**given | facts)
    return piece("evaluation", evaluations.PREDICATE.statement(MODEL, manifest.digest, body), by)


def verdict(
    manifest: Manifest = CHECKPOINT,
    *,
    by: str = "pia",
    under: Policy | None = None,
    names: str | None = MANIFEST_DIGEST,
    **facts: Any,
) -> Piece:
    """A promoter's verdict; `names` is the OCI manifest that a passed one speaks of."""
    decided = under or policy()
    given: dict[str, Any] = {
        "result": "PASSED",
        "model": MODEL,
        "run": RUN,
        "attempt": ATTEMPT,
        "resource_uri": REPOSITORY,
        "policy": verdicts.PolicyRef(decided.name, decided.version, decided.sha256, decided.profile),
        "time": ago(minutes=1),
        "verifier": "https://tuneguard.dev/verifiers/0.1.0",
    }
    body = verdicts.Verdict.of(**given | facts)
    manifest_hex = names.removeprefix("sha256:") if names is not None and body.passed else None
    return piece("verdict", verdicts.statement(MODEL, manifest.digest, body, manifest_hex), by)


def relied(name: str, role: str, kind: str, *, key_of: str | None = None) -> Relied:
    """Somebody whose evidence counted, with their own key or with another one's."""
    return Relied(name, role, kind, key(key_of or name).public_key.keyid)


RELIED_ON = (
    relied("alice", "data-steward", "seal"),
    relied("ci", "builder", "provenance"),
    relied("ci", "builder", "signature"),
    relied("eva", "evaluator", "evaluation"),
    relied("sam", "scanner", "scan"),
)
"""Whose evidence counts when CHECKPOINT is promoted."""


def evidence(manifest: Manifest = CHECKPOINT) -> list[Piece]:
    """All that a promotion of `manifest` needs."""
    return [signature(manifest), provenance(manifest), scan(manifest), evaluation(manifest)]


def renamed(original: Piece, name: str) -> Piece:
    """The same bytes under another file name."""
    return dataclasses.replace(original, name=name)
