"""The plan of a promotion.

::

    copy → verify → scan → sign-scan → evaluate → sign-evaluation → decide → push → record

``scan`` and ``evaluate`` read hostile bytes: they hold no key and reach no network and no ledger. The step
after each signs what it found. ``decide`` runs after a refusal too, and signs a refused verdict with every
reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.oci.reference import parse
from tuneguard.plan.step import At, Fact, File, Mount, Plan, Service, Status, Step, When
from tuneguard.project import options
from tuneguard.project.evidence_log import judge_role
from tuneguard.project.options import Given
from tuneguard.trust import root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneguard.oci.reference import Reference
    from tuneguard.plan.step import Arguments
    from tuneguard.project.project import Project

_JUDGED = ("verify", "scan", "sign-scan", "evaluate", "sign-evaluation")
"""The steps whose status ``decide`` is given, in order."""
STAGES = {"sign-scan": "scan", "sign-evaluation": "evaluate"}
"""The step that judged, of each that signs."""
STATEMENT = "statement.json"
"""The unsigned in-toto statement that a judging step leaves for the step that signs it."""


def promotion_plan(
    project: Project,
    *,
    directory: Path,
    to: str,
    model: str,
    run: str,
    attempt: str,
    overrides: Sequence[str] = (),
    subset: str | None = None,
    mount_from: str | None = None,
) -> tuple[Plan, dict[str, Path]]:
    """The plan, and where each of its volumes lies on this machine.

    `overrides` are the evaluation flags as words, `subset` a folder of the run to copy in its place.

    Raises:
        UsageError: the URI of a key holds a PIN.
    """
    target = parse(to)
    folder = project.evidence_of(directory.absolute())
    given = _Given(
        reading=options.reading(project),
        ledger=options.ledger(project),
        evidence=options.evidence(folder, read_only=True),
        evidence_to_write=options.evidence(folder, read_only=False),
        registry=options.registry(project),
    )
    of_run: Arguments = ("--run", run)
    bound: Arguments = ("--attempt", attempt, "--tree", Fact("copy", "tree"), "--model", model)
    deciding = (_COPY, "--to", to, *of_run, *bound)
    part = () if subset is None else ("--subset", subset)
    mounting = () if mount_from is None else ("--mount-from", mount_from)
    steps = (
        _step(
            Step("copy", "copy", facts=("tree",)),
            ("--attempt", attempt, "--model", model, *of_run),
            given.seeing + given.ledger + Given((At("source"), *part), (Mount("source"), _OWN)),
        ),
        _step(
            Step("verify", "verify", needs=("copy",)),
            (_COPY, "--for", "promote", *of_run, *bound),
            given.seeing,
        ),
        *_judging(given, (_COPY, *bound), tuple(overrides), project),
        _signing(
            Step("decide", "decide", needs=("copy", *_JUDGED), when=When.ALWAYS, restartable=False),
            (*deciding, *overrides, *_statuses()),
            given.writing,
            "promoter",
            project,
        ),
        _signing(
            Step("push", "push", needs=("decide",), facts=("manifest",), network=_reached(target)),
            (*deciding, *mounting),
            given.seeing + given.ledger + given.registry + Given((), _pushed(target)),
            "promoter",
            project,
        ),
        _signing(
            Step("record", "record", needs=("push",)),
            (_COPY, *of_run, *bound, "--pushed", Fact("push", "manifest")),
            given.reading + given.ledger,
            "log",
            project,
        ),
    )
    volumes = {
        **dict((given.writing + given.registry).volumes),
        "source": directory.absolute(),
        "attempt": project.state / "attempts" / attempt,
        "home": root.home(),
    }
    if target.path is not None:
        volumes["target"] = Path(target.path).absolute()
    return Plan(steps), volumes


@dataclass(frozen=True, slots=True)
class _Given:
    """What the steps are given, of which each takes what it needs."""

    reading: Given
    ledger: Given
    evidence: Given
    evidence_to_write: Given
    registry: Given

    @property
    def seeing(self) -> Given:
        """For a step that reads evidence."""
        return self.reading + self.evidence

    @property
    def writing(self) -> Given:
        """For a step that adds to the evidence and to the ledger."""
        return self.reading + self.evidence_to_write + self.ledger


def _judging(
    given: _Given, judged: Arguments, overrides: Arguments, project: Project
) -> tuple[Step, Step, Step, Step]:
    """Scan and evaluation, each with the step that signs what it left. A refused scan is signed too."""

    def leaving(step: str) -> Arguments:
        return ("--statement", File(step, STATEMENT))

    def left(step: str) -> Arguments:
        return (*leaving(step), "--sha256", Fact(step, "statement"))

    return (
        _step(
            Step("scan", "scan", needs=("verify",), facts=("statement",)),
            (*judged, *leaving("scan")),
            given.reading,
        ),
        _signing(
            Step("sign-scan", "sign-scan", needs=("scan",), when=When.ALWAYS),
            (*judged, *left("scan")),
            given.writing,
            judge_role(project, "scanner"),
            project,
        ),
        _step(
            Step("evaluate", "evaluate", needs=("sign-scan",), facts=("statement",), sandbox=True),
            (*judged, *overrides, *leaving("evaluate")),
            given.seeing,
        ),
        _signing(
            Step("sign-evaluation", "sign-evaluation", needs=("evaluate",)),
            (*judged, *overrides, *left("evaluate")),
            given.writing,
            judge_role(project, "evaluator"),
            project,
        ),
    )


def _statuses() -> Arguments:
    return tuple(word for name in _JUDGED for word in ("--step", STAGES.get(name, name), Status(name)))


_COPY = At("attempt", "tree")
_OWN = Mount("attempt", read_only=False)


def _step(step: Step, arguments: Arguments, given: Given) -> Step:
    """The step with its arguments, and the attempt's folder and what it is given among its mounts."""
    own = () if _OWN in given.mounts else (Mount("attempt"),)
    return replace(
        step, arguments=(*arguments, *given.arguments), mounts=(*own, *dict.fromkeys(given.mounts))
    )


def _signing(step: Step, arguments: Arguments, given: Given, role: str, project: Project) -> Step:
    """As `_step`, holding the key of `role`."""
    network = step.network | options.signing(project, role)
    return _step(replace(step, role=role, network=network), arguments, given)


def _pushed(target: Reference) -> tuple[Mount, ...]:
    """Where a push writes on this machine: the layout, and what it remembers of releases."""
    home = Mount("home", read_only=False)
    return (home,) if target.path is None else (home, Mount("target", read_only=False))


def _reached(target: Reference) -> frozenset[Service]:
    return frozenset() if target.kind == "layout" else frozenset({Service.REGISTRY})
