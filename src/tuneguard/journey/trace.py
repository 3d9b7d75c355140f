"""Trace a tree: what it was made from, who judged it, and where it went.

Reads the evidence beside the tree, what the policy believes of it, and the ledger. Evidence that
does not count is not shown as fact.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import digest as hashing
from tuneguard.attest import evidence
from tuneguard.attest.evidence import SEAL_INSIDE, Piece
from tuneguard.attest.predicates.evaluation import Evaluation
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.seal import Seal
from tuneguard.display import local_time, short, shown, signer_named
from tuneguard.errors import CannotLook, UsageError
from tuneguard.facts import Derivation, Generation, Happened, Ingredient, TraceFacts
from tuneguard.files import printable
from tuneguard.findings import Result, Subject, Verdict
from tuneguard.project.evidence_log import reference
from tuneguard.project.project import Project
from tuneguard.promotion.lineage import lineage
from tuneguard.records import to_json
from tuneguard.spec import Place
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.facts import Lineage
    from tuneguard.ledger.entry import Entry
    from tuneguard.trust.claims import Claim, Verification
    from tuneguard.typed import JsonStruct

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_SHORT = re.compile(r"(?:sha256:)?([0-9a-f]{8,63})")
"""The beginning of a digest, as every text output shows it."""


def trace(subject: str, *, project: Project | None = None) -> Result[TraceFacts]:
    """Everything known of `subject`, a folder, a tree digest or an OCI manifest digest.

    A digest's beginning, of 8 digits or more, will do where no folder has that name.

    Raises:
        UsageError: it is neither, a beginning has several ends, or there is no ledger to ask about it.
        CannotLook: nothing at all is known of it.
    """
    project = project or Project()
    found = _DIGEST.fullmatch(subject) or (None if Path(subject).exists() else _SHORT.fullmatch(subject))
    folder = None if found else Path(subject)
    if folder is not None:
        tree = hashing.hash_tree(folder, reporter=project.reporter).digest
    elif project.ledger is None:
        raise UsageError(
            "a digest alone is looked up in a ledger, and there is none here", help="name the folder"
        )
    else:
        assert found is not None
        tree = _tree_of(found[1], project)
    entries = () if project.ledger is None else tuple(project.ledger.entries(tree=tree))
    seen = _evidence(folder if folder is not None else _folder_of(entries, project), tree, project)
    claims = () if seen is None else seen.claims
    if not entries and not claims:
        raise CannotLook(f"nothing is known of {short(tree)}", help="look in the project that made it")
    made = next((claim.body for claim in claims if isinstance(claim.body, Provenance)), None)
    _tell(tree, made, claims, entries, project)
    derived = tuple(_derivations(tree, claims, made, project))
    for one in derived:
        named = (f"{each.role:<10}{_of(each)}" for each in one.made_from)
        project.reporter.emit("derived", f"{one.name}@{one.version}  {short(one.tree)}", *named)
    earlier = tuple(_earlier(tree, made, project))
    for each in earlier:
        project.reporter.emit("earlier", *_generation(each.lineage))
    return Result(
        command="trace",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(folder) if folder is not None else short(tree), tree),),
        evidence=tuple(reference(claim) for claim in claims),
        facts=TraceFacts(
            tree=tree,
            lineage=None if made is None else lineage(made),
            history=tuple(map(_happened, entries)),
            earlier=earlier,
            derived=derived,
        ),
        notes=project.remarks,
    )


def _derivations(
    tree: str, claims: tuple[Claim[JsonStruct], ...], made: Provenance | None, project: Project
) -> Iterator[Derivation]:
    """What the tree's own seal, and those of the data that it was trained on, state of preprocessing."""
    yield from (_derivation(tree, claim.body) for claim in claims if _states(claim))
    if made is None or not project.in_project:
        return
    train = project.pipeline.data.train
    folders = [
        project.pipeline.resolve(each.path) for each in ([train] if isinstance(train, Place) else train)
    ]
    for data in (each.digest["dirHash"] for each in made.data if "dirHash" in each.digest):
        seen = (_evidence(folder, data, project) for folder in folders)
        stated = (claim for one in seen if one is not None for claim in one.claims if _states(claim))
        yield from (_derivation(data, claim.body) for claim in islice(stated, 1))


def _states(claim: Claim[JsonStruct]) -> bool:
    return isinstance(claim.body, Seal) and claim.body.derived is not None


def _derivation(tree: str, body: JsonStruct) -> Derivation:
    assert isinstance(body, Seal)
    assert body.derived is not None
    inputs = [
        Ingredient(
            role="input", name=each.name, version=each.version, digest={"dirHash": each.digest.dir_hash}
        )
        for each in body.derived.inputs
    ]
    if (code := body.derived.transform) is not None:
        inputs.append(Ingredient(role="transform", name=code.name, version=None, digest=dict(code.digest)))
    return Derivation(tree=tree, name=body.name, version=body.version, made_from=tuple(inputs))


def _of(each: Ingredient) -> str:
    version = f"@{each.version}" if each.version else ""
    return f"{each.name}{version}  {short(next(iter(each.digest.values())))}"


