"""Scan files or a tree: is it safe to load? With ``sign``, the answer becomes evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneguard import __version__, files
from tuneguard.attest.predicates import scan as scans
from tuneguard.display import counted, rfc3339, shown, size
from tuneguard.errors import UsageError
from tuneguard.facts import ScanFacts
from tuneguard.findings import Result, Subject, finding_fields
from tuneguard.project import evidence_log
from tuneguard.project.project import Project
from tuneguard.promotion import unsigned
from tuneguard.promotion.gate_input import formats_for
from tuneguard.scanner import engine
from tuneguard.scanner.rule import ruleset_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.findings import Finding


def scan(
    paths: str | Path | Sequence[str | Path],
    *,
    sign: bool = False,
    statement: str | Path | None = None,
    model: str | None = None,
    attempt: str | None = None,
    tree: str | None = None,
    project: Project | None = None,
) -> Result[ScanFacts]:
    """Scan `paths`; with `sign` or `statement`, exactly one folder, whose digest the result names.

    `model` names whose list of formats in the policy counts, also for files that a person names.
    `sign` makes the result evidence. `statement` names a file for the in-toto statement, unsigned: no key is
    opened, and no ledger. A folder that holds what no manifest can is refused without a statement.

    Raises:
        UsageError: `sign` or `statement` with anything but one folder, or a path that is not there.
        Refused: the folder is not the tree that `tree` names.
    """
    given = (paths,) if isinstance(paths, str | Path) else paths
    named = tuple(Path(path) for path in given)
    project = project or Project()
    for path in named:
        if not path.exists() and not path.is_symlink():
            raise files.missing(path)
    if not sign and statement is None:
        allowed = None if model is None else formats_for(project, evidence_log.expected(project, model))
        found = engine.scan_paths(named, formats=allowed, reporter=project.reporter)
        return _result(found, tuple(Subject(shown(path)) for path in named), (), project)
    if len(named) != 1 or not named[0].is_dir():
        raise UsageError("a signed scan is about one folder", help="name one folder, or leave out --sign")
    name = evidence_log.expected(project, model)
    allowed = formats_for(project, name)
    faults: list[Finding] = []
    manifest = evidence_log.bound(named[0], tree, project, faults)
    found = engine.scan_tree(named[0], manifest, formats=allowed, reporter=project.reporter)
    if faults:  # what no manifest can hold has no digest that a statement could name
        return _result(found, (Subject(shown(named[0])),), (), project)
    said = scans.PREDICATE.statement(name, manifest.digest, _body(found, attempt, allowed))
    subjects = (Subject(shown(named[0]), manifest.digest),)
    if statement is not None:
        left = unsigned.leave(Path(statement), said)
        return _result(found, subjects, (shown(Path(statement)),), project, statement=left)
    written = evidence_log.record(
        said,
        scans.KIND,
        project.signer(evidence_log.judge_role(project, "scanner")),
        project.evidence_of(named[0]),
        project,
        model=name,
        attempt=attempt,
        tree=manifest.digest,
        result=found.verdict.value,
    )
    return _result(found, subjects, (shown(written),), project)


def _body(found: engine.Scan, attempt: str | None, allowed: frozenset[str] | None) -> scans.Scan:
    said: Any = found.verdict.value
    return scans.Scan(
        attempt=attempt,
        verdict=said,
        findings=tuple(finding_fields(finding) for finding in found.findings),
        skipped=tuple(scans.Skipped(each.path, each.reason) for each in found.skipped),
        files=found.files,
        bytes=found.bytes,
        scanner=scans.Scanner(__version__, ruleset_digest()),
        finished=rfc3339(datetime.now(UTC)),
        formats=None if allowed is None else tuple(sorted(allowed)),
    )


def _result(
    found: engine.Scan,
    subjects: tuple[Subject, ...],
    outputs: tuple[str, ...],
    project: Project,
    *,
    statement: str | None = None,
) -> Result[ScanFacts]:
    understood = "all understood" if not found.skipped else f"{len(found.skipped)} not understood"
    count = len(found.findings)
    findings = f"{count:,} finding{'' if count == 1 else 's'}" if count else "no findings"
    project.reporter.emit(
        "Scanned", f"{counted(found.files, 'file')}, {size(found.bytes)}, {understood}, {findings}"
    )
    return Result(
        command="scan",
        verdict=found.verdict,
        subjects=subjects,
        findings=found.findings,
        skipped=found.skipped,
        outputs=outputs,
        facts=ScanFacts(files=found.files, bytes=found.bytes, rules=ruleset_digest(), statement=statement),
    )
