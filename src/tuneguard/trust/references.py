"""Whether the names in a policy lead somewhere, and whether its values can be meant.

Works on the policy's nodes and tolerates every fault that decoding reports anyway, so that wrong
values and dangling names are reported together. A dangling name never widens what is believed, yet
a policy that holds one does not mean what its author thinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.errors import TuneguardError
from tuneguard.fields import Wrong, read_instant
from tuneguard.nodes import shown, suggestion
from tuneguard.signing.key import KeyType, PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tuneguard.nodes import Node, Problems


def check(policy: Node, problems: Problems) -> None:
    """Note every dangling name, doubled key and impossible demand in `problems`."""
    for each in (_names, _keys, _blobs, _custodians, _thresholds, _periods, _models, _requirements, _unbuilt):
        each(policy, problems)


def _below(node: Node, key: str) -> Iterator[tuple[str, Node]]:
    """The named entries of a section."""
    section = node.get(key)
    yield from section.mapping.items() if section is not None else ()


def _texts(node: Node | None) -> Iterator[Node]:
    """The texts of a list, as nodes."""
    yield from (item for item in (node.items if node else ()) if isinstance(item.value, str))


def _names(policy: Node, problems: Problems) -> None:
    """Whatever names an identity, a role or a model names one that the policy defines."""
    identities, roles, models = (dict(_below(policy, key)) for key in ("identities", "roles", "models"))
    for _, role in _below(policy, "roles"):
        _known(_texts(role.get("anyOf")), identities, "identity", problems)
        _known(_texts(role.get("models")), models, "model", problems)
    for _, model in _below(policy, "models"):
        _known(_texts(model.get("builder")), identities, "identity", problems)
        for rule in _named_by(model):
            _known(_texts(rule.get("steward")), identities, "identity", problems)
            promoted = rule.get("promoted")
            if promoted is not None and isinstance(promoted.value, str):
                _known([promoted], models, "model", problems)
    pairs = policy.get("separationOfDuties")
    for pair in pairs.items if pairs else ():
        _known(_texts(pair), roles, "role", problems)


def _named_by(model: Node) -> Iterator[Node]:
    """What a model names by steward: data sets, bases, the evaluation set."""
    for listed in (model.get("data"), model.get("base")):
        yield from listed.items if listed else ()
    measured = model.get("evaluation", "set")
    if measured is not None:
        yield measured


def _known(names: Iterable[Node], defined: dict[str, Node], what: str, problems: Problems) -> None:
    for name in names:
        if str(name.value) not in defined:
            problems.add(
                name,
                f"no {what} is called `{shown(str(name.value))}`",
                suggestion(str(name.value), defined.keys()),
            )


def _keys(policy: Node, problems: Problems) -> None:
    """One key is one identity, and the log's key is nobody's (TRUST.md rule 26)."""
    holders: dict[PublicKey, str] = {}
    log = policy.get("log", "key")
    for name, key in [*((n, i.get("key")) for n, i in _below(policy, "identities")), ("the log", log)]:
        public = _public(key)
        if key is None or public is None:
            continue
        holder = holders.setdefault(public, name)
        if holder != name:
            problems.add(
                key,
                f"this is the key of `{shown(holder)}` too",
                "make another key for the log"
                if key is log
                else "one key is one identity: remove one of the two",
            )
        if key is log and public.type is not KeyType.ED25519:
            problems.add(key, "the log's key must be Ed25519", "tuneguard keygen PATH --type ed25519")


def _blobs(policy: Node, problems: Problems) -> None:
    """A key for raw blobs counts in no role: it signs no statement (TRUST.md rule 5)."""
    blobs = {
        name
        for name, identity in _below(policy, "identities")
        if (form := identity.get("format")) is not None and form.value == "blob"
    }
    for role, rules in _below(policy, "roles"):
        for name in _texts(rules.get("anyOf")):
            if name.value in blobs:
                problems.add(
                    name,
                    f"`{shown(str(name.value))}` is marked for raw blobs, and {shown(role)} signs statements",
                    "make another key for the role: one key never signs both",
                )


def _public(node: Node | None) -> PublicKey | None:
    if node is None or not isinstance(node.value, str):
        return None
    try:
        return PublicKey.from_base64(node.value)
    except TuneguardError:
        return None


def _custodians(policy: Node, problems: Problems) -> None:
    """Two spellings of one custodian would count as two people."""
    spellings: dict[str, str] = {}
    for _, identity in _below(policy, "identities"):
        custodian = identity.get("custodian")
        if custodian is None or not isinstance(custodian.value, str):
            continue
        first = spellings.setdefault(custodian.value.casefold(), custodian.value)
        if first != custodian.value:
            problems.add(
                custodian,
                f"custodian `{shown(custodian.value)}` differs from `{shown(first)}` in case only",
                "spell one custodian one way: it counts once",
            )


def _thresholds(policy: Node, problems: Problems) -> None:
    """A threshold counts custodians: one custodian's two keys count once (TRUST.md rule 6)."""
    custodians = {
        name: custodian.value
        for name, identity in _below(policy, "identities")
        if (custodian := identity.get("custodian")) is not None and isinstance(custodian.value, str)
    }
    for _, role in _below(policy, "roles"):
        threshold = role.get("threshold")
        if threshold is None or not isinstance(threshold.value, int) or role.get("anyOf") is None:
            continue
        who = sorted(
            {custodians[str(name.value)] for name in _texts(role.get("anyOf")) if name.value in custodians}
        )
        if threshold.value > max(len(who), 1):
            problems.add(
                threshold,
                f"threshold {threshold.value} can never be met: anyOf holds the keys of {_people(who)}",
                "one custodian's keys count once: name identities of more custodians",
            )


