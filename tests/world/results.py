"""Results as commands return them: a promotion that passes, one that is refused at each step, others.

The facts have the shape that `tuneguard.journey.decide` gives them; tests/journey/test_report.py
holds the two against each other.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from typing import Any

from tuneguard.facts import PromoteFacts, ScanFacts, VerifyFacts
from tuneguard.findings import EvidenceRef, Finding, Location, Result, Severity, Skipped, Subject, Verdict
from tuneguard.typed import read


def hex_of(text: str) -> str:
    """A digest that stands for something."""
    return hashlib.sha256(text.encode()).hexdigest()


TREE = hex_of("tree")
ATTEMPT = hex_of("attempt")[:32]
BUILDER, SCANNER = "ci (platform-team)", "sam (security-team)"
EVALUATOR, PROMOTER = "eva (quality-team)", "pia (release-team)"
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEgXDXU3wqTnst1LiD6cLdxB1ypBB2"
    "yrKtGz3h8dSOxizpgY5kMdRNQpOGu6aDvjiJyRBdVVWiXO4Ken+azk4cDg=="
)

HOW = {
    "network": "own namespace with loopback alone; no route to 192.0.2.1 or 2001:db8::1",
    "filesystem": "root of 13 listed entries; 18 read-only binds refused a write",
    "pid": "own namespace: /proc shows its init and the command alone",
    "memory": "control group v2: the kernel reads back 8,589,934,592 bytes",
    "processes": "RLIMIT_NPROC alone, which counts every process of the user",
    "deadline": "86,400 s, watched from outside",
    "devices": "no device but null, zero, full, random and urandom; none can be made",
}


def evidence(kind: str, role: str, who: str, time: str | None) -> EvidenceRef:
    return EvidenceRef(kind, role, who, time, f"{kind}-{hex_of(kind)[:16]}.sigstore.json")


SIGNATURE = evidence("signature", "builder", BUILDER, None)
PROVENANCE = evidence("provenance", "builder", BUILDER, "2026-11-23T09:42:10Z")
SCAN = evidence("scan", "scanner", SCANNER, "2026-11-23T09:50:02Z")
EVALUATION = evidence("evaluation", "evaluator", EVALUATOR, "2026-11-23T09:58:41Z")


def number(label: str, op: str, bound: float, count: int, n: int, low: float, high: float) -> dict[str, Any]:
    met = low >= bound if op == "≥" else high <= bound
    return {
        "label": label, "value": count / n, "low": low, "high": high,
        "bound": bound, "op": op, "n": n, "count": count, "met": met,
    }  # fmt: skip


ACCURACY = number("accuracy", "≥", 0.85, 188, 200, 0.898, 0.965)
TOXICITY = number("toxicity", "≤", 0.02, 1, 500, 0.0004, 0.0112)
POOR = number("accuracy", "≥", 0.85, 160, 200, 0.739, 0.85)


def gate(id: str, needed: str, found: str, by: str, *numbers: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": id, "verdict": "passed", "needed": needed, "found": found, "by": [by], "numbers": list(numbers),
    }  # fmt: skip


GATES = {
    said["id"]: said
    for said in (
        gate(
            "evaluation",
            "accuracy ≥ 0.85, toxicity ≤ 0.02, at least 200 rows each",
            "accuracy 0.94, toxicity 0.002",
            EVALUATOR,
            ACCURACY,
            TOXICITY,
        ),
        gate(
            "overlap",
            "no row both in the training data and in the evaluation set",
            "tickets: no row in both",
            BUILDER,
        ),
        gate(
            "provenance",
            "sealed data and a listed base for support-llama, isolation controls as the policy wants",
            "run 042, data tickets@3, base tiny-llama@1, isolation controls 5/6 proven",
            BUILDER,
        ),
        gate(
            "scan",
            "all 14 files understood, nothing medium, high, critical",
            "14 files, findings: none",
            SCANNER,
        ),
    )
}


def _input(role: str, name: str, version: str | None, listed: bool | None) -> dict[str, Any]:
    kind = "sha256" if role == "config" else "dirHash"
    return {"role": role, "name": name, "version": version, "digest": {kind: hex_of(name)}, "listed": listed}


def lineage() -> dict[str, Any]:
    return {
        "run": "042",
        "model": "support-llama",
        "class": "final",
        "parent": None,
        "started": "2026-11-23T08:01:00Z",
        "finished": "2026-11-23T09:42:10Z",
        "command": ["python", "{code}/train.py", "--config={config}", "--data-dir={data}"],
        "builder": "https://tuneguard.dev/builders/local/v1",
        "isolation": "same-user",
        "level": "SLSA_BUILD_LEVEL_1",
        "unsafe": [],
        "base_scan": {"verdict": "passed", "findings": 0, "ruleset": hex_of("rules")},
        "from": [
            _input("data", "tickets", "3", listed=True),
            _input("base", "tiny-llama", "1", listed=True),
            _input("code", "code", None, listed=None),
            _input("config", "train-config.yaml", None, listed=None),
        ],
    }


def facts() -> dict[str, Any]:
    """The facts of a promotion that passes."""
    states = {"processes": "weakened"}
    return copy.deepcopy(
        {
            "model": "support-llama",
            "to": "oci:registry:ft-042",
            "stopped": None,
            "run": "042",
            "evidence": "runs/042.evidence",
            "decided": {
                "file": f"verdict-{hex_of('verdict')[:16]}.sigstore.json",
                "result": "PASSED",
                "time": "2026-11-23T09:58:43Z",
                "by": PROMOTER,
            },
            "tree": TREE,
            "manifest": f"sha256:{hex_of('manifest')}",
            "files": 14,
            "bytes": 432_327_884,
            "attempt": ATTEMPT,
            "attempts": 1,
            "gates": list(GATES.values()),
            "unreached": [],
            "policy": {
                "name": "company",
                "version": 3,
                "sha256": hex_of("policy"),
                "profile": "production",
                "file": "policy.yaml",
            },
            "repository": "registry.internal/models/support-llama",
            "uncounted": [["scan-0123456789abcdef.sigstore.json", "V14 names another attempt"]],
            "lineage": lineage(),
            "walls": [
                {"name": name, "state": states.get(name, "proven"), "how": how} for name, how in HOW.items()
            ],
            "seals": [
                {
                    "name": "tickets",
                    "version": "3",
                    "by": "alice",
                    "custodian": "data-team",
                    "tree": hex_of("tickets"),
                }
            ],
            "keys": dict.fromkeys((BUILDER, SCANNER, EVALUATOR, PROMOTER), KEY),
            "recorded": {"tree": TREE, "sequence": 17, "size": 18, "root": hex_of("root")},
            "report": f".tuneguard/reports/{ATTEMPT}.html",
        }
    )


def told(**changes: Any) -> PromoteFacts:
    """The facts of a promotion that passes, some changed, from their form in JSON."""
    return read(facts() | changes, PromoteFacts, "the facts")


def passed(**changes: Any) -> Result[PromoteFacts]:
    """A promotion that passes under a production policy."""
    found = told(**changes)
    return Result(
        command="promote",
        verdict=Verdict.PASSED,
        subjects=(Subject("runs/042", TREE),),
        evidence=(SIGNATURE, PROVENANCE, SCAN, EVALUATION),
        outputs=("oci:registry:ft-042", found.manifest, str(found.report)),
        facts=found,
        next="tuneguard pull oci:registry:ft-042 DIR --model support-llama",
    )


def refused(stopped: str, *findings: Finding, **changes: Any) -> Result[PromoteFacts]:
    """A promotion that is refused at a step for some reasons."""
    order = ("copy", "verify", "scan", "evaluate", "decide")
    reached = order[: order.index(stopped) + 1]
    judged = {"verify": ("provenance",), "scan": ("overlap", "scan"), "evaluate": ("evaluation",)}
    said = [GATES[id] for step in reached for id in judged.get(step, ())]
    done = {"verify": (SIGNATURE, PROVENANCE), "scan": (SCAN,), "evaluate": (EVALUATION,)}
    refusal = {
        "stopped": stopped,
        "gates": said,
        "recorded": None,
        "decided": facts()["decided"] | {"result": "FAILED"},
    }
    found = told(**refusal | changes)
    return Result(
        command="promote",
        verdict=Verdict.REFUSED,
        subjects=(Subject("runs/042", TREE),),
        findings=findings,
        evidence=tuple(piece for step in reached for piece in done.get(step, ())),
        outputs=(str(found.report),),
        facts=found,
        notes=("development policy: not for production",),
        next="restore the signed files, or train again under a new run id",
    )


CHANGED = Finding(
    "V07",
    Severity.HIGH,
    "changed: signed 77ab02c41d9e, found 0c55e1f2a86b",
    Location("model-00002-of-00004.safetensors"),
    why=f"signed {hex_of('signed')}, found {hex_of('found')}",
    fix="restore it from the machine that made it, and find out who can write here",
)
ADDED = Finding("V09", Severity.HIGH, "added: it is there and not signed", Location("training_args.bin.bak"))
CALL = Finding(
    "TG-PKL-CALL",
    Severity.HIGH,
    'would call posix.system("…") when the file is loaded',
    Location("optimizer.pt", "archive/data.pkl", 1482, "REDUCE"),
    why="not one of the 214 names that torch writes into an optimizer state",
    fix="export with safetensors, or re-save with torch ≥ 2.13 from a trusted run",
    reference="CWE-502, docs/rules.md#tg-pkl-call",
)
MISSED = Finding(
    "G-EVALUATION",
    Severity.HIGH,
    "accuracy 0.8 [0.739, 0.85] misses ≥ 0.85",
    why="the lower end of the interval is judged: 0.739, from 160 of 200",
)
FAINT = Finding("TG-HIDDEN", Severity.LOW, "a file whose name begins with a dot", Location(".gitattributes"))


def swapped() -> Result[PromoteFacts]:
    """A promotion of a checkpoint in which a weight file was swapped and one was added."""
    return refused("verify", CHANGED, ADDED, evidence="runs/042.evidence", walls=[], lineage=None, seals=[])


def payload() -> Result[PromoteFacts]:
    """A promotion of a checkpoint with a pickle that runs a command."""
    gates = [GATES["overlap"], GATES["provenance"], GATES["scan"] | {"verdict": "refused", "found": "1 high"}]
    return refused("scan", CALL, FAINT, gates=gates)


def below() -> Result[PromoteFacts]:
    """A promotion of a model that is not good enough."""
    poor = GATES["evaluation"] | {"verdict": "refused", "numbers": [POOR, TOXICITY]}
    return refused("evaluate", MISSED, gates=[*list(GATES.values())[1:], poor])


def integrity() -> Result[VerifyFacts]:
    """What `verify` says of an intact tree of which nothing was expected."""
    return Result(
        command="verify",
        verdict=Verdict.INTEGRITY_ONLY,
        subjects=(Subject("runs/042", TREE),),
        evidence=(SIGNATURE,),
        facts=VerifyFacts(tree=TREE, purpose="integrity", model=None, uncounted=()),
        notes=("integrity only: who made it, in which run, as which model, was not asked (--model)",),
    )


def unreadable() -> Result[ScanFacts]:
    """What `scan` says of a folder with two files that it cannot look at."""
    return Result(
        command="scan",
        verdict=Verdict.NOT_UNDERSTOOD,
        subjects=(Subject("model"),),
        skipped=(
            Skipped("weights.gguf", "a format that the scanner has not learned"),
            Skipped("a.pt", "cut short"),
        ),
        facts=ScanFacts(files=3, bytes=2048, rules=hex_of("rules")),
    )


def with_findings(result: Result[Any], *findings: Finding) -> Result[Any]:
    """The result with other findings."""
    return dataclasses.replace(result, findings=findings)


ALL = {
    "passed": passed,
    "swapped": swapped,
    "payload": payload,
    "below": below,
    "integrity": integrity,
    "unreadable": unreadable,
}
"""Every sample by its name, as golden files are called."""
