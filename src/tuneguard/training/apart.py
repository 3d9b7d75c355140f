"""What no training may see: a private key, and what it will be measured with (TRUST.md rules 7 and 9).

Stewards answer for data and base. Nobody seals code and configuration, and the author of the pipeline
file chooses both; so they are looked through, in the snapshot that is mounted. What an author encodes, or
puts together when the code runs, is not found: a policy that fixes code, configuration, command and
environment is what helps against that (`trust.policy.Model.fixed`).

The pipeline file names the evaluation set's place, and the policy's digest identifies the set.
A set that is not at hand where a training runs is common, and good: then nothing is claimed, and a
production policy that fixes not all four refuses.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneguard import files, limits
from tuneguard.artifact import digest as hashing
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest import evidence
from tuneguard.attest.predicates.provenance import Comparison
from tuneguard.attest.statement import TreeSet
from tuneguard.dataset.rows import hash_rows
from tuneguard.dataset.search import Search
from tuneguard.display import counted, short, shown
from tuneguard.errors import CannotLook, Refused, TuneguardError
from tuneguard.project.sealed import subject_of, verify_sealed
from tuneguard.trust.policy import described
from tuneguard.trust.verify import Expectation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tuneguard.project.project import Project
    from tuneguard.training.input import Input
    from tuneguard.trust.policy import SealedBy

_KEY = re.compile(rb"^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\s*$", re.MULTILINE)
_COMPANION = re.compile(
    r"(licen[cs]e|copying|notice|readme|authors|citation|changelog)([_-][\w-]*)?(\.(md|txt|rst|cff))?"
    r"|\.git(attributes|ignore|keep)|\.ds_store",
    re.IGNORECASE,
)
"""Files that come with trees of every kind, so that the same one in the code is no sign of anything."""
_TINY = 64
"""Bytes below which a file's digest proves nothing: empty files, ``{}``. Rows in it are found."""
_HELP = "keep keys and the evaluation set apart from what a training reads"


@dataclass(frozen=True)
class Measure:
    """What the policy measures a model with, as far as it is at hand.

    ``digest`` is the evaluation set's, empty where a steward's is named and none is here. ``manifest``
    and ``hashes`` are its files and the hashes of its rows, None and empty where it is not here, for the
    reason ``absent``.
    """

    digest: str
    manifest: Manifest | None = None
    hashes: bytes = b""
    absent: str = ""


def measure(project: Project) -> Measure | None:
    """The evaluation set of the policy, read now; None where the policy names none.

    Raises:
        Refused: the pipeline file names another set, or none is at hand where the policy cannot do without.
    """
    model = project.policy.models[project.pipeline.name]
    if model.evaluation is None:
        return None
    found = _at_hand(model.evaluation.set, project)
    if found.absent:
        _demand(f"the evaluation set is not at hand: {found.absent}", project)
    return found


def _at_hand(rule: str | SealedBy, project: Project) -> Measure:
    digest = rule if isinstance(rule, str) else ""
    named = project.pipeline.data.eval
    if named is None:
        return Measure(digest, absent="the pipeline file names none (data.eval)")
    path = project.pipeline.resolve(named.path)
    if not os.path.lexists(path):
        return Measure(digest, absent=f"nothing is at {shown(path)}")
    try:
        whole = hashing.hash_tree(path, reporter=project.reporter)
        manifest = subject_of(path, whole)
        if not _is_named(path, whole, manifest, rule, project):
            wanted = short(rule) if isinstance(rule, str) else described(rule)
            raise Refused(
                f"is not the evaluation set that the policy names ({wanted})",
                where=shown(path),
                help="restore it, or have the policy's owner name the new one: tuneguard policy set-model; "
                "where the set is not to be on this machine, leave out data.eval",
            )
        with files.directory(path) as root:
            rows = hash_rows(root, manifest, reporter=project.reporter)
    except CannotLook as error:
        return Measure(digest, absent=f"it cannot be read: {error.what}")
    return Measure(manifest.digest, manifest, b"" if rows is None else rows.hashes)


def _is_named(path: Path, whole: Manifest, subject: Manifest, rule: str | SealedBy, project: Project) -> bool:
    """Whether it is the set that the policy names: by digest, or by a steward's seal that counts now."""
    if isinstance(rule, str):
        return subject.digest == rule
    wanted = Expectation(purpose="train", now=project.now, model=project.pipeline.name, sealed="evaluation")
    pieces = evidence.read(evidence.folder_of(path))
    sealed = verify_sealed(path, whole, pieces, project.policy, wanted)
    return sealed.verification.passed and sealed.manifest == subject


def _demand(reason: str, project: Project) -> None:
    """Where nobody looked, a production policy relies on what it fixes; and fixes it, or refuses."""
    if project.policy.development or project.policy.models[project.pipeline.name].fixed:
        return
    raise Refused(
        f"code and configuration cannot be compared with the evaluation set: {reason}",
        help="bring the set along (data.eval), or have the policy's owner fix code, config, command and env: "
        "tuneguard policy set-model",
    )


