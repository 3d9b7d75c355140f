"""What a report shows, as values without markup: one result in the order of a page.

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

from msgspec import to_builtins

from tuneguard.display import size
from tuneguard.facts import (
    DecideFacts,
    PromoteFacts,
    Sized,
    Stored,
    TrainFacts,
    VerifyDataFacts,
    VerifyFacts,
)
from tuneguard.findings import Verdict
from tuneguard.output.lineage import STATES
from tuneguard.output.report_values import Row, Stand, State, ordinal, when
from tuneguard.output.text import reasons
from tuneguard.sandbox.state import ControlState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.facts import Facts, Uncounted
    from tuneguard.findings import Result

SHOWN = frozenset(
    {
        *("tree", "manifest", "files", "bytes", "repository", "policy", "decided", "attempt", "attempts"),
        *("model", "run", "to", "stopped", "recorded", "unreached", "evidence", "keys", "report"),
        *("lineage", "seals", "gates", "gate", "uncounted"),
    }
)
"""The facts that have a place of their own in a report."""
JUDGES = frozenset(
    {"verify", "verify-data", "scan", "evaluate", "decide", "promote", "push", "pull", "policy check"}
)
"""The commands that judge something, so that an empty list of findings is a result."""
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


def band(result: Result[Facts]) -> Band:
    """The verdict, and what it was about."""
    facts = result.facts
    judged = _judged_rows(facts) if isinstance(facts, DecideFacts) else ()
    return Band(
        state=STATES[result.verdict],
        verdict=result.verdict.value.replace("-", " ").capitalize(),
        title=_title(result),
        sentence=_sentence(result),
        rows=(*_subject_rows(result), *judged),
    )


def controls(result: Result[Facts]) -> tuple[tuple[Stand, str], ...]:
    """Each isolation control, and how it was tried."""
    match result.facts:
        case DecideFacts(controls=found):
            tried = [(control.name, control.state, control.how) for control in found]
        case TrainFacts(controls=named):
            tried = [(name, control.state, control.how) for name, control in named.items()]
        case _:
            return ()
    return tuple((Stand(name, CONTROLS[state], state), how) for name, state, how in tried)


def uncounted(result: Result[Facts]) -> Uncounted:
    """Evidence that lies there and does not count: its file, and why."""
    facts = result.facts
    return facts.uncounted if isinstance(facts, DecideFacts | VerifyFacts | VerifyDataFacts) else ()


def others(result: Result[Facts]) -> dict[str, Any]:
    """The facts without a place of their own, by their names in JSON."""
    shown = SHOWN | {"walls"} if controls(result) else SHOWN
    kept = {name: value for name, value in to_builtins(result.facts).items() if name not in shown}
    return {name: value for name, value in kept.items() if value not in (None, (), {})}


def _title(result: Result[Facts]) -> str:
    facts = result.facts
    if isinstance(facts, PromoteFacts):
        return f"{facts.model}, run {facts.run}"
    return ", ".join(subject.path for subject in result.subjects[:3]) or result.command


def _sentence(result: Result[Facts]) -> str:
    """The verdict in one sentence."""
    facts, said = result.facts, reasons(result)
    promoted = facts if isinstance(facts, PromoteFacts) else None
    if promoted is not None and promoted.stopped is not None:
        unpushed = "" if promoted.stopped in ("push", "record") else " Nothing was pushed."
        return f"Stopped at {promoted.stopped}: {said}.{unpushed}"
    if result.verdict is Verdict.REFUSED or result.skipped:
        return f"{said[0].upper()}{said[1:]}."
    if result.verdict is Verdict.NOT_UNDERSTOOD:
        return "What was looked at is not enough to pass."
    if result.verdict is Verdict.INTEGRITY_ONLY:
        return "Every file is as it was signed, and nothing else is known. That does not pass."
    if promoted is not None and promoted.recorded is not None:
        return f"Every gate passed, and the model was pushed to {promoted.to}."
    if isinstance(facts, DecideFacts):
        return "Every gate passed."
    return "Nothing is wrong with it." if result.command in JUDGES else ""


def _subject_rows(result: Result[Facts]) -> Iterator[Row]:
    facts = result.facts
    content = f"{facts.files:,} files, {size(facts.bytes)}" if isinstance(facts, Sized) else None
    for subject in result.subjects:
        if subject.digest is not None:
            one = len(result.subjects) == 1
            name = "Tree" if hasattr(facts, "tree") else "Digest"
            yield Row(name if one else subject.path, subject.digest, "digest", content)
    if all(subject.digest is None for subject in result.subjects) and content is not None:
        yield Row("Content", content)
    if isinstance(facts, Stored):
        yield Row("Manifest", facts.manifest, "digest")
    if isinstance(facts, DecideFacts):
        pushed = isinstance(facts, PromoteFacts) and facts.recorded is not None
        yield Row("Manifest", facts.manifest, "digest", None if pushed else "not pushed")
        yield Row("Repository", facts.repository)


def _judged_rows(facts: DecideFacts) -> Iterator[Row]:
    policy, decided = facts.policy, facts.decided
    yield Row("Policy", f"{policy.name}, version {policy.version}, for {policy.profile}")
    yield Row("Its digest", policy.sha256, "digest")
    by = decided.by or "a key that the policy does not name"
    yield Row("Decided", f"{when(decided.time)} (claimed) by {by}")
    if facts.attempt:
        count = f"{ordinal(facts.attempts)} of this tree" if facts.attempts else None
        yield Row("Attempt", facts.attempt, "digest", count)
    recorded = facts.recorded if isinstance(facts, PromoteFacts) else None
    if recorded is not None and recorded.root is not None:
        yield Row("Ledger head", f"{recorded.size}:{recorded.root}", "digest", "keep a copy elsewhere")
