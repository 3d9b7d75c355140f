"""What a tag names: pointers issued by the promoter, followed by every pull (TRUST.md rule 23).

`issue` attaches a signed pointer to the manifest before the tag is set; `follow` finds the one that counts
when a tag is pulled; `remember` keeps the newest that this machine has seen, in ``$TUNEGUARD_HOME/releases``
and in the ledger where there is one, so that an older one is not believed again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuneguard import files, limits, typed
from tuneguard.attest import evidence
from tuneguard.attest.evidence import Piece
from tuneguard.attest.predicate import body_of
from tuneguard.attest.predicates import release as releases
from tuneguard.attest.statement import PAYLOAD_TYPE, Sha256Set, Statement
from tuneguard.display import rfc3339, short
from tuneguard.errors import Refused, TuneguardError, UsageError
from tuneguard.ledger.entry import Event
from tuneguard.oci.client import attach, bundles
from tuneguard.oci.manifest import read, referrer
from tuneguard.records import read_json, to_json
from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.trust import root
from tuneguard.trust.claims import Released
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneguard.attest.predicates.release import Release
    from tuneguard.oci.client import Registry
    from tuneguard.oci.manifest import ModelManifest
    from tuneguard.oci.reference import Reference
    from tuneguard.project.project import Project
    from tuneguard.signing.signer import Signer
    from tuneguard.trust.claims import Purpose, Verification

FOLDER = "releases"
"""The folder of the person's own configuration in which the newest release of each tag is kept."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a model's repository, as the policy knows both."""

    model: str
    repository: str
    name: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.name}"


def tag_of(project: Project, model: str, target: Reference) -> Tag:
    """The tag of `target`, in the repository that the policy fixes for `model`.

    Raises:
        UsageError: the reference names no tag.
    """
    if target.tag is None:
        raise UsageError("names no tag", where=str(target), help="add :TAG")
    return Tag(model, project.policy.models[model].repository, target.tag)


def attached(registry: Registry, manifest: ModelManifest) -> list[Piece]:
    """All bundles attached to a manifest, of which nothing is believed yet."""
    found = bundles(registry, manifest.digest, files=limits.EVIDENCE_FILES, limit=limits.EVIDENCE_BYTES)
    return [Piece(evidence.file_name(_kind(data), data), data) for data in found]


def _kind(data: bytes) -> str:
    """The kind of a bundle, unverified, for its file's name."""
    try:
        bundle = read_bundle(data, "attached evidence")
        return body_of(Statement.decode(bundle.payload, "attached evidence"), "attached evidence")[0]
    except TuneguardError:
        return "attached"


# --- Following -------------------------------------------------------------------------------------


def follow(
    tag: Tag, manifest: ModelManifest, pieces: Sequence[Piece], project: Project
) -> tuple[Release, tuple[str, ...]]:
    """The newest pointer by which `tag` names `manifest` now, and the notes about it.

    Raises:
        Refused: none counts: there is none, it ran out, it is of another tag or repository, nobody may
            have signed it, or it is older than what this machine or its ledger knows.
    """
    seen = _judged("release", tag, manifest, pieces, project, remembered(tag, project))
    if not seen.passed:
        raise _unproven(tag, manifest, seen)
    return remember(tag, _newest(seen)), seen.notes


def _unproven(tag: Tag, manifest: ModelManifest, seen: Verification) -> Refused:
    return Refused(
        f"no release that counts makes the tag {tag.name} name {short(manifest.digest)} now",
        where=str(tag),
        help="have the promoter release it (push or renew), or pull by digest: @sha256:…",
        findings=seen.findings,
    )


def _judged(
    purpose: Purpose,
    tag: Tag,
    manifest: ModelManifest,
    pieces: Sequence[Piece],
    project: Project,
    known: Released | None,
) -> Verification:
    return verify(
        manifest.tree,
        pieces,
        project.policy,
        Expectation(
            purpose=purpose,
            now=datetime.now(UTC),  # not when the command began: a pointer may be younger than that
            model=tag.model,
            manifest_digest=manifest.digest,
            repository=tag.repository,
            tag=tag.name,
            released=known,
        ),
    )


