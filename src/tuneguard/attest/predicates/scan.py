"""Scan: what a scanner found in a tree, what it could not look at, and with which rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import Statement, tree_resource
from tuneguard.findings import Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE = "https://tuneguard.dev/scan/v1"
KIND = "scan"
VERDICTS = (Verdict.PASSED.value, Verdict.REFUSED.value, Verdict.NOT_UNDERSTOOD.value)
"""What a scan can say. ``integrity-only`` is no answer of a scanner's."""


@dataclass(frozen=True)
class Scan:
    """One scan. ``findings`` are objects as in a JSON result, ``skipped`` hold path and reason.

    ``attempt`` names the promotion that asked for it. ``scanner`` holds our version and, under ``rules``, the
    digest of the rule set. The ``verdict`` is the scanner's own: a gate judges the findings again.
    """

    verdict: str
    findings: tuple[Mapping[str, Any], ...]
    skipped: tuple[Mapping[str, str], ...]
    files: int
    bytes: int
    scanner: Mapping[str, str]
    finished: str
    attempt: str | None = None


def to_predicate(body: Scan) -> dict[str, Any]:
    """The predicate's JSON values, as ``docs/schemas/scan.schema.json`` describes them."""
    predicate: dict[str, Any] = {
        "verdict": body.verdict,
        "findings": [dict(finding) for finding in body.findings],
        "skipped": [dict(skipped) for skipped in body.skipped],
        "files": body.files,
        "bytes": body.bytes,
        "scanner": dict(body.scanner),
        "finished": body.finished,
    }
    if body.attempt is not None:
        predicate["attempt"] = body.attempt
    return predicate


def from_predicate(predicate: Mapping[str, Any], where: str) -> Scan:
    """Read a predicate. Raises `NotUnderstood`; a finding of a severity that we do not know too."""
    fields = Fields.of(predicate, where)
    findings = fields.sections("findings")
    for finding in findings:
        finding.text("rule")
        finding.one_of("severity", tuple(Severity))
    scanner = fields.section("scanner")
    return Scan(
        verdict=fields.one_of("verdict", VERDICTS),
        findings=tuple(finding.values for finding in findings),
        skipped=tuple(
            {"path": entry.text("path"), "reason": entry.text("reason")}
            for entry in fields.sections("skipped")
        ),
        files=fields.number("files"),
        bytes=fields.number("bytes"),
        scanner={"version": scanner.text("version"), "rules": scanner.sha256("rules")},
        finished=fields.time("finished"),
        attempt=fields.optional_text("attempt"),
    )


def from_statement(statement: Statement, where: str) -> Scan:
    """Read a statement about one tree."""
    only_tree(statement, where)
    return from_predicate(statement.predicate, where)


def statement(tree_name: str, digest: str, body: Scan) -> Statement:
    """The statement to sign about the tree `digest`."""
    return Statement((tree_resource(tree_name, digest),), TYPE, to_predicate(body))


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
