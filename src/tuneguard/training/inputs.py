"""What goes into a run: data sets, base, code, configuration, perhaps a checkpoint to resume from.

Each is snapshotted first and judged in the snapshot, so that what was verified is what is mounted.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneguard import files, limits
from tuneguard.artifact import digest as hashing
from tuneguard.artifact import snapshot
from tuneguard.artifact.tree import reported_together
from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance, verdict
from tuneguard.attest.statement import TreeSet
from tuneguard.display import counted, short, shown, signer_named, size
from tuneguard.errors import Refused
from tuneguard.gates import engine as gates
from tuneguard.gates import provenance as lineage
from tuneguard.project import evidence_log
from tuneguard.project.promoted import relied_on, verify_promoted
from tuneguard.project.sealed import remove_seal, verify_sealed
from tuneguard.scanner import engine
from tuneguard.scanner.rule import ruleset_digest
from tuneguard.spec import Place
from tuneguard.training import apart, git_source
from tuneguard.training.input import Input
from tuneguard.trust.policy import Promoted
from tuneguard.trust.subset import verify_part
from tuneguard.trust.verify import Expectation, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.artifact.snapshot import Snapshot
    from tuneguard.findings import Finding
    from tuneguard.project.project import Project
    from tuneguard.spec import DataSet

INSIDE = "/tuneguard"
"""Where a run finds its things inside the sandbox, whatever they are called outside."""
DATA = f"{INSIDE}/data"
"""Where the training data is: one data set itself, several each in a folder of its name."""


@dataclass(frozen=True)
class Gathered:
    """What goes into a run, and what was found out about it.

    ``scanned`` is the result of our own scan of the base, made in its snapshot; ``comparison`` is whether
    code and configuration were compared with the evaluation set, None where the policy names none.
    """

    inputs: tuple[Input, ...]
    scanned: dict[str, Any]
    comparison: provenance.Comparison | None

    def mounted(self) -> Iterator[tuple[Path, str]]:
        """Each folder that the sandbox is shown, and where it appears.

        The copies of listed data sets lie in one folder, which is ``{data}``; a data set that is bound in
        place covers its empty folder there.
        """
        copies = {item.path.parent for item in self.inputs if item.listed and item.how != "bind"}
        yield from ((folder, DATA) for folder in copies)
        for item in self.inputs:
            if not item.listed or item.how == "bind":
                yield item.path, item.inside


def gather(folder: Path, resume: Path | None, known: apart.Measure | None, project: Project) -> Gathered:
    """Snapshot and judge, in the new folder `folder`, all that goes into a run.

    Raises:
        Refused: an input is not what the policy asks for, or the base has findings.
        NotUnderstood: the scanner does not understand all of the base.
    """
    pipeline = project.pipeline
    check_place(pipeline.resolve(pipeline.train.code.path), "the code", project)
    check_place(pipeline.resolve(pipeline.train.config or "none"), "the configuration", project)
    folder.mkdir(mode=0o700)
    data = _data(folder / "data", project)
    base = _base(pipeline.resolve(pipeline.base.path), folder / "base", project)
    scanned = _scan_base(base, pipeline.resolve(pipeline.base.path), project)
    code = _hashed(pipeline.resolve(pipeline.train.code.path), folder / "code", "code", project)
    config = _configuration(pipeline.train.config, folder / "config", project)
    inputs = [*data, base, code, config]
    if resume is not None:
        inputs.append(_resumed(resume, folder / "resume", known, project, *data, base))
    return Gathered(tuple(inputs), scanned, apart.check(inputs, known, project))


def check_place(path: Path, what: str, project: Project) -> None:
    """What no seal stands for lies in the project's folder, outside Tuneguard's own, behind no link.

    The pipeline file is not trusted. Without this it could show the training any file that the builder
    can read, a key or a cloud's password, and have it write where later programs are started from.

    Raises:
        Refused: it lies elsewhere, or holds Tuneguard's own folder.
    """
    real = Path(os.path.realpath(path))
    own = project.state
    if real != path or not real.is_relative_to(project.folder) or _overlap(real, own):
        raise Refused(
            f"{what} must lie in the project's folder, reached by no link and no `..`, apart from {own.name}",
            where=shown(path),
            help="move it there, and name it as seen from the pipeline file",
        )


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def still_the_same(inputs: tuple[Input, ...], project: Project) -> None:
    """Hash again what was too large to copy and was bound in place: it must not have changed.

    Raises:
        Refused: it did.
    """
    for item in inputs:
        if item.how == "bind" and hashing.hash_tree(item.path, reporter=project.reporter) != item.manifest:
            raise Refused(
                f"the {item.what} changed during the run",
                help="find out who can write there; nothing was signed",
            )


def _scan_base(base: Input, source: Path, project: Project) -> dict[str, Any]:
    """The run scans the base itself, before anything opens it (TRUST.md rule 9)."""
    found = engine.scan_tree(base.path, base.manifest, reporter=project.reporter)
    evidence_log.check_clean(found, "base", source)
    project.reporter.emit(
        "Scanned", f"base  {counted(found.files, 'file')}, {size(found.bytes)}, no findings"
    )
    return {"verdict": "passed", "findings": len(found.findings), "ruleset": ruleset_digest()}


def _taken(source: Path, target: Path, project: Project, faults: list[Finding]) -> Snapshot:
    return snapshot.take(
        source, target, reporter=project.reporter, copy_limit=limits.SNAPSHOT_COPY_BYTES, faults=faults
    )


def _data(folder: Path, project: Project) -> list[Input]:
    """The training data: one data set, or a folder for each of a list.

    Raises:
        Refused: one is not what the policy asks for, or two are the same files.
    """
    train = project.pipeline.data.train
    if isinstance(train, Place):
        return [_sealed(project.pipeline.resolve(train.path), folder, "dataset", project)]
    folder.mkdir(mode=0o700)
    found: dict[str, Input] = {}
    for each in train:
        made = _sealed(project.pipeline.resolve(each.path), folder / each.name, "dataset", project, each)
        twin = found.setdefault(made.manifest.digest, made)
        if twin is not made:
            raise Refused(
                f"the data sets {twin.dependency.name} and {each.name} hold the same files",
                where=shown(project.pipeline.resolve(each.path)),
                help="name it once; its share of the mixture is its weight",
            )
        if made.how == "bind":
            (folder / each.name).mkdir()
    folder.chmod(0o500)
    return list(found.values())


def _sealed(source: Path, target: Path, kind: str, project: Project, listed: DataSet | None = None) -> Input:
    """A snapshot of a sealed tree, which the policy lists; one of a list is sealed under its very name."""
    what = kind if listed is None else f"{kind} {listed.name}"
    faults: list[Finding] = []
    with reported_together(faults, str(source)):
        taken = _taken(source, target, project, faults)
        pieces = evidence.read(
            project.evidence_of(source) if project.evidence_option else evidence.folder_of(source)
        )
        expectation = Expectation(
            purpose="train",
            now=project.now,
            model=project.pipeline.name,
            sealed=kind,  # type: ignore[arg-type]
            data_name=None if listed is None else listed.name,
        )
        sealed = verify_sealed(taken.path, taken.manifest, pieces, project.policy, expectation, faults)
        if not sealed.verification.passed:
            raise Refused(
                f"the {what} is not what the policy asks for",
                where=shown(source),
                help="restore the sealed files, or have the steward look at them and seal them again",
                findings=sealed.verification.findings,
            )
    if sealed.manifest != taken.manifest and taken.how != "bind":
        remove_seal(taken.path)
    body = sealed.seal.body
    if kind == "dataset" and body.rows is None:
        _check_promotable_without_rows(what, source, project)
    steward = signer_named(sealed.seal.identity, sealed.seal.custodian)
    project.reporter.emit(
        "Verified",
        f"{kind} {body.name}@{body.version}  "
        f"{counted(len(taken.manifest.files), 'file')}, {size(taken.manifest.size)}  ({taken.how})",
        f"tree {short(sealed.manifest.digest)}  sealed by {steward}",
    )
    return Input(
        role=kind,
        path=taken.path,
        inside=f"{INSIDE}/{kind}"
        if kind != "dataset"
        else DATA
        if listed is None
        else f"{DATA}/{listed.name}",
        manifest=taken.manifest if taken.how == "bind" else sealed.manifest,
        how=taken.how,
        dependency=provenance.Dependency.of(
            role="data" if kind == "dataset" else kind,
            name=body.name,
            version=body.version,
            digest={"dirHash": sealed.manifest.digest},
            weight=None if listed is None else listed.weight,
        ),
        listed=listed is not None,
        # promotion demands the data's seals anew, the base's only where the key behind it was stolen
        relied_on=evidence_log.relied_on([sealed.seal], project.policy) if kind == "base" else (),
    )


def _check_promotable_without_rows(what: str, source: Path, project: Project) -> None:
    """Refuse what no promotion could let pass: it compares rows with those of the evaluation set.

    Raises:
        Refused: the policy names an evaluation set.
    """
    if project.policy.models[project.pipeline.name].evaluation is not None:
        raise Refused(
            f"the seal of the {what} counts no rows, so that what is trained on it is never promoted",
            where=shown(source),
            help="have the steward seal it again with Parquet, Arrow, JSON Lines or CSV in it; for the first "
            "two, with pip install 'tuneguard[rows]'",
        )


def _base(source: Path, target: Path, project: Project) -> Input:
    """The base: sealed by a steward, or a promoted model where the policy lists such.

    Raises:
        Refused: it is neither.
    """
    models = [
        each.model
        for each in project.policy.models[project.pipeline.name].bases
        if isinstance(each, Promoted)
    ]
    if not models or not any(
        piece.kind == verdict.KIND for piece in evidence.read(evidence.folder_of(source))
    ):
        return _sealed(source, target, "base", project)
    try:
        return _promoted(source, target, models, project)
    except Refused as refused:
        snapshot.remove(target)
        with suppress(Refused):  # what lies beside a sealed base takes nothing away from its seal
            return _sealed(source, target, "base", project)
        raise refused from None


def _promoted(source: Path, target: Path, models: list[str], project: Project) -> Input:
    faults: list[Finding] = []
    with reported_together(faults, str(source)):
        taken = _taken(source, target, project, faults)
        pieces = evidence.read(evidence.folder_of(source))
        judged = {model: verify_promoted(taken.manifest, pieces, model, project, faults) for model in models}
    model = next((model for model, seen in judged.items() if seen.passed), None)
    if model is None:
        raise Refused(
            f"the base is not a promoted {' or '.join(models)}",
            where=shown(source),
            help="pull it again, with its evidence; or promote it first",
            findings=tuple(dict.fromkeys(each for seen in judged.values() for each in seen.findings)),
        )
    seen = judged[model]
    claim = evidence_log.verdict_of(seen)
    project.reporter.emit(
        "Verified",
        f"base {model}, run {claim.body.run}  "
        f"{counted(len(taken.manifest.files), 'file')}, {size(taken.manifest.size)}  ({taken.how})",
        f"tree {short(taken.manifest.digest)}  promoted by {signer_named(claim.identity, claim.custodian)}",
    )
    dependency = provenance.Dependency.of(
        role="base",
        name=model,
        version=claim.body.run,
        digest={"dirHash": taken.manifest.digest},
        verdict=claim.sha256,
    )
    everybody = relied_on(seen, project)
    return Input("base", taken.path, f"{INSIDE}/base", taken.manifest, taken.how, dependency, everybody)


def _hashed(source: Path, target: Path, role: str, project: Project) -> Input:
    taken = snapshot.take(source, target, reporter=project.reporter)
    allowed = project.policy.models[project.pipeline.name].code
    _check_listed(role, taken.manifest.digest, allowed, source)
    git = git_source.source_of(source, taken.path, taken.manifest)
    project.reporter.emit(
        "Hashed",
        f"{role}  {counted(len(taken.manifest.files), 'file')}",
        f"tree {short(taken.manifest.digest)}",
        *([] if git is None else [files.printable(str(git))]),
    )
    dependency = provenance.Dependency.of(
        role=role, name=source.name, version=None, digest={"dirHash": taken.manifest.digest}, git=git
    )
    return Input(role, taken.path, f"{INSIDE}/{role}", taken.manifest, taken.how, dependency)


def _configuration(path: str | None, folder: Path, project: Project) -> Input:
    """The configuration is one file: its snapshot is a folder that holds just it.

    Where the pipeline names none, it is the empty file ``none``, so that this too is recorded.
    """
    source = project.pipeline.resolve(path or "none")
    data = b"" if path is None else files.read_bounded(source, limits.RECORD_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    folder.mkdir(mode=0o700)
    files.write_new(folder / source.name, data, mode=0o444)
    _check_listed("config", digest, project.policy.models[project.pipeline.name].config, source)
    dependency = provenance.Dependency.of(
        role="config", name=source.name, version=None, digest={"sha256": digest}
    )
    return Input("config", folder, f"{INSIDE}/config", hashing.hash_tree(folder), "copy", dependency)


def _check_listed(role: str, digest: str, allowed: tuple[str, ...] | None, source: Path) -> None:
    if allowed is not None and digest not in allowed:
        raise Refused(
            f"the policy does not list this {role} ({short(digest)})",
            where=shown(source),
            help="restore what the policy lists, or ask the policy's owner to list it",
        )


def _against_parent(
    body: provenance.Provenance, known: apart.Measure | None, same: tuple[Input, ...], project: Project
) -> Iterator[Finding]:
    """The reasons not to resume from a run. Its base is one that the policy lists, as this run's own."""
    model, measured = project.policy.models[project.pipeline.name], () if known is None else (known.digest,)
    yield from lineage.faults_of_run(project.policy, model, body, measured)
    read = {(each.role, *each.digest.values()) for each in (*body.data, body.base)}
    if read != {(item.dependency.role, *item.dependency.digest.values()) for item in same}:
        message = f"run {files.printable(body.run)} had other data, or another base, than this one"
        yield gates.fault(lineage.GATE, message)


