"""The journey of one checkpoint as boxes: what it was made from, by which run, and where it went.

::

    data, base, code, configuration → run → checkpoint → attempt → registry

Each box has a digest, who vouches for it, and how it stands; one that is refused holds the reasons.
How a box stands comes from seals, claims, gates and the ids of rules, never from a message's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import UNSET

from tuneguard.display import size
from tuneguard.facts import DecideFacts, PromoteFacts, TraceFacts
from tuneguard.findings import Verdict
from tuneguard.output.report_values import Row, Stand, State, ordinal, refusing, when

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.facts import Facts, Generation, Ingredient, Lineage, SealUsed
    from tuneguard.findings import Finding, Result

STEPS = ("copy", "verify", "scan", "evaluate", "decide", "push", "record")
"""The steps of a promotion, in order."""
LABELS = {"data": "data", "base": "base model", "code": "code", "config": "configuration"}
"""What the roles of a run's inputs are called."""
STATES = {
    Verdict.PASSED: State.GOOD,
    Verdict.REFUSED: State.BAD,
    Verdict.NOT_UNDERSTOOD: State.DOUBT,
    Verdict.INTEGRITY_ONLY: State.DOUBT,
}
"""How a verdict stands."""
_OF_THE_TREE = frozenset({"V06", "V07", "V08", "V09"})
"""The steps of verification that compare files."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box. ``digest`` is ``KIND:HEX``; ``reasons`` are the findings about it."""

    label: str
    name: str
    state: State
    words: str
    digest: str | None = None
    details: tuple[str, ...] = ()
    reasons: tuple[Finding, ...] = ()


def steps(result: Result[Facts]) -> tuple[Stand, ...]:
    """Each step of a promotion and how it ended; none for other commands."""
    facts = result.facts
    if not isinstance(facts, PromoteFacts):
        return ()
    end = STEPS.index(facts.stopped) if facts.stopped in STEPS else len(STEPS)
    return tuple(_step(result.verdict, name, index, end) for index, name in enumerate(STEPS))


def _step(verdict: Verdict, name: str, index: int, end: int) -> Stand:
    if index < end:
        return Stand(name, State.GOOD, "passed")
    if index == end and verdict is Verdict.NOT_UNDERSTOOD:
        return Stand(name, State.DOUBT, "could not look")
    if index == end:
        return Stand(name, State.BAD, "refused")
    if name == "decide":
        return Stand(name, State.BAD, "signed the refusal")
    return Stand(name, State.NONE, "not reached")


def stages(result: Result[Facts]) -> tuple[tuple[Box, ...], ...]:
    """The boxes from left to right, those of one stage below each other; none without a lineage."""
    facts = result.facts
    if isinstance(facts, TraceFacts) and facts.lineage is not None:
        return (*_derived(facts), *_earlier(facts, facts.lineage), *_made(result, facts, facts.lineage))
    if isinstance(facts, DecideFacts):
        return (*_made(result, facts, facts.lineage), (_attempt(result, facts),), (_registry(result, facts),))
    return ()


def circumstances(result: Result[Facts]) -> tuple[Row, ...]:
    """The provenance's facts of the run beside its inputs."""
    lineage = result.facts.lineage if isinstance(result.facts, DecideFacts | TraceFacts) else None
    if lineage is None:
        return ()
    level = lineage.level.removeprefix("SLSA_BUILD_LEVEL_")
    rows = [
        Row("Command", " ".join(lineage.command), "code"),
        Row("Builder", lineage.builder),
        Row("Isolation", f"{lineage.isolation}; SLSA build level {level} at most"),
    ]
    rows += [Row("Commit of the code", str(each.git)) for each in lineage.made_from if each.git is not None]
    if lineage.base_scan:
        said = lineage.base_scan.get("verdict", "unknown")
        rows.append(Row("Base scan", f"{said}, by the run itself before it opened it"))
    if lineage.unsafe:
        rows.append(Row("Unsafe", ", ".join(lineage.unsafe)))
    return tuple(rows)


def _derived(facts: TraceFacts) -> Iterator[tuple[Box, ...]]:
    """A stage of what the data were made from, as their seals state."""
    boxes = tuple(
        Box(
            f"{each.role} of {one.name}@{one.version}",
            each.name if each.version is None else f"{each.name}@{each.version}",
            State.NONE,
            "stated by the seal",
            ":".join(next(iter(each.digest.items()))),
        )
        for one in facts.derived
        for each in one.made_from
    )
    if boxes:
        yield boxes


# --- Earlier generations ---------------------------------------------------------------------------


def _earlier(facts: TraceFacts, lineage: Lineage) -> Iterator[tuple[Box, ...]]:
    """The stages before the run's own inputs, the oldest first: earlier runs and what they were made from.

    One generation is as many steps back from the checkpoint, by the shortest way.
    """
    made, level = {each.tree: each for each in facts.earlier}, [lineage]
    generations: list[list[Generation]] = []
    while level:
        trees = (each.digest.get("dirHash", "") for one in level for each in one.made_from)
        met = [made.pop(tree) for tree in dict.fromkeys(trees) if tree in made]
        generations.append(met)
        level = [each.lineage for each in met]
    for generation in reversed(generations):
        if generation:
            yield tuple(_input(item, None) for each in generation for item in each.lineage.made_from)
            yield tuple(map(_earlier_run, generation))


