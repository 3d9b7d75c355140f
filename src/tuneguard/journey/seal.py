"""Seal a tree: a data steward states what a data set, evaluation set or base is, and signs it.

hash → count and hash rows → (a base: scan) → statement → steward's key → evidence beside the tree.
With ``inside`` the three files of cosign's manifest form are written at the tree's top level instead, and the
seal's subject leaves them out.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tuneguard import files
from tuneguard.artifact import digest as hashing
from tuneguard.attest import evidence
from tuneguard.attest.predicates import seal as seals
from tuneguard.attest.statement import PAYLOAD_TYPE, Sha256Set, TreeSet
from tuneguard.dataset import rows as dataset_rows
from tuneguard.display import counted, rfc3339, short, shown, size
from tuneguard.errors import Refused, UsageError
from tuneguard.facts import SealFacts
from tuneguard.findings import Result, Subject, Verdict, judge
from tuneguard.ledger.entry import Event
from tuneguard.project import evidence_log, foreign_signature, passphrases
from tuneguard.project.expected_signer import Signer
from tuneguard.project.project import Project
from tuneguard.project.sealed import INSIDE, verify_sealed
from tuneguard.signing.bundle import make_bundle
from tuneguard.trust.verify import Expectation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.artifact.manifest import Manifest

KINDS = ("dataset", "evaluation", "base")
_COMPLETE = (
    "tuneguard policy set-model NAME --base DIR --evaluation DIR --classifier DIR, when all are sealed"
)
_NEXT = {"dataset": "tuneguard run", "evaluation": _COMPLETE, "base": _COMPLETE}
_Named = tuple[str | Path | None, str | Path | None, str | Path | None, str | None, str | None]
"""A public key, a certificates' root, a trusted root, an identity and its issuer."""
_HALF = re.compile(rf"\.({'|'.join(map(re.escape, INSIDE))})\.[0-9a-f]{{12}}\.tmp")
"""What `files.write_new` leaves when it is killed, where the file system knows no nameless files."""


def seal(
    directory: str | Path,
    *,
    kind: str,
    name: str,
    version: str,
    source: str,
    license: str,
    classification: str,
    inside: bool = False,
    signature: str | Path | None = None,
    public_key: str | Path | None = None,
    certificate_root: str | Path | None = None,
    trusted_root: str | Path | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    derived_from: Sequence[str | Path] = (),
    transform: str | Path | None = None,
    project: Project | None = None,
) -> Result[SealFacts]:
    """Seal `directory` as a `kind` of `KINDS` with the data steward's key.

    Args:
        signature: a signature over the files by another tool, OMS or cosign's of a ``manifest.json``. It is
            verified, and the seal records it. Who signed is named as for
            `tuneguard.journey.verify.verify_foreign`.
        derived_from: the sealed folders that these files were made from.
        transform: the code that made them, a folder or a file, whose digest is recorded.

    Raises:
        ForbiddenTree: the tree holds what a manifest cannot represent.
        Refused: an empty tree, or a base with findings; a signature that is not over these files by whom was
            named; or a folder of `derived_from` without a seal that counts.
        NotUnderstood: malformed rows, or a base that the scanner does not understand.
        UsageError: no key, or (inside) one of the three names is taken.
        Refused: the policy at hand is expired, or does not believe the steward's key now.
    """
    directory = Path(directory)
    project = project or Project()
    if kind not in KINDS:
        raise UsageError(f"{kind} is not a kind of seal", help="one of " + ", ".join(KINDS))
    uri = project.key_uri("data-steward")
    if uri is not None and project.some_key_has_ended:
        passphrases.look_at(uri, project)
    taken = _taken(directory) if inside else ()
    manifest = hashing.hash_tree(directory, reporter=project.reporter)
    if taken:
        manifest = _before(manifest, taken, directory)
    if not manifest.files:
        raise Refused("is empty, and an empty tree proves nothing", where=shown(directory))
    named = (public_key, certificate_root, trusted_root, identity, issuer)
    signed = _signed(directory, manifest, signature, named, project)
    derived = _derived(derived_from, transform, project)
    scanned = _scan(directory, manifest, project) if kind == "base" else None
    rows = None if kind == "base" else _rows(directory, manifest, project)
    body = seals.Seal(
        kind=cast("seals.Kind", kind),
        name=name,
        version=version,
        source=source,
        license=license,
        classification=classification,
        files=manifest.files,
        inside=inside,
        rows=seals.Rows(rows.count, Sha256Set(rows.digest)) if rows else None,
        created=rfc3339(project.now),
        scan=scanned,
        signed=signed,
        derived=derived,
    )
    outputs = _write(directory, manifest, body, rows, taken, project)
    project.reporter.emit(
        "Sealed",
        f"{name}@{version}  {counted(len(manifest.files), 'file')}, {size(manifest.size)}"
        + (f", {rows.count:,} rows" if rows else ""),
        f"tree {short(manifest.digest)}  {kind}, {classification}, {license}",
    )
    return Result(
        command="seal",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(directory), manifest.digest),),
        outputs=tuple(shown(path) for path in outputs),
        facts=SealFacts(kind=kind, name=name, version=version, rows=rows.count if rows else None),
        notes=_unread(rows),
        next=_NEXT[kind],
    )