def _people(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name) for name in names)
    return f"{len(names)} custodian{'' if len(names) == 1 else 's'}" + (f" ({listed})" if names else "")


def _periods(policy: Node, problems: Problems) -> None:
    """A key's time of validity is not empty, and a policy warns before it expires."""
    periods = [
        (
            identity.get("validFrom"),
            identity.get("validUntil"),
            "`validUntil` is not after `validFrom`",
            "such a key is never believed",
        )
        for _, identity in _below(policy, "identities")
    ]
    warned = policy.get("metadata", "warnFrom"), policy.get("metadata", "expires")
    for begins, ends, what, help in [
        *periods,
        (*warned, "`warnFrom` is not before `expires`", "warn earlier"),
    ]:
        try:
            if begins and ends and read_instant(begins) >= read_instant(ends):
                problems.add(ends, what, help)
        except Wrong:
            continue  # decoding reports it


def _models(policy: Node, problems: Problems) -> None:
    """A model's data sets have different names."""
    for _, model in _below(policy, "models"):
        data = model.get("data")
        names = [name for rule in (data.items if data else ()) if (name := rule.get("name")) is not None]
        for position, name in enumerate(names):
            if any(name.value == earlier.value for earlier in names[:position]):
                problems.add(
                    name,
                    f"data set `{shown(str(name.value))}` is listed twice",
                    "list all its stewards in one place",
                )


def _requirements(policy: Node, problems: Problems) -> None:
    """Demanding nothing would pass everything, and empty means no."""
    for purpose, demands in _below(policy, "require"):
        if demands.value == []:
            problems.add(
                demands,
                f"`{shown(purpose)}` demands nothing",
                "list what it demands, or leave it out for the default",
            )


def _unbuilt(policy: Node, problems: Problems) -> None:
    """What this version cannot do is not silently left undone (TRUST.md rule 28)."""
    authorities = policy.get("timeAuthorities")
    if authorities is not None and authorities.items:
        problems.add(
            authorities, "time authorities are not built yet", "leave the list empty: times count as claimed"
        )
