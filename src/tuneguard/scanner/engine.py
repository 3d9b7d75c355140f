"""Is it safe to load? Identify by content, read facts, ask the rules, say one of three verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.findings import Finding, Skipped, Verdict, judge
from tuneguard.progress import SILENT, Reporter
from tuneguard.scanner.rule import ruleset_digest as ruleset_digest  # noqa: PLC0414 (part of this door)

if TYPE_CHECKING:
    from tuneguard.artifact.manifest import Manifest


@dataclass(frozen=True)
class Scan:
    """What a scan saw: every finding, all that it could not look at, and how much it read.

    ``files`` and ``bytes`` count what the tree holds, ``understood`` the files of which every byte
    was accounted for.
    """

    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    files: int
    bytes: int
    understood: int

    @property
    def verdict(self) -> Verdict:
        """Clean only if everything was understood and nothing of medium or above was found."""
        return judge(self.findings, self.skipped)


def scan_tree(root: Path | int, manifest: Manifest | None = None, *, reporter: Reporter = SILENT) -> Scan:
    """Scan a tree, given as a path or as an open directory's descriptor.

    With a `manifest` the scanned bytes must be the ones it names: a file that is missing, added or
    different is a finding.
    """
    raise NotImplementedError


def scan_paths(paths: Sequence[Path], *, reporter: Reporter = SILENT) -> Scan:
    """Scan files and folders that a person named."""
    raise NotImplementedError
