"""Whether a folder is a part of a run that somebody believed signed (`tuneguard.artifact.subset`).

The run's files are those that an OMS signature in its evidence lists. The list names a tree digest, and about
that tree the run's evidence is verified as ever (`verify`): signature and provenance must count for it. Then
each file of the part must be one of the list, under its own name, with its own digest.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tuneguard.artifact import subset
from tuneguard.files import printable
from tuneguard.findings import Finding, Location, Severity
from tuneguard.trust.parts import signed_lists
from tuneguard.trust.request import Question
from tuneguard.trust.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.claims import Expectation, Verification
    from tuneguard.trust.policy import Policy


def verify_part(
    part: Manifest,
    path: str,
    pieces: Sequence[Piece],
    policy: Policy,
    expectation: Expectation,
    faults: Sequence[Finding] = (),
) -> Verification:
    """What a run's evidence says about the run of which `part` is the folder `path`.

    `pieces` are the evidence about the whole run. The answer is about the run's tree, whose digest it has. It
    does not pass where `part` is no subset of that tree, nor with `faults`, which no manifest can hold.
    """
    answers = [
        _with_relation(verify(whole, pieces, policy, expectation, faults), whole, path, part)
        for _, whole in signed_lists(Question(part.digest, part, policy, expectation), pieces)
    ]
    passed = next((each for each in answers if each.passed), None)
    if passed is not None or answers:
        return passed or answers[0]
    return verify(part, pieces, policy, expectation, faults)


def _with_relation(seen: Verification, whole: Manifest, path: str, part: Manifest) -> Verification:
    return dataclasses.replace(seen, findings=(*seen.findings, *_faults(whole, path, part)))


def _faults(whole: Manifest, path: str, part: Manifest) -> Iterator[Finding]:
    """What makes `part` no subset, file by file, as V07 and V09 do for a whole tree."""
    found = subset.compare(whole, path, part)
    for name, signed, here in found.changed:
        yield Finding(
            rule="V07",
            severity=Severity.HIGH,
            message=f"changed: signed {signed[:12]}, found {here[:12]}",
            location=Location(printable(name)),
            why=f"signed {signed}, found {here}",
            fix="restore it from the machine that made it, and find out who can write here",
        )
    for name in found.added:
        yield Finding(
            rule="V09",
            severity=Severity.HIGH,
            message=f"added: it is there, and the run signed no such file in {printable(path)}",
            location=Location(printable(name)),
            fix="find out who put it there or renamed it, and restore what was signed",
        )