def _run_of(source: Path) -> tuple[Path, str]:
    """The folder beside which evidence lies, `source` or one around it, and the path of `source` in it."""
    source = source.absolute()
    for folder in (source, *source.parents):
        if folder.name and os.path.lexists(evidence.folder_of(folder)):
            return folder, "" if folder == source else source.relative_to(folder).as_posix()
    return source, ""


def _resumed(
    source: Path, target: Path, known: apart.Measure | None, project: Project, *same: Input
) -> Input:
    """An earlier checkpoint: only one that the builder signed for the run it names, scanned clean.

    It is the run's whole output, or a folder in it, which the run's signed list of files holds.

    What was wrong with that run is wrong with this one too, whose provenance does not repeat it: so
    it must have kept what the policy wants of a run, on the `same` data and base as this one.
    """
    faults: list[Finding] = []
    with reported_together(faults, str(source)):
        taken = _taken(source, target, project, faults)
        run, path = _run_of(source)
        pieces = evidence.read(evidence.folder_of(run))
        expectation = Expectation(purpose="resume", now=project.now, model=project.pipeline.name)
        if path:
            seen = verify_part(taken.manifest, path, pieces, project.policy, expectation, faults)
        else:
            seen = verify(taken.manifest, pieces, project.policy, expectation, faults)
        if not seen.passed:
            raise Refused(
                "the checkpoint to resume from is not what the builder signed",
                where=shown(source),
                help="resume from a signed checkpoint, unchanged",
                findings=seen.findings,
            )
    scanned = engine.scan_tree(taken.path, taken.manifest, reporter=project.reporter)
    evidence_log.check_clean(scanned, "checkpoint to resume from", source)
    against = {
        claim.body.run: tuple(_against_parent(claim.body, known, same, project))
        for claim in gates.ordered(seen.counting(provenance.Provenance))
    }
    parent = next((run for run, found in against.items() if not gates.refuses(found)), None)
    if parent is None:
        raise Refused(
            "the run to resume from is not one whose result could be promoted with this one's",
            where=shown(source),
            help="resume with the same data and base; or begin a new run from a sealed base",
            findings=tuple(finding for found in against.values() for finding in found),
        )
    within = f", {files.printable(path)}" if path else ""
    project.reporter.emit(
        "Verified", f"resumes from run {parent}{within}", f"tree {short(taken.manifest.digest)}"
    )
    dependency = provenance.Dependency.of(
        role="parent",
        name=parent,
        version=None,
        digest={"dirHash": taken.manifest.digest},
        part=provenance.Part(path, TreeSet(seen.digest)) if path else None,
    )
    return Input(
        role="resume",
        path=taken.path,
        inside=f"{INSIDE}/resume",
        manifest=taken.manifest,
        how=taken.how,
        dependency=dependency,
        relied_on=(
            *evidence_log.relied_on(seen.claims, project.policy),
            *(each for claim in seen.counting(provenance.Provenance) for each in claim.body.relied_on),
        ),
    )
