"""What the judging steps share: the tree they are bound to, and how their evidence is recorded.

A step of a promotion is given the digest that the copy had when it was made. A step that reads the files
hashes the copy itself and refuses any other tree: what one step judged is what the next one judges. A step
that reads none works from the manifest that ``copy`` left beside the copy, which is believed because its
digest is the one that the step was given.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tuneguard import files, limits, paste
from tuneguard.artifact import digest as hashing
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.artifact.safe_open import sizes_of
from tuneguard.artifact.tree import survey
from tuneguard.attest import evidence
from tuneguard.attest.predicates import verdict as verdicts
from tuneguard.attest.relied import Relied
from tuneguard.attest.statement import PAYLOAD_TYPE
from tuneguard.display import short, shown
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.files import printable
from tuneguard.findings import EvidenceRef, Verdict
from tuneguard.ledger.entry import Event
from tuneguard.signing.bundle import make_bundle, read_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tuneguard.attest.evidence import Piece
    from tuneguard.attest.statement import Statement
    from tuneguard.findings import Finding
    from tuneguard.project.project import Project
    from tuneguard.scanner.engine import Scan
    from tuneguard.signing.signer import Signer
    from tuneguard.trust.claims import Claim, Verification
    from tuneguard.trust.policy import Policy
    from tuneguard.typed import JsonStruct

MANIFEST = "checksums.sha256"
"""The file beside an attempt's copy that holds the copy's manifest."""


def bound(
    directory: Path, tree: str | None, project: Project, faults: list[Finding] | None = None
) -> Manifest:
    """The manifest of `directory`, hashed now; it must be the tree that the caller names, if any.

    `faults` is as for `tuneguard.artifact.digest.hash_tree`.

    Raises:
        Refused: it is another tree.
    """
    manifest = hashing.hash_tree(directory, reporter=project.reporter, faults=faults)
    if tree is not None and manifest.digest != tree:
        raise _changed(directory, f"{short(tree)} was judged before, {short(manifest.digest)} is there now")
    return manifest


def copied(
    directory: Path,
    tree: str | None,
    attempt: str | None,
    project: Project,
    faults: list[Finding] | None = None,
) -> Manifest:
    """The manifest of `directory` without reading a file's bytes, where it is the copy of `attempt`.

    The manifest is the one that ``copy`` kept; its digest must be `tree`. The sizes are those of the files
    that are there now. A folder that is no attempt's copy is hashed, as by `bound`.

    Raises:
        Refused: it is another tree, or other files are there now.
    """
    kept = None if attempt is None or tree is None else _manifest_beside(directory, attempt, project)
    if kept is None:
        return bound(directory, tree, project, faults)
    if hashlib.sha256(kept).hexdigest() != tree:
        raise _changed(directory, f"the manifest beside the copy has another digest than {short(str(tree))}")
    digests = Manifest.read_checksums(kept, shown(directory))
    with files.directory(directory) as root:
        there = survey(root, name=str(directory)).files
    if there.keys() != digests.keys():
        path = min(there.keys() ^ digests.keys())
        raise _changed(directory, f"{printable(path)} was {'added' if path in there else 'removed'}")
    sizes = sizes_of(map(there.__getitem__, digests))
    return Manifest(tuple(map(File, digests, sizes, digests.values())))


def reference(claim: Claim[JsonStruct]) -> EvidenceRef:
    """A claim as results list it."""
    return EvidenceRef(
        claim.kind, claim.role, f"{claim.identity} ({claim.custodian})", claim.time, claim.file
    )


def keep_manifest(manifest: Manifest, folder: Path) -> None:
    """Keep the manifest of an attempt's copy beside it, in the attempt's `folder`, for `copied`."""
    lines = manifest.to_checksums()
    if len(lines) <= limits.MANIFEST_BYTES:
        files.write_replacing(folder / MANIFEST, lines, mode=0o600)


def _manifest_beside(directory: Path, attempt: str, project: Project) -> bytes | None:
    folder = project.state / "attempts" / attempt
    if not attempt.isalnum() or directory.absolute() != (folder / "tree").absolute():
        return None
    if not (folder / MANIFEST).exists():
        return None
    return files.read_bounded(folder / MANIFEST, limits.MANIFEST_BYTES)


def _changed(directory: Path, how: str) -> Refused:
    return Refused(
        f"the tree changed: {how}",
        where=shown(directory),
        help="find out who can write here, and promote again",
    )


def check_clean(found: Scan, what: str, source: Path) -> None:
    """The scan of `source`, which is to serve as the `what`, passed.

    Raises:
        Refused: it has findings that refuse.
        NotUnderstood: it holds what the scanner could not look at.
    """
    if found.verdict is Verdict.PASSED:
        return
    help = paste.after("see all", "scan", source)
    if found.verdict is Verdict.REFUSED:
        count = f"{len(found.findings):,} finding{'' if len(found.findings) == 1 else 's'}"
        raise Refused(
            f"the {what} is not clean: {count}", where=shown(source), help=help, findings=found.findings
        )
    first, more = found.skipped[0], len(found.skipped) - 1
    raise NotUnderstood(
        f"the {what} holds what could not be looked at: {printable(first.path)}: {first.reason}"
        + (f", and {more:,} more" if more else ""),
        where=shown(source),
        help=help,
    )


def judge_role(project: Project, role: str) -> str:
    """The role that judges: its own where a key is named for it, else the promoter's."""
    return role if project.key_uri(role) is not None else "promoter"


