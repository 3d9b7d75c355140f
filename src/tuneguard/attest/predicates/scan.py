"""Scan: what a scanner found in a tree, what it could not look at, and with which rules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tuneguard.attest.predicate import Predicate
from tuneguard.findings import Severity
from tuneguard.typed import Count, JsonStruct, Sha256, Text, Time, about, check_times

TYPE = "https://tuneguard.dev/scan/v1"
KIND = "scan"

_Remark = Annotated[Any, Meta(extra_json_schema={"type": ["string", "null"]})]


class _Finding(JsonStruct, frozen=True):
    """What is demanded of a finding. It is kept as it was written, with fields of later versions."""

    rule: Text
    severity: Severity
    message: _Remark = None
    location: Annotated[Any, Meta(extra_json_schema={"type": ["object", "null"]})] = None
    why: _Remark = None
    fix: _Remark = None
    reference: _Remark = None


_FINDING = msgspec.json.schema(_Finding)["$defs"]
_FINDING["_Finding"]["properties"]["severity"] = _FINDING["Severity"]


class _Findings(JsonStruct, frozen=True):
    findings: tuple[_Finding, ...]


class Skipped(JsonStruct, frozen=True):
    """What could not be looked at, and why."""

    path: Text
    reason: Text


class Scanner(JsonStruct, frozen=True):
    """Our version, and the rule set."""

    version: Text
    rules: Annotated[Sha256, about("Digest of the rule set.")]


class Scan(JsonStruct, frozen=True, kw_only=True):
    """What a scanner found in a tree, and what it could not look at.

    The statement's one subject is the tree.
    """

    verdict: Annotated[
        Literal["passed", "refused", "not-understood"],
        about("The scanner's own; a gate judges the findings again."),
    ]
    findings: Annotated[
        tuple[Annotated[dict[str, Any], Meta(extra_json_schema=_FINDING["_Finding"])], ...],
        about("As in a JSON result."),
    ]
    skipped: tuple[Skipped, ...]
    files: Count
    bytes: Count
    scanner: Scanner
    finished: Time
    attempt: Annotated[Text | None, about("The promotion that asked for it.")] = None
    formats: Annotated[
        tuple[Text, ...] | None,
        about("The formats that the tree may hold, by name. Absent: any that is understood."),
    ] = None

    def __post_init__(self) -> None:
        check_times(finished=self.finished)
        msgspec.convert({"findings": self.findings}, _Findings, strict=True)


PREDICATE = Predicate(KIND, TYPE, Scan)
