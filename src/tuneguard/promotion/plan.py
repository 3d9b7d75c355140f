"""The plan of a promotion.

::

    copy → verify → scan → sign-scan → evaluate → sign-evaluation → decide → push → record

``scan`` and ``evaluate`` read hostile bytes: they hold no key and reach no network and no ledger. The step
after each signs what it found. ``decide`` runs after a refusal too, and signs a refused verdict with every
reason.
"""

from __future__ import annotations

from dataclasses import replace
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
"""The steps of which ``decide`` is told how each ended, in order."""
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
    mount_from: str | None = None,
) -> tuple[Plan, dict[str, Path]]:
    """The plan, and where each of its volumes lies on this machine.

    `overrides` are the evaluation flags as words.

    Raises:
        UsageError: the URI of a key holds a PIN.
    """
    target = parse(to)
    reading, ledger = options.reading(project), options.ledger(project)
    folder = project.evidence_of(directory.absolute())
    seen = reading + options.evidence(folder, read_only=True)
    writing = reading + options.evidence(folder, read_only=False) + ledger
    registry = options.registry(project)
    copy = At("attempt", "tree")
    bound: Arguments = ("--attempt", attempt, "--tree", Fact("copy", "tree"), "--model", model)
    of_run = ("--run", run)
    deciding = (copy, "--to", to, *of_run, *bound)

    def left(step: str) -> Arguments:
        return ("--statement", File(step, STATEMENT), "--sha256", Fact(step, "statement"))

    def leaving(step: str) -> Arguments:
        return ("--statement", File(step, STATEMENT))

    statuses = [word for name in _JUDGED for word in ("--step", STAGES.get(name, name), Status(name))]
    mounting = () if mount_from is None else ("--mount-from", mount_from)
    target_folder = None if target.path is None else Path(target.path).absolute()

    def signs(step: Step, role: str) -> Step:
        return replace(step, role=role, network=step.network | options.signing(project, role))

    plan = Plan(
        (
            _step(
                Step("copy", "copy", facts=("tree",)),
                ("--attempt", attempt, "--model", model, *of_run),
                seen + ledger + Given((At("source"),), (Mount("source"), _OWN)),
            ),
            _step(
                Step("verify", "verify", needs=("copy",)), (copy, "--for", "promote", *of_run, *bound), seen
            ),
            _step(
                Step("scan", "scan", needs=("verify",), facts=("statement",)),
                (copy, *bound, *leaving("scan")),
                reading,
            ),
            signs(
                _step(
                    Step("sign-scan", "sign-scan", needs=("scan",), when=When.ALWAYS),
                    (copy, *bound, *left("scan")),
                    writing,
                ),
                judge_role(project, "scanner"),
            ),
            _step(
                Step("evaluate", "evaluate", needs=("sign-scan",), facts=("statement",), sandbox=True),
                (copy, *bound, *overrides, *leaving("evaluate")),
                seen,
            ),
            signs(
                _step(
                    Step("sign-evaluation", "sign-evaluation", needs=("evaluate",)),
                    (copy, *bound, *overrides, *left("evaluate")),
                    writing,
                ),
                judge_role(project, "evaluator"),
            ),
            signs(
                _step(
                    Step("decide", "decide", needs=("copy", *_JUDGED), when=When.ALWAYS, restartable=False),
                    (*deciding, *overrides, *statuses),
                    writing,
                ),
                "promoter",
            ),
            signs(
                _step(
                    Step("push", "push", needs=("decide",), facts=("manifest",), network=_reached(target)),
                    (*deciding, *mounting),
                    seen + ledger + registry + Given((), _pushed(target_folder)),
                ),
                "promoter",
            ),
            signs(
                _step(
                    Step("record", "record", needs=("push",)),
                    (copy, *of_run, *bound, "--pushed", Fact("push", "manifest")),
                    reading + ledger,
                ),
                "log",
            ),
        )
    )
    volumes = {
        **dict((writing + registry).volumes),
        "source": directory.absolute(),
        "attempt": project.state / "attempts" / attempt,
        "home": root.home(),
    }
    return plan, volumes if target_folder is None else {**volumes, "target": target_folder}


_OWN = Mount("attempt", read_only=False)


def _step(step: Step, arguments: Arguments, given: Given) -> Step:
    """The step with its arguments, and the attempt's folder and what it is given among its mounts."""
    own = () if _OWN in given.mounts else (Mount("attempt"),)
    return replace(
        step, arguments=(*arguments, *given.arguments), mounts=(*own, *dict.fromkeys(given.mounts))
    )


def _pushed(layout: Path | None) -> tuple[Mount, ...]:
    """Where a push writes on this machine: the layout, and what it remembers of releases."""
    home = Mount("home", read_only=False)
    return (home,) if layout is None else (home, Mount("target", read_only=False))


def _reached(target: Reference) -> frozenset[Service]:
    return frozenset() if target.kind == "layout" else frozenset({Service.REGISTRY})
