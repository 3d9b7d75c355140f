"""What a report shows, as values without markup: one result in the order in which a page tells it.

::

    band        verdict, model, run, digests, policy, when
    lineage     steps and boxes
    gates       what was needed and found, by whom; the numbers with their bars
    controls    proven, weakened, absent, and how each was tried
    others      the facts of other commands, as they are
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.display import size
from tuneguard.findings import Verdict
from tuneguard.output.lineage import STATES
from tuneguard.output.report_values import Row, Stand, State, ordinal, when
from tuneguard.output.text import reasons
from tuneguard.sandbox.state import ControlState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneguard.findings import Result

TOLD = frozenset(
    {
        *("tree", "manifest", "files", "bytes", "repository", "policy", "decided", "attempt", "attempts"),
        *("model", "run", "to", "stopped", "recorded", "unreached", "evidence", "keys", "report"),
        *("lineage", "seals", "gates", "gate", "walls", "uncounted"),
    }
)
"""The facts that have a place of their own in a report."""
JUDGES = frozenset(
    {"verify", "verify-data", "scan", "evaluate", "decide", "promote", "push", "pull", "policy check"}
)
"""The commands that judge something, so that having found nothing says something."""
CONTROLS = {
    ControlState.PROVEN: State.GOOD,
    ControlState.WEAKENED: State.DOUBT,
    ControlState.ABSENT: State.BAD,
}


@dataclass(frozen=True, slots=True)
class Band:
    """The verdict in one band: a word, what it is about, a sentence, and what a reader copies."""

    state: State
    verdict: str
    title: str
    sentence: str
    rows: tuple[Row, ...]


def band(result: Result) -> Band:
    """The verdict, and what it was about."""
    return Band(
        state=STATES[result.verdict],
        verdict=result.verdict.value.replace("-", " ").capitalize(),
        title=_title(result),
        sentence=_sentence(result),
        rows=(*_subject_rows(result), *_judged_rows(result)),
    )


def controls(result: Result) -> tuple[tuple[Stand, str], ...]:
    """Each isolation control, and how it was tried."""
    found = result.facts.get("walls")
    if isinstance(found, dict):
        found = [{"name": name, **control} for name, control in found.items() if isinstance(control, dict)]
    return tuple(
        (Stand(control["name"], CONTROLS.get(control["state"], State.BAD), control["state"]), control["how"])
        for control in found or ()
    )


def uncounted(result: Result) -> tuple[tuple[str, str], ...]:
    """Evidence that lies there and does not count: its file, and why."""
    return tuple((path, reason) for path, reason in result.facts.get("uncounted", ()))


def others(result: Result) -> dict[str, Any]:
    """The facts without a place of their own."""
    told = TOLD if controls(result) else TOLD - {"walls"}
    kept = {name: value for name, value in result.facts.items() if name not in told}
    return {name: value for name, value in kept.items() if value not in (None, [], {}, ())}


def _title(result: Result) -> str:
    facts = result.facts
    if facts.get("model") and facts.get("run"):
        return f"{facts['model']}, run {facts['run']}"
    return ", ".join(subject.path for subject in result.subjects[:3]) or result.command


def _sentence(result: Result) -> str:
    """The verdict in one sentence."""
    facts, said = result.facts, reasons(result)
    stopped = facts.get("stopped")
    if stopped is not None:
        unpushed = "" if stopped in ("push", "record") else " Nothing was pushed."
        return f"Stopped at {stopped}: {said}.{unpushed}"
    if result.verdict is Verdict.REFUSED or result.skipped:
        return f"{said[0].upper()}{said[1:]}."
    if result.verdict is Verdict.NOT_UNDERSTOOD:
        return "What was looked at is not enough to pass."
    if result.verdict is Verdict.INTEGRITY_ONLY:
        return "Every file is as it was signed, and nothing else is known. That does not pass."
    if facts.get("recorded"):
        return f"Every gate passed, and the model was pushed to {facts['to']}."
    if "gates" in facts:
        return "Every gate passed."
    return "Nothing speaks against it." if result.command in JUDGES else ""


def _subject_rows(result: Result) -> Iterator[Row]:
    facts = result.facts
    for subject in result.subjects:
        if subject.digest is not None:
            one = len(result.subjects) == 1
            name = "Tree" if "tree" in facts else "Digest"
            yield Row(name if one else subject.path, subject.digest, "digest", _content(facts))
    if all(subject.digest is None for subject in result.subjects) and _content(facts) is not None:
        yield Row("Content", str(_content(facts)))
    if facts.get("manifest"):
        unpushed = "gates" in facts and not facts.get("recorded")
        yield Row("Manifest", str(facts["manifest"]), "digest", "not pushed" if unpushed else None)
    if facts.get("repository"):
        yield Row("Repository", str(facts["repository"]))


def _content(facts: Mapping[str, Any]) -> str | None:
    if "files" not in facts or "bytes" not in facts:
        return None
    return f"{facts['files']:,} files, {size(facts['bytes'])}"


def _judged_rows(result: Result) -> Iterator[Row]:
    facts = result.facts
    if facts.get("policy"):
        policy = facts["policy"]
        yield Row("Policy", f"{policy['name']}, version {policy['version']}, for {policy['profile']}")
        yield Row("Its digest", str(policy["sha256"]), "digest")
    if facts.get("decided"):
        by = facts["decided"]["by"] or "a key that the policy does not name"
        yield Row("Decided", f"{when(facts['decided']['time'])} (claimed) by {by}")
    if facts.get("attempt"):
        count = f"{ordinal(facts['attempts'])} of this tree" if facts.get("attempts") else None
        yield Row("Attempt", str(facts["attempt"]), "digest", count)
    if facts.get("recorded"):
        recorded = facts["recorded"]
        head = f"{recorded['size']}:{recorded['root']}"
        yield Row("Ledger head", head, "digest", "keep a copy elsewhere")