def _newest(seen: Verification) -> Release:
    found = [claim.body for claim in seen.counting(releases.Release)]
    return max(found, key=lambda body: body.sequence)


# --- Issuing ---------------------------------------------------------------------------------------


def signer_of(tag: Tag, project: Project) -> Signer:
    """The promoter's signer, whom the policy lets sign releases of this model.

    Raises:
        UsageError: there is no key of the promoter's.
        Refused: the policy does not let them, and whatever they sign would not be believed.
    """
    signer = project.signer("promoter")
    key = signer.public_key
    named = {each.name for each in project.policy.identities.values() if each.key == key}
    wanted = {role for each in project.policy.require["release"] for role in each.roles}
    allowed = (
        role
        for role in project.policy.roles.values()
        if role.name in wanted and releases.KIND in role.evidence and tag.model in role.models
    )
    if any(named & set(role.any_of) for role in allowed):
        return signer
    raise Refused(
        f"the policy does not let this key sign releases of {tag.model}",
        where=str(tag),
        help="let the promoter sign release in the policy, or push without a tag",
    )


def issue(tag: Tag, manifest: ModelManifest, registry: Registry, signer: Signer, project: Project) -> Release:
    """Attach a pointer that is newer than any known one; one that is that already is kept.

    The sequence is above the ledger's size, what this machine remembers, and the pointer of the manifest
    that the tag names now, whichever is highest.

    Raises:
        Refused: the pointer would not count.
    """
    known = remembered(tag, project)
    standing, before = _standing(tag, registry, project)
    pieces = attached(registry, manifest)
    mine = _judged("release", tag, manifest, pieces, project, known)
    if mine.passed:
        kept = _newest(mine)
        if standing is None or standing.manifest.oci == manifest.digest or kept.sequence > standing.sequence:
            return remember(tag, kept)
    made = _signed(tag, manifest, registry, signer, project, known, standing, before)
    return remember(tag, made)


def again(tag: Tag, manifest: ModelManifest, registry: Registry, signer: Signer, project: Project) -> Release:
    """A new pointer for the manifest that the tag names rightly already, be the old one run out or not.

    Raises:
        Refused: there is no pointer to renew, or a newer one is known: the tag went back.
    """
    known = remembered(tag, project)
    seen = _judged("renew", tag, manifest, attached(registry, manifest), project, known)
    if not seen.passed:
        raise _unproven(tag, manifest, seen)
    made = _signed(tag, manifest, registry, signer, project, known, _newest(seen), manifest.digest)
    return remember(tag, made)


def _signed(
    tag: Tag,
    manifest: ModelManifest,
    registry: Registry,
    signer: Signer,
    project: Project,
    known: Released | None,
    standing: Release | None,
    before: str | None,
) -> Release:
    above = [each.sequence + 1 for each in (known, standing) if each is not None]
    size = 0 if project.ledger is None or not project.ledger.path.exists() else project.ledger.head().size
    now = datetime.now(UTC)
    body = releases.Release(
        model=tag.model,
        repository=tag.repository,
        tag=tag.name,
        manifest=Sha256Set(manifest.digest.removeprefix("sha256:")),
        sequence=max(size, 1, *above),
        issued=rfc3339(now),
        not_after=rfc3339(now + project.policy.release_lifetime),
        previous=None if before is None else Sha256Set(before.removeprefix("sha256:")),
    )
    statement = releases.PREDICATE.statement(tag.model, manifest.tree.digest, body)
    data = make_bundle(signer, PAYLOAD_TYPE, statement.encode())
    piece = Piece(evidence.file_name(releases.KIND, data), data)
    seen = _judged("release", tag, manifest, [piece], project, known)
    if not seen.passed:
        raise _unproven(tag, manifest, seen)
    attach(registry, referrer(manifest.descriptor, data, name=piece.name))
    return body


