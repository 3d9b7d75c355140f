"""The journey of one checkpoint as boxes: what it was made from, by which run, and where it went.

::

    data, base, code, configuration → run → checkpoint → attempt → registry

Each box has a digest, who vouches for it, and how it stands; one that is refused holds the reasons.
How a box stands comes from seals, claims, gates and the ids of rules, never from a message's words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.display import size
from tuneguard.findings import Verdict
from tuneguard.output.report_values import Row, Stand, State, ordinal, refusing, when

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
    """One box. ``digest`` is ``KIND:HEX``; ``reasons`` are the findings that speak against it."""

    label: str
    name: str
    state: State
    words: str
    digest: str | None = None
    details: tuple[str, ...] = ()
    reasons: tuple[Finding, ...] = ()


def steps(result: Result) -> tuple[Stand, ...]:
    """Each step of a promotion and how it ended; none for other commands."""
    if result.command != "promote":
        return ()
    stopped = result.facts.get("stopped")
    end = STEPS.index(stopped) if stopped in STEPS else len(STEPS)
    return tuple(_step(result, name, index, end) for index, name in enumerate(STEPS))


def _step(result: Result, name: str, index: int, end: int) -> Stand:
    if index < end:
        return Stand(name, State.GOOD, "passed")
    if index == end and result.verdict is Verdict.NOT_UNDERSTOOD:
        return Stand(name, State.DOUBT, "could not look")
    if index == end:
        return Stand(name, State.BAD, "refused")
    if name == "decide" and result.facts.get("decided"):
        return Stand(name, State.BAD, "signed the refusal")
    return Stand(name, State.NONE, "not reached")


def stages(result: Result) -> tuple[tuple[Box, ...], ...]:
    """The boxes from left to right, those of one stage below each other; none without a lineage."""
    judged = "gates" in result.facts
    if not judged and result.facts.get("lineage") is None:
        return ()
    made = (tuple(_inputs(result)), (_run(result),), (_checkpoint(result),))
    return (*made, (_attempt(result),), (_registry(result),)) if judged else made


def circumstances(result: Result) -> tuple[Row, ...]:
    """What the provenance says of the run beside its inputs."""
    lineage = result.facts.get("lineage")
    if lineage is None:
        return ()
    rows = [Row("Command", " ".join(lineage["command"]), "code"), Row("Builder", str(lineage["builder"]))]
    if "isolation" in lineage:
        level = lineage["level"].removeprefix("SLSA_BUILD_LEVEL_")
        rows.append(Row("Isolation", f"{lineage['isolation']}; SLSA build level {level} at most"))
    if lineage.get("base_scan"):
        said = lineage["base_scan"].get("verdict", "unknown")
        rows.append(Row("Base scan", f"{said}, by the run itself before it opened it"))
    if lineage.get("unsafe"):
        rows.append(Row("Unsafe", ", ".join(lineage["unsafe"])))
    return tuple(rows)


# --- The boxes -------------------------------------------------------------------------------------


def _inputs(result: Result) -> Iterator[Box]:
    lineage = result.facts["lineage"]
    if lineage is None:
        yield Box("made from", "not known", State.BAD, "no provenance that counts")
        return
    seals = {seal["tree"]: seal for seal in result.facts.get("seals", ())}
    for item in lineage["from"]:
        kind, digest = next(iter(item["digest"].items()))
        name = item["name"] if item["version"] is None else f"{item['name']}@{item['version']}"
        state, words = _standing(item, seals.get(digest))
        yield Box(LABELS.get(item["role"], item["role"]), name, state, words, f"{kind}:{digest}")
    if lineage.get("parent"):
        yield Box("resumed from", f"run {lineage['parent']}", State.NONE, "recorded in the provenance")


def _standing(item: Mapping[str, Any], seal: Mapping[str, Any] | None) -> tuple[State, str]:
    """How an input stands: by its seal, or by whether the policy lists it."""
    if "listed" not in item:
        return State.NONE, "recorded in the provenance"
    if item["listed"] is False:
        return State.BAD, "not listed in the policy"
    if item["role"] == "data" and seal is None:
        return State.BAD, "no seal that counts"
    if seal is not None:
        return State.GOOD, f"sealed by {seal['by']} ({seal['custodian']})"
    if item["listed"] is True:
        return State.GOOD, "listed in the policy"
    return State.NONE, "recorded; the policy takes any"


def _run(result: Result) -> Box:
    lineage, against = result.facts["lineage"], _against(result, "run")
    if lineage is None:
        name = f"run {result.facts.get('run') or ''}".rstrip()
        return Box("run", name, State.BAD, "no provenance that counts", reasons=against)
    signer = _signer(result, "provenance")
    gate = next((gate for gate in result.facts.get("gates", ()) if gate["id"] == "provenance"), None)
    held = signer is not None and not against and (gate is None or gate["verdict"] == "passed")
    return Box(
        "run",
        f"run {lineage['run']}",
        State.GOOD if held else State.BAD,
        f"vouched for by {signer}" if held else "refused",
        details=(f"{lineage['class']}, ended {when(lineage['finished'])} (claimed)",),
        reasons=against,
    )


def _checkpoint(result: Result) -> Box:
    facts, against, signer = result.facts, _against(result, "tree"), _signer(result, "signature")
    words = "refused" if against else "no signature that counts" if signer is None else f"signed by {signer}"
    return Box(
        "checkpoint",
        result.subjects[0].path,
        State.BAD if against or signer is None else State.GOOD,
        words,
        f"tree:{facts['tree']}",
        (f"{facts['files']:,} files, {size(facts['bytes'])}",) if "files" in facts else (),
        against,
    )


def _attempt(result: Result) -> Box:
    facts, decided = result.facts, result.facts.get("decided")
    by = "nobody" if decided is None else decided["by"] or "an unknown key"
    word = result.verdict.value.replace("-", " ")
    return Box(
        "attempt",
        f"{ordinal(facts['attempts'])} of this tree" if facts.get("attempts") else "by hand",
        STATES[result.verdict],
        f"{word}, judged by {by}",
        None if facts.get("attempt") is None else f"attempt:{facts['attempt']}",
        reasons=_against(result, "attempt"),
    )


def _registry(result: Result) -> Box:
    facts = result.facts
    name = str(facts.get("to") or facts.get("repository") or "")
    if facts.get("recorded"):
        return Box("registry", name, State.GOOD, "pushed and recorded", str(facts["manifest"]))
    done = result.verdict is Verdict.PASSED
    return Box("registry", name, State.NONE, "not pushed yet" if done else "nothing pushed")


def _signer(result: Result, kind: str) -> str | None:
    return next((piece.identity for piece in result.evidence if piece.kind == kind), None)


def _against(result: Result, box: str) -> tuple[Finding, ...]:
    return tuple(finding for finding in refusing(result) if _box_of(finding.rule) == box)


def _box_of(rule: str) -> str:
    """Which box a reason belongs to, by its rule."""
    if rule in _OF_THE_TREE or rule.startswith("T-"):
        return "tree"
    return "run" if rule == "G-PROVENANCE" or rule.startswith("V") else "attempt"
