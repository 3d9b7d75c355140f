"""Whether a key is believed: now, about what it signed before, and about what rests on it (V04, V21, V22).

Three things end a key, and they end different things::

    from, until      its time        no new evidence; what it signed before goes on counting for loading
    revoked, retired in good order   the same, from that day on
    revoked, else    compromised     nothing that it ever signed counts, nor a verdict that relied on it

A signer's own date proves nothing. It is believed of a key whose time ended in good order, because else
every rotation would end every model; it is not asked of a key that somebody else may hold.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tuneguard.attest.predicates.evaluation import Evaluation
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.release import Release
from tuneguard.attest.predicates.scan import Scan
from tuneguard.attest.predicates.seal import Seal
from tuneguard.attest.predicates.verdict import Verdict
from tuneguard.files import printable
from tuneguard.trust.request import Fault, Question, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tuneguard.attest.relied import Relied
    from tuneguard.trust.opening import Opened
    from tuneguard.trust.policy import Identity


def check_identity(identity: Identity, question: Question) -> None:
    """The signer is believed: the key's time has come, has not run out, and it is not revoked.

    A key that the policy marks ``format: blob`` signs raw bytes, as ``cosign sign-blob`` does. It is
    believed about no statement: bytes that were signed as one type are never read as the other.

    A signer's own date proves nothing, so validity is judged at the time of verification. A revocation
    ends everything that the key ever signed, whatever its date. A revocation with the reason `retired`
    or `superseded` is the same as `validUntil`. For loading, for following a tag and for renewing it,
    evidence that an expired key signed before its end still counts (V21). For every other purpose it
    has ended, and a signer whose key is believed makes it again.
    """
    if identity.form == "blob":
        raise Stop(
            Fault(
                "V04",
                f"is signed by {identity.name} ({identity.custodian}), whose key is marked for raw blobs",
                fix="sign with a key of the form dsse, which is the default",
            )
        )
    fault = not_believed(identity, question.expectation.now, before=question.lasting)
    if fault is not None:
        raise Stop(Fault("V04", f"is signed by {identity.name} ({identity.custodian}), who {fault}"))


def not_believed(identity: Identity, now: datetime, *, before: bool = False) -> str | None:
    """Why an identity is not believed at `now`, or None if it is; `before`: about what it signed earlier."""
    if identity.revoked is not None and identity.compromised:
        return f"is revoked since {identity.revoked.at:%Y-%m-%d}: {printable(identity.revoked.reason)}"
    if identity.valid_from is not None and now < identity.valid_from:
        return f"is believed only from {identity.valid_from:%Y-%m-%d %H:%M} UTC"
    if not before and has_ended(identity, now):
        return f"was believed until {identity.ends:%Y-%m-%d %H:%M} UTC"
    return None


def has_ended(identity: Identity, now: datetime) -> bool:
    """Whether the key's time ran out in good order: it makes no new evidence."""
    return identity.ends is not None and now >= identity.ends


def check_until(opened: Opened) -> Iterator[Fault]:
    """What a key signed before its time ended goes on counting for loading.

    A verdict or a release by an expired key counts if its date is before the key's end. The date is the
    signer's own and prints as claimed: a thief of such a key can write an earlier date, so revoke a
    stolen key even if it has expired. Evidence without a date, or with a later one, does not count.
    """
    identity = opened.identity
    if identity.ends is None or not has_ended(identity, opened.question.expectation.now):
        return
    times = times_of(opened.body)
    until = f"{identity.name} was believed until {identity.ends:%Y-%m-%d %H:%M} UTC"
    if not times:
        yield Fault("V21", f"has no date, and {until}", fix=_AGAIN)
    elif moment_of(times[-1]) >= identity.ends:
        yield Fault("V21", f"is dated {printable(times[-1])}, and {until}", fix=_AGAIN)


def check_relied(opened: Opened) -> Iterator[Fault]:
    """Nobody whose evidence it relies on is revoked for compromise.

    A verdict names everyone whose evidence counted when it was decided: those who signed, built,
    scanned and evaluated, and those who sealed data, base, evaluation set and classifier. A provenance
    names those who vouched for the run that it resumed, and the steward who sealed its base, which the
    provenance gate checks. Identities are compared by key: a renamed identity is the same one, and a
    name that now belongs to another key is a different one. A key that expired or was retired ends
    nothing here.

    A key that the policy no longer names refuses, because the reason for its removal is unknown. So a
    policy keeps the keys that it once believed, with `validUntil` or `revoked`. A verdict of the first
    format, which names no identities, refuses under a policy that has a compromised key.
    """
    body, policy = opened.body, opened.question.policy
    if not isinstance(body, Verdict | Provenance) or (isinstance(body, Verdict) and not body.passed):
        return
    made = isinstance(body, Provenance)
    relied = [each for each in body.relied_on if not (made and each.kind == "seal")]
    alone = isinstance(body, Provenance) and body.chosen.parent is None
    if not relied and not alone and policy.compromised:
        yield Fault(
            "V22",
            "does not name the identities that it relies on, and the policy knows a compromised key",
            why="it is not known whether that key had a part in it",
            fix=_AGAIN,
        )
    known = policy.by_keyid()
    by_key: dict[str, list[Relied]] = {}
    for each in relied:
        by_key.setdefault(each.key, []).append(each)
    for key, named in by_key.items():
        identity = known.get(key)
        if identity is None:
            yield _unknown(named)
        elif (fault := not_believed(identity, opened.question.expectation.now, before=True)) is not None:
            yield Fault(
                "V22",
                f"relies on {_kinds(named)} by {identity.name} ({identity.custodian}), who {fault}",
                why="anyone who holds that key could have signed it, under any date",
                fix="find out what the key was used for, and have the model made and promoted without it",
            )


def _kinds(named: Sequence[Relied]) -> str:
    return printable(" and ".join(sorted({each.kind for each in named}))[:120])


def _unknown(named: Sequence[Relied]) -> Fault:
    name, key = printable(named[0].identity[:120]), named[0].key
    return Fault(
        "V22",
        f"relies on {_kinds(named)} by {name}, whose key {key[:12]} the policy does not name",
        why=f"it is not known whether the key {key} was replaced or stolen",
        fix="have the policy's owner list it again, with `until` if it was replaced or `revoked` if stolen; "
        "or promote the model again",
    )


_AGAIN = "have the model promoted again, or the tag renewed, by somebody whose key is believed now"


# --- Claimed dates ---------------------------------------------------------------------------------


def times_of(body: object) -> tuple[str, ...]:
    """The dates that a predicate claims, the last one being when it was made. A signature has none."""
    match body:
        case Seal():
            return (body.created,)
        case Provenance():
            times = body.details.metadata
            return (times.started, times.finished)
        case Scan():
            return (body.finished,)
        case Evaluation():
            return (body.counts.finished,)
        case Verdict():
            return (body.time,)
        case Release():
            return (body.issued,)
        case _:
            return ()


def claimed_time(body: object) -> str | None:
    """When the evidence states that it was made, in UTC, or None where its kind has no date."""
    times = times_of(body)
    return moment_of(times[-1]).isoformat(timespec="seconds").replace("+00:00", "Z") if times else None


def moment_of(claimed: str) -> datetime:
    """An RFC 3339 time as a moment in UTC. One before the year 1 in UTC is the year 1."""
    moment = datetime.fromisoformat(claimed)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)
