"""What is known before a training about the promotion of what it makes.

What only another training could fix is refused in `training.prepare`. What is here can be fixed afterwards as
well: the training goes on, and it is said before it begins.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from typing import TYPE_CHECKING

from tuneguard import files, paste
from tuneguard.artifact import digest as hashing
from tuneguard.artifact.tree import survey
from tuneguard.attest import evidence
from tuneguard.display import short, shown, size
from tuneguard.errors import TuneguardError
from tuneguard.evaluation.model import wanted
from tuneguard.findings import REFUSING
from tuneguard.oci.reference import parse
from tuneguard.project.sealed import verify_sealed
from tuneguard.trust import review
from tuneguard.trust.verify import Expectation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneguard.project.project import Project
    from tuneguard.trust.policy import EvaluationRule

_NOTHING_PASSES = frozenset({"P-UNMET", "P-EVALUATION", "P-SEPARATION"})
"""Findings about a policy under which no promotion of the model passes."""
_COPIES = 2
"""The checkpoint itself, and its copy at the promotion."""


def obstacles(project: Project) -> Iterator[str]:
    """Why a promotion by this policy and pipeline, as they are, would not pass; each with how to fix it."""
    for check in (_policy, _repository, _evaluation, _disk):
        yield from check(project)


def _policy(project: Project) -> Iterator[str]:
    name = project.pipeline.name
    alone = dataclasses.replace(project.policy, models={name: project.policy.models[name]})
    for found in review.weaknesses(alone, now=project.now):
        if found.rule in _NOTHING_PASSES and found.severity in REFUSING:
            yield f"the policy lets nothing pass: {found.message} ({found.rule}): {found.fix}"


def _repository(project: Project) -> Iterator[str]:
    target = project.pipeline.registry
    if target is not None:
        try:
            project.check_repository(parse(target.push), project.pipeline.name)
        except TuneguardError as error:
            yield f"registry.push: {_said(error)}"


def _evaluation(project: Project) -> Iterator[str]:
    rule = project.policy.models[project.pipeline.name].evaluation
    if rule is None:
        return
    try:
        wanted(rule.suites)
    except TuneguardError as error:
        yield f"the evaluation cannot be made: {_said(error)}"
    if project.pipeline.data.eval is None:
        yield "the pipeline names no evaluation set: set data.eval.path, or give promote's --eval-dataset"
    named = project.pipeline.evaluation
    if named is None:
        yield "the pipeline names no classifier: set evaluation.classifier.path"
    else:
        yield from _classifier(project.pipeline.resolve(named.classifier.path), rule, project)


def _classifier(path: Path, rule: EvaluationRule, project: Project) -> Iterator[str]:
    if not os.path.lexists(path):
        yield f"the classifier is not there: nothing is at {shown(path)}"
        return
    expectation = Expectation(
        purpose="train", now=project.now, model=project.pipeline.name, sealed="classifier"
    )
    try:
        manifest = hashing.hash_tree(path, reporter=project.reporter)
        pieces = evidence.read(evidence.folder_of(path))
        sealed = verify_sealed(path, manifest, pieces, project.policy, expectation)
    except TuneguardError as error:
        yield f"the classifier cannot be verified: {_said(error)}"
        return
    if not sealed.verification.passed or sealed.manifest.digest != rule.classifier:
        why = paste.after("see why", "verify", path, "--for", "train")
        yield f"{shown(path)} is not the classifier that the policy names ({short(rule.classifier)}): {why}"


def _disk(project: Project) -> Iterator[str]:
    """A checkpoint is about as large as its base. Who trains an adapter needs less."""
    base = project.pipeline.resolve(project.pipeline.base.path)
    try:
        with files.directory(base) as root:
            needed = _COPIES * survey(root, name=shown(base), faults=[]).size
    except TuneguardError:
        return  # it is refused with its reason when it is verified
    free = shutil.disk_usage(project.folder).free
    if free < needed:
        yield (
            f"{size(free)} are free at {shown(project.folder)}, and a checkpoint of the base's size and its "
            f"copy at the promotion take {size(needed)}: free space, unless only an adapter is written"
        )


def _said(error: TuneguardError) -> str:
    return f"{error}: {error.help}" if error.help else str(error)
