"""Is it safe to load? Identify by content, read facts, ask the rules, give one of three verdicts.

The flow: every file of a tree (`scan_tree`) or every path that a person named (`scan_paths`) is read
once, front to back. `identify` finds what its bytes are, the package ``formats`` turns them into facts,
each fact goes to the rules that asked for its type (``scanner/rules``), and what nobody could read
is skipped with a reason. Nothing is loaded, unpickled, imported or rendered.

Only a tree in which every byte was understood and nothing of medium severity or above was found
passes. Bound to a manifest, the scan also refuses when the bytes that it read are not the bytes
that the manifest names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneguard import files
from tuneguard.artifact import tree
from tuneguard.errors import CannotLook, ChangedWhileRead
from tuneguard.files import printable
from tuneguard.findings import Finding, Skipped, Verdict, judge
from tuneguard.formats.reader import Reader
from tuneguard.progress import SILENT, Reporter, Task
from tuneguard.scanner.examine import examine
from tuneguard.scanner.facts import Changed
from tuneguard.scanner.names import Tree
from tuneguard.scanner.report import Report
from tuneguard.scanner.rule import Context, rules_for, ruleset_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tuneguard.artifact.manifest import File, Manifest
    from tuneguard.formats.facts import Fact

__all__ = ["Scan", "ruleset_digest", "scan_paths", "scan_tree"]


@dataclass(frozen=True)
class Scan:
    """What a scan saw: every finding, all that it could not look at, and how much it read.

    ``files`` and ``bytes`` count what was there, ``understood`` the files of which every byte was
    accounted for.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    files: int
    bytes: int
    understood: int

    @property
    def verdict(self) -> Verdict:
        """Passed only if everything was understood and nothing of medium or above was found."""
        return judge(self.findings, self.skipped)


def scan_tree(
    root: Path | int,
    manifest: Manifest | None = None,
    *,
    formats: frozenset[str] | None = None,
    reporter: Reporter = SILENT,
) -> Scan:
    """Scan a tree, given as a path or as an open directory's descriptor.

    With a `manifest` the scanned bytes must be the ones it names: a file that is missing, added or
    different is a finding. So is what no manifest can hold (a link, a name), and the rest is scanned.
    `formats` are the names of those that may be in it (`scanner.kinds`), None is any.

    Raises:
        ChangedWhileRead: a file changed while it was scanned.
        UsageError, CannotLook: the root is no folder or cannot be read.
    """
    with _opened(root) as (descriptor, name):
        scanning = _Scanning(manifest, formats)
        scanning.tree(descriptor, name, reporter)
    return scanning.result()


def scan_paths(
    paths: Sequence[Path], *, formats: frozenset[str] | None = None, reporter: Reporter = SILENT
) -> Scan:
    """Scan files and folders that a person named. With several, each path in the result begins with its own.

    Raises:
        ChangedWhileRead, UsageError, CannotLook: as `scan_tree`.
    """
    scanning = _Scanning(None, formats)
    for path in paths:
        prefix = f"{path}/" if len(paths) > 1 else ""
        if not os.path.lexists(path):
            raise files.missing(path)
        if path.is_dir():
            with files.directory(path) as descriptor:
                scanning.tree(descriptor, str(path), reporter, prefix)
        else:
            with files.directory(path.parent) as descriptor:
                scanning.single(descriptor, path.name, str(path) if prefix else path.name, reporter)
    return scanning.result()


@contextlib.contextmanager
def _opened(root: Path | int) -> Iterator[tuple[int, str]]:
    if isinstance(root, int):
        yield root, "the folder"
        return
    with files.directory(root) as descriptor:
        yield descriptor, str(root)


class _Scanning:
    """One scan under way."""

    def __init__(self, manifest: Manifest | None, formats: frozenset[str] | None) -> None:
        self._formats = formats
        self._expected = None if manifest is None else {file.path: file for file in manifest.files}
        self._report = Report()
        self._files = self._bytes = self._understood = 0

    def tree(self, root: int, name: str, reporter: Reporter, prefix: str = "") -> None:
        faults: list[Finding] = []
        entries = tree.walk(root, name=name, faults=faults)
        for fault in faults:
            self._report.add(_below(prefix, fault))
        with reporter.task("Scanning", total=sum(entry.size for entry in entries), unit="bytes") as task:
            around = Tree.of((entry.path for entry in entries), prefix)
            # ONNX models first: they name the tensors in the files beside them.
            for entry in sorted(entries, key=lambda entry: not entry.path.lower().endswith(".onnx")):
                self._file(root, entry.path, prefix + entry.path, task, around)
            for path, fact in around.parts.unmatched():
                self._report_fact(fact, Context(path, tree=around))
        if self._expected:
            for path in sorted(self._expected):
                self._changed(path, "is in the manifest and not there")

    def single(self, root: int, path: str, shown: str, reporter: Reporter) -> None:
        with reporter.task("Scanning", total=None, unit="bytes") as task:
            self._file(root, path, shown, task)

    def result(self) -> Scan:
        return Scan(self._report.findings, self._report.skipped, self._files, self._bytes, self._understood)

    def _file(self, root: int, path: str, shown: str, task: Task, around: Tree | None = None) -> None:
        expected = None
        if self._expected is not None:
            expected = self._expected.pop(path, None)
            if expected is None:
                self._changed(path, "is not in the manifest")
        self._files += 1
        try:
            with _descriptor(root, path) as descriptor:
                context = Context(shown, tree=around, formats=self._formats)
                self._content(descriptor, context, expected, task)
        except CannotLook as error:
            self._report.skip(shown, error.what)

    def _content(self, descriptor: int, context: Context, expected: File | None, task: Task) -> None:
        path = context.path
        before = os.fstat(descriptor)
        passing = _Passing(task, hashing=self._expected is not None)
        reader = Reader.of_descriptor(descriptor, before.st_size, name=path, watch=passing)
        self._bytes += before.st_size
        try:
            self._understood += examine(reader, path, context, self._report)
        except ChangedWhileRead as error:
            raise ChangedWhileRead(error.what, where=printable(path)) from error
        if _identity(before) != _identity(os.fstat(descriptor)):
            raise ChangedWhileRead("changed while it was scanned", where=printable(path))
        if expected is not None and passing.digest != expected.sha256:
            found, signed = passing.digest[:12], expected.sha256[:12]
            self._changed(path, f"has the SHA-256 {found}…, and the manifest has {signed}…")

    def _changed(self, path: str, what: str) -> None:
        self._report_fact(Changed(what), Context(path))

    def _report_fact(self, fact: Fact, context: Context) -> None:
        for rule in rules_for(type(fact)):
            for finding, reported in rule.reported(fact, context):
                self._report.add(finding, reported)


def _below(prefix: str, finding: Finding) -> Finding:
    """A finding about a tree whose paths begin with `prefix` in this scan."""
    if finding.location is None or not prefix:
        return finding
    return replace(finding, location=replace(finding.location, path=prefix + finding.location.path))


@contextlib.contextmanager
def _descriptor(root: int, path: str) -> Iterator[int]:
    descriptor = tree.open_file(root, path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class _Passing:
    """Sees every byte of a file once, in order: for the progress, and for the digest where it is wanted."""

    def __init__(self, task: Task, *, hashing: bool) -> None:
        self._task = task
        self._hash = hashlib.sha256() if hashing else None

    def __call__(self, chunk: bytes) -> None:
        if self._hash is not None:
            self._hash.update(chunk)
        self._task.advance(len(chunk))

    @property
    def digest(self) -> str:
        return "" if self._hash is None else self._hash.hexdigest()
