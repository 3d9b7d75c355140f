"""One example of each kind of evidence, as its dataclass and as a statement about the same tree."""

from __future__ import annotations

import hashlib

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.predicates import evaluation, oms, provenance, release, scan, seal, verdict
from tuneguard.attest.relied import Relied
from tuneguard.attest.statement import Sha256Set, TreeSet
from tuneguard.sandbox.state import ControlState


def sha(text: str) -> str:
    """The SHA-256 of a text, where any digest will do."""
    return hashlib.sha256(text.encode()).hexdigest()


TREE = Manifest((File("config.json", 2, sha("{}")), File("weights/a.bin", 1000, sha("weights"))))
TIME = "2026-11-23T10:42:00Z"
MANIFEST = f"sha256:{sha('oci manifest')}"

SIGNATURE = oms.from_manifest(TREE)
SEAL = seal.Seal(
    kind="dataset",
    name="tickets",
    version="3",
    source="support desk",
    license="CC-BY-4.0",
    classification="internal",
    files=TREE.files,
    created=TIME,
    inside=False,
    rows=seal.Rows(1000, Sha256Set(sha("rows"))),
    scan={"verdict": "passed"},
)
PROVENANCE = provenance.Provenance.of(
    model="support-llama",
    run="run-042",
    kind="final",
    command=("python", "{code}/train.py", ""),
    env={"NCCL_DEBUG": "WARN"},
    dependencies=(
        provenance.Dependency.of("data", "tickets", "3", {"dirHash": sha("data")}),
        provenance.Dependency.of("base", "tiny-llama", "1", {"dirHash": sha("base")}),
        provenance.Dependency.of("code", "code", None, {"dirHash": sha("code")}),
        provenance.Dependency.of("config", "train-config.yaml", None, {"sha256": sha("config")}),
        provenance.Dependency.of("parent", "run-041", None, {"dirHash": sha("parent")}),
    ),
    controls=(
        provenance.Control("network", ControlState.PROVEN, "connect failed"),
        provenance.Control("memory", ControlState.WEAKENED, "rlimit"),
    ),
    base_scan={"verdict": "passed", "findings": [], "rules": sha("rules")},
    environment={"python": "3.11.9", "distributions": {"torch": {"version": "2.13.0", "record": sha("r")}}},
    started=TIME,
    finished="2026-11-23T11:42:00+01:00",
    builder="https://tuneguard.dev/builders/local/v1",
    level="SLSA_BUILD_LEVEL_1",
    expected_seconds=3600,
    deadline_seconds=5400,
    unsafe=("--unsafe-no-sandbox",),
    comparison=provenance.Comparison(
        digest=TreeSet(sha("evaluation")), compared=False, how="the set is not at hand"
    ),
    relied_on=(Relied("ci", "builder", "provenance", sha("a key")),),
)
SCAN = scan.Scan(
    verdict="refused",
    findings=({"rule": "TG-PKL-CALL", "severity": "high", "message": "would call posix.system"},),
    skipped=(scan.Skipped("x.onnx", "format not read"),),
    files=2,
    bytes=1002,
    scanner=scan.Scanner("0.1.0", sha("rules")),
    finished=TIME,
    attempt="a1",
)
EVALUATION = evaluation.Evaluation.of(
    set_digest=sha("set"),
    classifier_digest=sha("classifier"),
    suites=(
        evaluation.SuiteResult("accuracy", 1, 200, 188, False, 0, sha("outputs"), sha("inputs")),
        evaluation.SuiteResult("toxicity", 1, 500, 1, False, 3, sha("answers")),
    ),
    finished=TIME,
    attempt="a1",
    files=(evaluation.Measured("config.json", sha("{}")),),
)
VERDICT = verdict.Verdict.of(
    result="PASSED",
    model="support-llama",
    run="run-042",
    attempt="a1",
    resource_uri="registry.internal/models/support-llama",
    policy=verdict.PolicyRef("support-llama", 3, sha("policy"), "production"),
    time=TIME,
    verifier="https://tuneguard.dev/verifiers/0.1.0",
    log=verdict.Log(17, sha("root")),
    inputs=(("scan-0123456789abcdef.sigstore.json", sha("scan")),),
    relied_on=(
        Relied("alice", "data-steward", "seal", sha("another key")),
        Relied("ci", "builder", "provenance", sha("a key")),
    ),
)
RELEASE = release.Release(
    model="support-llama",
    repository="registry.internal/models/support-llama",
    tag="ft-042",
    manifest=Sha256Set(sha("oci manifest")),
    sequence=17,
    issued=TIME,
    not_after="2026-12-23T10:42:00Z",
    previous=Sha256Set(sha("an earlier manifest")),
)

STATEMENTS = {
    "signature": oms.statement("model", SIGNATURE),
    "seal": seal.PREDICATE.statement("data", TREE.digest, SEAL),
    "provenance": provenance.PREDICATE.statement("run-042", TREE.digest, PROVENANCE),
    "scan": scan.PREDICATE.statement("run-042", TREE.digest, SCAN),
    "evaluation": evaluation.PREDICATE.statement("run-042", TREE.digest, EVALUATION),
    "verdict": verdict.statement("run-042", TREE.digest, VERDICT, MANIFEST),
    "release": release.PREDICATE.statement("run-042", TREE.digest, RELEASE),
}
BODIES = {
    "signature": SIGNATURE,
    "seal": SEAL,
    "provenance": PROVENANCE,
    "scan": SCAN,
    "evaluation": EVALUATION,
    "verdict": VERDICT,
    "release": RELEASE,
}