def _earlier(tree: str, made: Provenance | None, project: Project) -> Iterator[Generation]:
    """The runs that made what this one began from, and those before them, each tree once.

    A tree is followed as far as evidence about it counts here: beside its run's checkpoint, or beside the
    pipeline's base.
    """
    met, waiting = {tree}, [] if made is None else [*_began_from(made)]
    while waiting and len(met) <= limits.GENERATIONS:
        tree = waiting.pop(0)
        if tree in met:
            continue
        met.add(tree)
        body = _provenance_of(tree, project)
        if body is not None:
            yield Generation(tree=tree, lineage=lineage(body))
            waiting += _began_from(body)


def _began_from(body: Provenance) -> Iterator[str]:
    """The trees of its base and of the run that it resumed."""
    for each in (body.base, *body.definition.of_role("parent")):
        if each.annotations.part is not None:
            yield each.annotations.part.of.dir_hash
        elif "dirHash" in each.digest:
            yield each.digest["dirHash"]


def _provenance_of(tree: str, project: Project) -> Provenance | None:
    entries = () if project.ledger is None else tuple(project.ledger.entries(tree=tree))
    folders = [_folder_of(entries, project)]
    if project.in_project:
        folders.append(project.pipeline.resolve(project.pipeline.base.path))
    for folder in folders:
        seen = _evidence(folder, tree, project)
        for claim in () if seen is None else seen.claims:
            if isinstance(claim.body, Provenance):
                return claim.body
    return None


def _generation(made: Lineage) -> tuple[str, ...]:
    """An earlier run and what it was made from, on a line each."""
    inputs = (f"{each.role:<7}{_of(each)}" for each in made.made_from)
    return (f"{made.model}, run {made.run}, {made.kind}", *inputs)


def _tree_of(digest: str, project: Project) -> str:
    """The tree that a digest means: itself, or the tree of that manifest in the ledger."""
    assert project.ledger is not None
    meant = {
        entry.tree
        for entry in project.ledger.entries()
        if entry.tree is not None
        and (
            entry.tree.startswith(digest) or str(entry.detail.get("manifest")).startswith(f"sha256:{digest}")
        )
    }
    if len(meant) > 1:
        raise UsageError(f"{len(meant)} trees of the ledger begin with {digest}", help="give more digits")
    return meant.pop() if meant else digest


def _folder_of(entries: tuple[Entry, ...], project: Project) -> Path | None:
    """Where the run's checkpoint lies, as the pipeline states."""
    run = next((entry.run for entry in entries if entry.run), None)
    return None if run is None else project.pipeline.checkpoint_folder(run)


def _evidence(folder: Path | None, tree: str, project: Project) -> Verification | None:
    if folder is None:
        return None
    pieces = [*evidence.read(project.evidence_of(folder))]
    inside = folder / SEAL_INSIDE
    if inside.is_file() and not inside.is_symlink():
        pieces.append(Piece(SEAL_INSIDE, files.read_bounded(inside, limits.BUNDLE_BYTES)))
    return verify(tree, pieces, project.policy, Expectation(purpose="integrity", now=project.now))


def _tell(
    tree: str,
    made: Provenance | None,
    claims: tuple[Claim[JsonStruct], ...],
    entries: tuple[Entry, ...],
    project: Project,
) -> None:
    say = project.reporter.emit
    say("Tree", tree)
    if made is not None:
        times = made.details.metadata
        for item in (*made.data, made.base, made.code, made.config):
            digest = next(iter(item.digest.values()))
            version = f"@{item.version}" if item.version else ""
            git = item.annotations.git
            more = [] if git is None else [f"{'':<7}{printable(str(git))}"]
            say("from", f"{item.role:<7}{item.name}{version}  {short(digest)}", *more)
        if made.chosen.parent is not None:
            say("from", f"run    {made.chosen.parent}")
        say(
            "by run",
            f"{made.run}, {made.chosen.kind}  "
            f"{local_time(times.started)} to {local_time(times.finished)[11:]} claimed",
        )
    for claim in claims:
        if claim.kind != "provenance":
            when = f", {local_time(claim.time)} claimed" if claim.time else ""
            say(claim.kind, f"{_result(claim)}by {signer_named(claim.identity, claim.custodian)}{when}")
    for entry in entries:
        if entry.event.value in ("attempt", "tagged", "done"):
            say(f"ledger {entry.sequence}", _history(entry))


def _result(claim: Claim[JsonStruct]) -> str:
    """The result of a judge; an evaluation only counts, and its numbers are judged by the gate."""
    if isinstance(claim.body, Evaluation):
        return "".join(f"{suite.id} {suite.count}/{suite.n}  " for suite in claim.body.counts.suites)
    said = getattr(claim.body, "result", None) or getattr(claim.body, "verdict", None)
    return f"{said.lower()}  " if isinstance(said, str) else ""


def _history(entry: Entry) -> str:
    manifest = entry.detail.get("manifest")
    parts = [local_time(entry.time), entry.event.value, entry.command, entry.result or ""]
    if entry.detail.get("tag"):
        parts.append(f"tag {entry.detail['tag']}")
    if isinstance(manifest, str):
        parts.append(f"manifest {short(manifest)}")
    return "  ".join(part for part in parts if part)


def _happened(entry: Entry) -> Happened:
    return Happened(
        sequence=entry.sequence,
        time=entry.time,
        event=entry.event.value,
        command=entry.command,
        run=entry.run,
        attempt=entry.attempt,
        result=entry.result,
        detail=json.loads(to_json(entry.detail)),
    )