def check(inputs: Sequence[Input], known: Measure | None, project: Project) -> Comparison | None:
    """Look through code and configuration for keys and for the evaluation set.

    Returns what the provenance may state of it; None where the policy names no set.

    Raises:
        Refused: an input holds a key, the set, one of its files or one of its rows; or the command does.
        CannotLook: the command is made so that looking through it would take for ever.
    """
    own = [item for item in inputs if item.role in ("code", "config")]
    for item in own:
        held = next(_private_keys(item), None)
        if held is not None:
            raise Refused(f"the {item.role} holds a private key", where=files.printable(held), help=_HELP)
    if known is None:
        return None
    if not known.digest:
        return None
    digest = TreeSet(known.digest)
    for item in (each for each in inputs if each.role == "dataset"):
        if known.digest in _digests(item.manifest):
            name = files.printable(item.dependency.name)
            raise Refused("the training data holds the evaluation set", where=name, help=_HELP)
    _check_whole(own, known.digest, project)
    if known.manifest is None:
        return Comparison(digest=digest, compared=False, how=f"the set is not at hand: {known.absent}")
    _check_files(own, known.manifest)
    search = Search(known.hashes)
    _check_command(search, project)
    passed_over = _check_rows(own, search)
    if passed_over:
        what = counted(len(passed_over), "file")
        reason = f"{what} could not be looked through, {passed_over[0]} among them"
        _demand(reason, project)
        return Comparison(digest=digest, compared=False, how=reason)
    looked = counted(sum(len(item.manifest.files) for item in own), "file")
    return Comparison(
        digest=digest, compared=True, how=f"{looked} hold none of its files and none of its rows"
    )


def _private_keys(item: Input) -> Iterator[str]:
    """The files of an input that are private keys in PEM form, encrypted ones too."""
    for file in item.manifest.files:
        small = file.size <= limits.KEY_BYTES
        if small and _KEY.search(files.read_bounded(item.path / file.path, limits.KEY_BYTES)):
            yield file.path


def _check_whole(own: Sequence[Input], digest: str, project: Project) -> None:
    """The set as the whole of an input, a folder in it, or a folder around it."""
    for item in own:
        if digest in _digests(item.manifest):
            name = files.printable(item.dependency.name)
            raise Refused(f"the {item.role} holds the evaluation set", where=name, help=_HELP)
    for path in (project.pipeline.train.code.path, project.pipeline.train.config):
        if path is not None and digest in _around(project.pipeline.resolve(path), project):
            raise Refused(
                "lies in the evaluation set", where=shown(project.pipeline.resolve(path)), help=_HELP
            )


def _digests(manifest: Manifest) -> Iterator[str]:
    """The tree digests of a tree and of every folder in it."""
    below: dict[str, list[File]] = {"": list(manifest.files)}
    for file in manifest.files:
        for at in (place for place, letter in enumerate(file.path) if letter == "/"):
            inside = File(file.path[at + 1 :], file.size, file.sha256)
            below.setdefault(file.path[: at + 1], []).append(inside)
    for held in below.values():
        yield Manifest(tuple(held)).digest


def _around(path: Path, project: Project) -> Iterator[str]:
    """The tree digests of the folders between a path and the project's, of what a tree can hold in each."""
    for folder in path.parents:
        if folder == project.folder:
            return
        with suppress(TuneguardError):
            yield hashing.hash_tree(folder, reporter=project.reporter, faults=[]).digest


def _check_files(own: Sequence[Input], measured: Manifest) -> None:
    """A file of the set under any name."""
    telling = {
        file.sha256: file.path
        for file in measured.files
        if file.size >= _TINY and not _COMPANION.fullmatch(file.path.rpartition("/")[2])
    }
    for item in own:
        for file in item.manifest.files:
            if file.sha256 in telling:
                name = files.printable(telling[file.sha256])
                raise Refused(
                    f"the {item.role} holds a file of the evaluation set, {name}",
                    where=files.printable(file.path),
                    help=_HELP,
                )


def _check_command(search: Search, project: Project) -> None:
    """A row of the set in the command or the environment, which the pipeline file hands to the training."""
    train = project.pipeline.train
    for what, words in (("command", train.command), ("environment", tuple(train.env.values()))):
        if search.look("\n".join(words).encode(errors="replace"), what) is not None:
            raise Refused(
                f"the {what} holds rows of the evaluation set",
                where=files.printable(project.pipeline.file),
                help=_HELP,
            )


def _check_rows(own: Sequence[Input], search: Search) -> list[str]:
    """A row of the set in any file. Returns what was too large or too tangled to be looked through."""
    left, passed_over = limits.SEARCH_BYTES, []
    every = [(item, file) for item in own for file in item.manifest.files]
    for item, file in sorted(every, key=lambda each: each[1].size):
        left -= file.size
        if left < 0:
            passed_over.append(files.printable(file.path))
            continue
        data = files.read_bounded(item.path / file.path, limits.SEARCH_BYTES)
        try:
            place = search.look(data, file.path)
        except CannotLook:
            passed_over.append(files.printable(file.path))
            continue
        if place is not None:
            raise Refused(
                f"the {item.role} holds rows of the evaluation set",
                where=f"{files.printable(file.path)}, {place}",
                help=_HELP,
            )
    return passed_over