def _rows(directory: Path, manifest: Manifest, project: Project) -> dataset_rows.Rows | None:
    with files.directory(directory) as root:
        return dataset_rows.hash_rows(root, manifest, decoded=directory, reporter=project.reporter)


def _write(
    directory: Path,
    manifest: Manifest,
    body: seals.Seal,
    rows: dataset_rows.Rows | None,
    taken: Sequence[str],
    project: Project,
) -> list[Path]:
    """Sign the seal, and write it and the rows' hashes; the files that were written."""
    statement = seals.PREDICATE.statement(body.name, manifest.digest, body)
    bundle = make_bundle(project.signer("data-steward"), PAYLOAD_TYPE, statement.encode())
    folder = project.evidence_of(directory)
    _note(project, manifest, body, Event.BEGUN)
    outputs = [] if rows is None else [evidence.write_rows(folder, rows.hashes)]
    if body.inside:
        outputs += _write_inside(directory, manifest, bundle, taken)
    else:
        outputs.append(evidence.write(folder, seals.KIND, bundle))
    _note(project, manifest, body, Event.DONE)
    return outputs


def _note(project: Project, sealed: Manifest, body: seals.Seal, event: Event) -> None:
    """An entry of the ledger about this seal, where there is a ledger."""
    if project.ledger is not None:
        project.ledger.append(
            event=event,
            command="seal",
            tree=sealed.digest,
            result=body.kind,
            detail={"name": body.name, "version": body.version},
        )


def _unread(rows: dataset_rows.Rows | None) -> tuple[str, ...]:
    """What the row count leaves out, so that a later "no overlap" is not taken for more than it is."""
    if rows is None or not rows.unread:
        return ()
    names = ", ".join(map(files.printable, rows.unread[:5])) + (" …" if len(rows.unread) > 5 else "")
    what = counted(len(rows.unread), "file")
    return (f"no rows counted in {what} that are neither JSONL, CSV, Parquet nor Arrow: {names}",)


def _signed(
    directory: Path, manifest: Manifest, given: str | Path | None, named: _Named, project: Project
) -> seals.Signed | None:
    """What the seal records of another's signature, once that is found to be over these very files.

    The signature may be one of them: it cannot be over itself. `named` says who made it.
    """
    if given is None:
        if any(named):
            raise UsageError("who signed is named, and no signature", help="give it too: --signature FILE")
        return None
    signer, signature = Signer.named(*named), Path(given)
    own = foreign_signature.inside(signature, directory)
    found, digest = foreign_signature.compare(
        directory,
        manifest if own is None else manifest.without((own,)),
        signature,
        signer.judge(project.now),
        reporter=project.reporter,
    )
    if judge(found, ()) is Verdict.REFUSED:
        raise Refused(
            f"is not as {signer} signed it",
            where=shown(directory),
            help="bring the files and the signature in again; nothing was sealed",
            findings=found,
        )
    project.reporter.emit("Intact", f"every file is as {signer} signed it")
    return seals.Signed(Sha256Set(digest), signer.recorded())