def _standing(tag: Tag, registry: Registry, project: Project) -> tuple[Release | None, str | None]:
    """The pointer by which the tag names what it names now, run out or not, and that manifest's digest."""
    digest = registry.resolve(tag.name)
    if digest is None:
        return None, None
    try:
        manifest = read(registry.read_manifest(digest), f"{tag}@{digest}")
        seen = _judged("renew", tag, manifest, attached(registry, manifest), project, None)
    except TuneguardError:  # somebody else's image stands there: it has no pointer of ours
        return None, digest
    return (_newest(seen) if seen.passed else None), digest


# --- Remembering -----------------------------------------------------------------------------------


def as_detail(body: Release) -> Mapping[str, Any]:
    """A pointer as an entry of the ledger records it, in its detail."""
    return {"repository": body.repository, "tag": body.tag, "sequence": body.sequence}


def remembered(tag: Tag, project: Project) -> Released | None:
    """The newest release of a tag that this machine has believed, or that its ledger records."""
    known = [each for each in (_from_home(tag), *_from_ledger(tag, project)) if each is not None]
    if not known:
        return None
    newest = max(known, key=lambda each: each.sequence)
    return Released(newest.sequence, newest.manifest, max(each.seen for each in known))


def remember(tag: Tag, body: Release) -> Release:
    """Keep a release that was believed, unless a newer one is kept.

    Raises:
        CannotLook: it cannot be written, so that an older one could be believed later.
    """
    path = _place(tag)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.directory(path.parent) as folder:
            fcntl.flock(folder, fcntl.LOCK_EX)
            kept, now = _from_home(tag), datetime.now(UTC)
            if kept is None or body.sequence >= kept.sequence:
                seen = now if kept is None else max(now, kept.seen)
                kept = Released(body.sequence, body.manifest.oci, seen)
            values = {
                "repository": tag.repository,
                "tag": tag.name,
                "sequence": kept.sequence,
                "manifest": kept.manifest.removeprefix("sha256:"),
                "seen": rfc3339(kept.seen),
            }
            files.write_replacing(path, to_json(values) + b"\n", mode=0o600)
    except OSError as error:
        raise files.cannot_look(error, path) from error
    return body


class _Memory(typed.JsonStruct, frozen=True):
    repository: typed.Text
    tag: typed.Text
    sequence: typed.Count
    manifest: typed.Sha256
    seen: typed.Time

    def __post_init__(self) -> None:
        typed.check_times(seen=self.seen)


def _place(tag: Tag) -> Path:
    name = hashlib.sha256(f"{tag.repository}\n{tag.name}".encode()).hexdigest()[:32]
    return root.home() / FOLDER / f"{name}.json"


def _from_home(tag: Tag) -> Released | None:
    path = _place(tag)
    if not os.path.lexists(path):
        return None
    where = files.printable(str(path))
    data = files.read_bounded(path, limits.RELEASE_MEMORY)
    kept = typed.read(read_json(data, where, limit=limits.RELEASE_MEMORY), _Memory, where)
    if (kept.repository, kept.tag) != (tag.repository, tag.name):
        raise Refused("is the memory of another tag", where=where, help="find out who put it there")
    return Released(kept.sequence, f"sha256:{kept.manifest}", datetime.fromisoformat(kept.seen))


def _from_ledger(tag: Tag, project: Project) -> list[Released]:
    """What the ledger records of a tag. Those who write it can remove that, but not the home's copy."""
    if project.ledger is None or not project.ledger.path.exists():
        return []
    found = []
    for entry in project.ledger.entries(model=tag.model):
        body, manifest = entry.detail.get("release"), entry.detail.get("manifest")
        if entry.event not in (Event.TAGGED, Event.DONE) or not isinstance(body, Mapping):
            continue
        sequence = body.get("sequence")
        same = (body.get("repository"), body.get("tag")) == (tag.repository, tag.name)
        if same and isinstance(sequence, int) and isinstance(manifest, str):
            found.append(Released(sequence, manifest, datetime.fromisoformat(entry.time)))
    return found