def _earlier_run(made: Generation) -> Box:
    one = made.lineage
    return Box(
        "earlier run",
        f"{one.model}, run {one.run}",
        State.NONE,
        "its evidence counts here",
        f"tree:{made.tree}",
        (f"{one.kind}, ended {when(one.finished)} (claimed)",),
    )


# --- The boxes -------------------------------------------------------------------------------------


def _made(
    result: Result[Facts], facts: DecideFacts | TraceFacts, lineage: Lineage | None
) -> tuple[tuple[Box, ...], ...]:
    return (tuple(_inputs(facts, lineage)), (_run(result, facts, lineage),), (_checkpoint(result, facts),))


def _inputs(facts: DecideFacts | TraceFacts, lineage: Lineage | None) -> Iterator[Box]:
    if lineage is None:
        yield Box("made from", "not known", State.BAD, "no provenance that counts")
        return
    seals = {seal.tree: seal for seal in facts.seals} if isinstance(facts, DecideFacts) else {}
    for item in lineage.made_from:
        yield _input(item, seals.get(next(iter(item.digest.values()))))
    if lineage.parent:
        yield Box("resumed from", f"run {lineage.parent}", State.NONE, "recorded in the provenance")


def _input(item: Ingredient, seal: SealUsed | None) -> Box:
    kind, digest = next(iter(item.digest.items()))
    name = item.name if item.version is None else f"{item.name}@{item.version}"
    state, words = _standing(item, seal)
    return Box(LABELS.get(item.role, item.role), name, state, words, f"{kind}:{digest}")


def _standing(item: Ingredient, seal: SealUsed | None) -> tuple[State, str]:
    """How an input stands: by its seal, or by whether the policy lists it."""
    if item.listed is UNSET:
        return State.NONE, "recorded in the provenance"
    if item.listed is False:
        return State.BAD, "not listed in the policy"
    if item.role == "data" and seal is None:
        return State.BAD, "no seal that counts"
    if seal is not None:
        return State.GOOD, f"sealed by {seal.by} ({seal.custodian})"
    if item.listed is True:
        return State.GOOD, "listed in the policy"
    return State.NONE, "recorded; the policy takes any"


def _run(result: Result[Facts], facts: DecideFacts | TraceFacts, lineage: Lineage | None) -> Box:
    against = _against(result, "run")
    decided = facts if isinstance(facts, DecideFacts) else None
    if lineage is None:
        name = "run" if decided is None else f"run {decided.run}"
        return Box("run", name, State.BAD, "no provenance that counts", reasons=against)
    signer = _signer(result, "provenance")
    gates = () if decided is None else decided.gates
    refused = any(gate.id == "provenance" and gate.verdict is not Verdict.PASSED for gate in gates)
    held = signer is not None and not against and not refused
    return Box(
        "run",
        f"run {lineage.run}",
        State.GOOD if held else State.BAD,
        f"vouched for by {signer}" if held else "refused",
        details=(f"{lineage.kind}, ended {when(lineage.finished)} (claimed)",),
        reasons=against,
    )


def _checkpoint(result: Result[Facts], facts: DecideFacts | TraceFacts) -> Box:
    against, signer = _against(result, "tree"), _signer(result, "signature")
    words = "refused" if against else "no signature that counts" if signer is None else f"signed by {signer}"
    return Box(
        "checkpoint",
        result.subjects[0].path,
        State.BAD if against or signer is None else State.GOOD,
        words,
        f"tree:{facts.tree}",
        (f"{facts.files:,} files, {size(facts.bytes)}",) if isinstance(facts, DecideFacts) else (),
        against,
    )


def _attempt(result: Result[Facts], facts: DecideFacts) -> Box:
    word = result.verdict.value.replace("-", " ")
    return Box(
        "attempt",
        f"{ordinal(facts.attempts)} of this tree" if facts.attempts else "by hand",
        STATES[result.verdict],
        f"{word}, judged by {facts.decided.by or 'an unknown key'}",
        None if facts.attempt is None else f"attempt:{facts.attempt}",
        reasons=_against(result, "attempt"),
    )


def _registry(result: Result[Facts], facts: DecideFacts) -> Box:
    name = facts.repository
    if isinstance(facts, PromoteFacts):
        name = facts.to
        if facts.recorded is not None:
            return Box("registry", name, State.GOOD, "pushed and recorded", facts.manifest)
    done = result.verdict is Verdict.PASSED
    return Box("registry", name, State.NONE, "not pushed yet" if done else "nothing pushed")


def _signer(result: Result[Facts], kind: str) -> str | None:
    return next((piece.identity for piece in result.evidence if piece.kind == kind), None)


def _against(result: Result[Facts], box: str) -> tuple[Finding, ...]:
    return tuple(finding for finding in refusing(result) if _box_of(finding.rule) == box)


def _box_of(rule: str) -> str:
    """Which box a reason belongs to, by its rule."""
    if rule in _OF_THE_TREE or rule.startswith("T-"):
        return "tree"
    return "run" if rule == "G-PROVENANCE" or rule.startswith("V") else "attempt"