def _derived(
    folders: Sequence[str | Path], transform: str | Path | None, project: Project
) -> seals.Derived | None:
    if not folders:
        if transform is not None:
            raise UsageError(
                "what was transformed is not named", help="name the sealed folders: --derived-from DIR"
            )
        return None
    code = None if transform is None else _transform(Path(transform), project)
    return seals.Derived(tuple(_origin(Path(folder), project) for folder in folders), code)


def _origin(folder: Path, project: Project) -> seals.Origin:
    """A folder by its seal: one that counts for what lies there now.

    Raises:
        Refused: none does.
    """
    manifest = hashing.hash_tree(folder, reporter=project.reporter)
    wanted = Expectation(purpose="integrity", now=project.now)
    pieces = evidence.read(evidence.folder_of(folder))
    seen = verify_sealed(folder, manifest, pieces, project.policy, wanted).verification
    claim = next((claim for claim in seen.claims if isinstance(claim.body, seals.Seal)), None)
    if claim is None or seen.findings:
        raise Refused(
            "has no seal that counts for what lies there now",
            where=shown(folder),
            help="seal it first, or restore the files that were sealed",
            findings=seen.findings,
        )
    body = cast("seals.Seal", claim.body)
    return seals.Origin(body.name, body.version, TreeSet(body.manifest.digest), Sha256Set(claim.sha256))


def _transform(path: Path, project: Project) -> seals.Transform:
    if path.is_dir():
        tree = hashing.hash_tree(path, reporter=project.reporter)
        return seals.Transform(path.absolute().name, {"dirHash": tree.digest})
    return seals.Transform(path.name, {"sha256": hashing.hash_file(path).sha256})


def _scan(directory: Path, manifest: Manifest, project: Project) -> dict[str, Any]:
    """A base is scanned before it is sealed: a steward's courtesy, judged again by every run."""
    from tuneguard.scanner import engine

    found = engine.scan_tree(directory, manifest, reporter=project.reporter)
    evidence_log.check_clean(found, "base", directory)
    return {"verdict": "passed", "findings": len(found.findings), "ruleset": engine.ruleset_digest()}


def _taken(directory: Path) -> tuple[str, ...]:
    """Which of those three files are there, where the bundle, which comes last, is not.

    Raises:
        UsageError: the data is sealed inside already, or a name is taken by something that is no file.
    """
    halves = [path.name for path in directory.glob(".*.tmp") if _HALF.fullmatch(path.name)]
    if halves:
        raise UsageError(
            f"{', '.join(halves)} was left by a seal that was killed",
            where=shown(directory),
            help="remove it",
        )
    taken = tuple(name for name in INSIDE if (directory / name).exists() or (directory / name).is_symlink())
    files_ = all((directory / name).is_file() and not (directory / name).is_symlink() for name in taken)
    if INSIDE[2] in taken or not files_:
        raise _already_there(taken, directory)
    return taken


def _before(whole: Manifest, taken: Sequence[str], directory: Path) -> Manifest:
    """The tree without what a seal that was killed left in it: files that this seal would write again.

    Raises:
        UsageError: what has their names is something else.
    """
    manifest = whole.without(taken)
    again = {name: hashlib.sha256(data).hexdigest() for name, data in _regenerated(manifest).items()}
    if any(file.sha256 != again[file.path] for file in whole.files if file.path in taken):
        raise _already_there(taken, directory)
    return manifest


def _already_there(names: Sequence[str], directory: Path) -> UsageError:
    return UsageError(
        f"{' and '.join(names)} already there",
        where=shown(directory),
        help="remove the old seal first, or seal beside the tree",
    )


def _regenerated(manifest: Manifest) -> dict[str, bytes]:
    """The two of those three files that follow from the tree."""
    return {INSIDE[0]: manifest.to_cosign_manifest(), INSIDE[1]: manifest.to_checksums()}


def _write_inside(directory: Path, manifest: Manifest, bundle: bytes, taken: Sequence[str]) -> list[Path]:
    """The three files. The bundle comes last: without it the other two mean nothing.

    Those in `taken` are there already, from a seal that was killed, and were found to be the same.
    Where one cannot be written, none stays: what is left of a seal would only be in the next one's way.
    """
    written: list[Path] = []
    try:
        for name, data in (*_regenerated(manifest).items(), (INSIDE[2], bundle)):
            if name not in taken:
                files.write_new(directory / name, data)
            written.append(directory / name)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written