def record(
    statement: Statement,
    kind: str,
    signer: Signer,
    folder: Path,
    project: Project,
    *,
    model: str | None,
    attempt: str | None,
    tree: str,
    result: str,
    run: str | None = None,
) -> Path:
    """Sign a judgement; the ledger records it before its file appears (TRUST.md rule 18).

    A step that an engine starts again after its work was done signs nothing: the judgement is the first one.

    Raises:
        Refused: the attempt has another judgement of this kind already, or is not open for this tree.
    """
    if project.ledger is not None and attempt is not None:
        made = _made(project, attempt, tree, kind, statement, folder)
        if made is not None:
            return made
    bundle = make_bundle(signer, PAYLOAD_TYPE, statement.encode())
    if project.ledger is not None:
        project.ledger.append(
            event=Event.JUDGED,
            command=kind,
            run=run,
            attempt=attempt,
            model=model,
            tree=tree,
            result=result,
            detail={"kind": kind, "sha256": hashlib.sha256(bundle).hexdigest()},
        )
    return evidence.write(folder, kind, bundle)


def recorded(project: Project, attempt: str | None) -> dict[str, tuple[str, ...]] | None:
    """The evidence files that the ledger recorded for an attempt, by kind; None without a ledger."""
    if project.ledger is None or attempt is None:
        return None
    found: dict[str, tuple[str, ...]] = {"scan": (), "evaluation": ()}
    for entry in project.ledger.entries(attempt=attempt, event=Event.JUDGED):
        kind, digest = entry.detail.get("kind"), entry.detail.get("sha256")
        if isinstance(kind, str) and isinstance(digest, str):
            found[kind] = (*found.get(kind, ()), digest)
    return found


def _made(
    project: Project, attempt: str, tree: str, kind: str, statement: Statement, folder: Path
) -> Path | None:
    """The evidence of this kind that the attempt has, and must be this statement; None where it has none."""
    assert project.ledger is not None
    entries = tuple(project.ledger.entries(attempt=attempt))
    opened = [entry for entry in entries if entry.event is Event.ATTEMPT]
    if not opened or opened[0].tree != tree:
        raise Refused(f"the attempt {attempt} is not open for the tree {short(tree)}", help="promote again")
    judged = [each for each in entries if each.event is Event.JUDGED and each.detail.get("kind") == kind]
    if not judged:
        return None
    wanted = judged[0].detail.get("sha256")
    there = next((piece for piece in evidence.read(folder) if piece.sha256 == wanted), None)
    if there is None or read_bundle(there.data, there.name).payload != statement.encode():
        raise Refused(
            f"the attempt {attempt} has its {kind} already", help="an attempt is judged once: promote again"
        )
    return folder / there.name


def attempts_of(project: Project, tree: str) -> int:
    """How many attempts the ledger knows for a run's tree, those at parts of it too."""
    return 0 if project.ledger is None else len(project.ledger.attempts(tree))


def expected(project: Project, model: str | None) -> str:
    """The model that the caller expects; the pipeline's own where none is named in a project.

    Raises:
        UsageError: the policy has no such model, or none is named.
    """
    name = model if model is not None else (project.pipeline.name if project.in_project else None)
    if name is None:
        raise UsageError("the expected model is not named", help="name it: --model NAME")
    if name not in project.policy.models:
        raise UsageError(
            f"the policy {project.policy.name} has no model {name}",
            help="it has " + (", ".join(project.policy.models) or "none"),
        )
    return name


def verdict_of(seen: Verification) -> Claim[verdicts.Verdict]:
    """The verdict that counts: of several the newest, which names the evidence of the latest promotion."""
    return max(seen.counting(verdicts.Verdict), key=lambda claim: (claim.time or "", claim.sha256))


def behind_verdict(pieces: Sequence[Piece], seen: Verification) -> tuple[Piece, ...]:
    """The verdict that counts, and the evidence that it names by digest as what it was made on."""
    verdict = verdict_of(seen)
    named = {verdict.sha256, *(each.digest.sha256 for each in verdict.body.inputs)}
    return tuple(piece for piece in pieces if piece.sha256 in named)


def relied_on(claims: Iterable[Claim[JsonStruct]], policy: Policy) -> tuple[Relied, ...]:
    """Who made the claims."""
    return tuple(
        Relied(claim.identity, claim.role, claim.kind, policy.identities[claim.identity].key.keyid)
        for claim in claims
    )
