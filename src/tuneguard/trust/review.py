"""A policy held up to its author: what it would refuse that they may not expect, and what it states.

`weaknesses` is behind ``policy check`` and `explain` behind ``policy explain``. Neither decides
anything: verification and gates judge by the policy itself.
"""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import TYPE_CHECKING

from tuneguard import paste
from tuneguard.files import printable
from tuneguard.findings import Finding, Location, Severity
from tuneguard.nodes import shown
from tuneguard.sandbox.state import ControlState
from tuneguard.trust.policy import SealedBy, described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from tuneguard.trust.policy import Identity, Model, Policy, Promoted, Requirement

WEAKNESSES: Mapping[str, str] = {
    "P-EXPIRED": "The policy's time is over or nearly so; an expired policy believes nobody.",
    "P-GRACE": "Models that were promoted before are loaded for a while after the policy's time is over.",
    "P-DEVELOPMENT": "The profile is development: every verdict states it, and production accepts none.",
    "P-SEPARATION": "One custodian holds two separate roles: what they give in one of them is refused.",
    "P-UNMET": "A demand that nobody can meet for a model, so that the model is refused there for ever.",
    "P-BASE": "A model with no base: empty means no, so no run of it can be promoted.",
    "P-DATA": "A model with no data set, or one without a steward: empty means no.",
    "P-BUILDER": "A model with no builder: empty means no, so no run of it counts.",
    "P-EVALUATION": "A model with no evaluation: no threshold is set, so promotion refuses.",
    "P-SUITE": "A suite that this Tuneguard does not have, or has in another version: nothing is measured.",
    "P-PROVENANCE": "Promotion demands no provenance by the builder; a signature proves integrity only.",
    "P-CODE": "Code, command or environment of a model may be any; one alone fixes nothing.",
    "P-CONTROL": "An isolation control need not be proven.",
    "P-RELEASE": "No role may sign a release of a model, so that it is pulled by digest only.",
    "P-LOG": "No key of the ledger: the log heads in verdicts are not signed.",
}
"""What each finding of `weaknesses` means; ``explain ID`` prints it."""

_SOON = timedelta(days=30)
_NAMED = 5
"""Keys that a warning names; the rest is counted."""


def weaknesses(policy: Policy, *, now: datetime | None = None) -> tuple[Finding, ...]:
    """What the policy would refuse, and why, and what it believes lightly. `now` judges expiry."""
    return tuple(
        Finding(rule, severity, message, Location(policy.file), WEAKNESSES[rule], fix)
        for each in (_time, _apart, _models, _demands, _lightly)
        for rule, severity, message, fix in each(policy, now)
    )


_Weakness = tuple[str, Severity, str, str]


def _time(policy: Policy, now: datetime | None) -> Iterator[_Weakness]:
    fix = "raise version and expires, and sign it again"
    if now is not None and now >= policy.expires:
        yield "P-EXPIRED", Severity.HIGH, f"expired on {policy.expires:%Y-%m-%d}", fix
    elif now is not None and now + _SOON >= policy.expires:
        yield "P-EXPIRED", Severity.LOW, f"expires on {policy.expires:%Y-%m-%d}", fix
    if policy.grace:
        message = f"loading goes on for {_age(policy.grace)} after the policy expires"
        yield "P-GRACE", Severity.LOW, message, "leave metadata.gracePeriod out, and renew the policy in time"


def warnings(policy: Policy, *, now: datetime) -> tuple[str, ...]:
    """What ends soon, or is in its grace: what every output shows from `Policy.warn_from` on.

    Without a date in the policy, the last 30 days are soon; so they are for each key of a role.
    """
    found = []
    soon = policy.expires - now <= _SOON if policy.warn_from is None else now >= policy.warn_from
    if policy.expired(now):
        found.append(
            f"the policy {policy.name} expired on {policy.expires:%Y-%m-%d %H:%M} UTC: only loading goes on, "
            f"for {_age(policy.grace)} from then"
        )
    elif soon:
        found.append(
            f"the policy {policy.name} expires on {policy.expires:%Y-%m-%d %H:%M} UTC: "
            "ask its owner for a new one"
        )
    speaking = {name for role in policy.roles.values() for name in role.any_of}
    ending = [
        f"{each.name} until {each.ends:%Y-%m-%d %H:%M} UTC"
        for each in policy.identities.values()
        if each.name in speaking and each.ends is not None and timedelta(0) < each.ends - now <= _SOON
    ]
    if ending:
        more = f" and {len(ending) - _NAMED:,} more" if len(ending) > _NAMED else ""
        found.append(
            f"keys whose time ends soon: {', '.join(ending[:_NAMED])}{more}; then they make no new evidence"
        )
    return tuple(found)


def _apart(policy: Policy, now: datetime | None) -> Iterator[_Weakness]:
    for one, other in policy.separation_of_duties:
        for custodian in sorted(policy.custodians(one, now) & policy.custodians(other, now)):
            yield (
                "P-SEPARATION",
                Severity.HIGH,
                f"{custodian} is both {one} and {other}",
                f"give one of the two roles to another custodian than {custodian}",
            )


def _models(policy: Policy, now: datetime | None) -> Iterator[_Weakness]:
    del now
    for name, model in policy.models.items():
        trees = ("--base", "DIR", "--evaluation", "DIR", "--classifier", "DIR")
        set_model = paste.after("fill it in", "policy", "set-model", name, *trees)
        if not model.builders:
            yield "P-BUILDER", Severity.HIGH, f"{name} has no builder", f"models.{name}.builder: [IDENTITY]"
        if not model.data:
            yield "P-DATA", Severity.HIGH, f"{name} has no data set", f"list one in models.{name}.data"
        for rule in model.data:
            if not rule.stewards:
                yield (
                    "P-DATA",
                    Severity.HIGH,
                    f"nobody may seal {name}'s data set {rule.name}",
                    "name a steward for it",
                )
        if not model.bases:
            yield "P-BASE", Severity.HIGH, f"{name} has no base", set_model
        if model.evaluation is None:
            yield "P-EVALUATION", Severity.HIGH, f"{name} has no evaluation", set_model
        yield from _nobody_seals(name, model)


def _nobody_seals(name: str, model: Model) -> Iterator[_Weakness]:
    """Bases and an evaluation set that are named by steward, without one."""
    named = [("P-BASE", "base", each) for each in model.bases]
    if model.evaluation is not None:
        named.append(("P-EVALUATION", "evaluation set", model.evaluation.set))
    for key, what, each in named:
        if isinstance(each, SealedBy) and not each.stewards:
            why = f"nobody may seal {name}'s {what} {each.name}"
            yield key, Severity.HIGH, why, "name a steward for it"


def _demands(policy: Policy, now: datetime | None) -> Iterator[_Weakness]:
    for name, model in policy.models.items():
        for purpose, requirements in policy.require.items():
            for requirement in requirements:
                reasons = [_cannot(policy, model, requirement, role, now) for role in requirement.roles]
                if all(reasons) and purpose == "release":
                    yield (
                        "P-RELEASE",
                        Severity.LOW,
                        f"no tag of {name} can be followed: " + "; ".join(map(str, reasons)),
                        "let the promoter sign release, or pull by digest",
                    )
                elif all(reasons):
                    yield (
                        "P-UNMET",
                        Severity.HIGH,
                        f"{purpose} of {name} demands a {requirement.kind} that nobody can sign: "
                        + "; ".join(reason for reason in reasons if reason),
                        f"correct roles, or take the demand out of require.{purpose}",
                    )
    if not any(each.kind == "provenance" for each in policy.require["promote"]):
        yield (
            "P-PROVENANCE",
            Severity.HIGH,
            "promote does not demand provenance",
            "add {provenance: builder} to require.promote",
        )


def _cannot(
    policy: Policy, model: Model, requirement: Requirement, role: str, now: datetime | None
) -> str | None:
    """Why nobody can meet a requirement in a role, or None where somebody can."""
    rules = policy.roles.get(role)
    if rules is None:
        return f"{role} is not in roles"
    if requirement.kind not in rules.evidence:
        return f"{role} may not sign {requirement.kind}"
    if model.name not in rules.models:
        return f"{role} gives evidence about other models only"
    named = [policy.identities[name] for name in rules.any_of if _named_by(model, role, name)]
    custodians = {each.custodian for each in named if each.counts(now)}
    if len(custodians) < rules.threshold:
        plural = "" if rules.threshold == 1 else "s"
        return f"{role} needs {rules.threshold} custodian{plural}, and {len(custodians)} can sign"
    return None


def _named_by(model: Model, role: str, identity: str) -> bool:
    """Whether the model's own lists let this identity act in this role."""
    if role == "builder":
        return identity in model.builders
    if role == "data-steward":
        return any(identity in rule.stewards for rule in model.data)
    return True


def _lightly(policy: Policy, now: datetime | None) -> Iterator[_Weakness]:
    del now
    low = Severity.LOW
    if policy.development:
        yield "P-DEVELOPMENT", low, "this is a development policy", "write a production policy for production"
    for name, model in policy.models.items():
        said = _free(model)
        if said is not None:
            both = ("--code", "DIR", "--config", "FILE", "--command")
            yield "P-CODE", low, said, paste.after("fix them together", "policy", "set-model", name, *both)
    if policy.controls != "all":
        for control, least in policy.controls.items():
            if least is not ControlState.PROVEN:
                severity = low if policy.development else Severity.MEDIUM
                yield (
                    "P-CONTROL",
                    severity,
                    f"the isolation control {control} may be {least}",
                    "controls: all",
                )
    if policy.log is None:
        yield "P-LOG", low, "there is no key of the ledger", "log: {key: …}, an Ed25519 key of its own"


def _free(model: Model) -> str | None:
    """What a model may be trained by that nobody looked at."""
    if model.code is None:
        other = "" if model.command is None else ", whatever its command is"
        return f"{model.name} may be trained by any code{other}"
    if model.command is None:
        return f"{model.name} may be trained by any command, which need not run the code that is listed"
    if model.env is None:
        return f"{model.name} may be trained in any environment, which can change what its code does"
    return None


# --- In plain words --------------------------------------------------------------------------------


def explain(policy: Policy) -> str:
    """What the policy states, in plain words, one statement a line."""
    lines = [
        f"{policy.name}, version {policy.version}, believed until {policy.expires:%Y-%m-%d %H:%M} UTC.",
        *([f"For loading alone it counts for {_age(policy.grace)} more."] if policy.grace else ()),
        "A DEVELOPMENT policy: not for production, and every verdict under it states it."
        if policy.development
        else "A production policy: no verdict made under a development policy counts.",
        "",
        "Who can give evidence:",
        *(f"  {line}" for line in _explain_roles(policy)),
        *(
            f"  No custodian gives evidence both as {one} and as {other}."
            for one, other in policy.separation_of_duties
        ),
        *(f"  {line}" for line in _explain_identities(policy)),
    ]
    for model in policy.models.values():
        lines += [
            "",
            f"{model.name}, at {model.repository}:",
            *(f"  {line}" for line in _explain_model(policy, model)),
        ]
    lines += ["", "What is demanded:", *(f"  {line}" for line in _explain_demands(policy))]
    return "\n".join(lines) + "\n"


def _explain_roles(policy: Policy) -> Iterator[str]:
    if not policy.roles:
        yield "Nobody: there are no roles."
    for role in policy.roles.values():
        if not role.any_of or not role.models or not role.evidence:
            yield f"{role.name}: nobody (an empty list means no)."
            continue
        who = ", ".join(_person(policy.identities[name]) for name in role.any_of)
        many = f" {role.threshold} custodians of" if role.threshold > 1 else ""
        yield f"{role.name}:{many} {who} may sign {_and(sorted(role.evidence))} about {_and(role.models)}."


def _person(identity: Identity) -> str:
    same = identity.name == identity.custodian
    return identity.name if same else f"{identity.name} ({identity.custodian})"


def _explain_identities(policy: Policy) -> Iterator[str]:
    for identity in policy.identities.values():
        period = [
            f"{word} {moment:%Y-%m-%d %H:%M} UTC"
            for word, moment in (("from", identity.valid_from), ("until", identity.valid_until))
            if moment is not None
        ]
        if identity.compromised and identity.revoked is not None:
            reason = shown(identity.revoked.reason)
            yield f"{identity.name} is revoked, and nothing that it signed counts: {reason}"
        elif identity.revoked is not None:
            yield (
                f"{identity.name} is {identity.revoked.reason}: what it signed before "
                f"{identity.ends:%Y-%m-%d %H:%M} UTC goes on counting for loading."
            )
        elif identity.form == "blob":
            yield f"{identity.name} signs raw blobs, as ``cosign sign-blob`` does, and no statement."
        elif period:
            yield f"{identity.name} is believed {' '.join(period)}."


def _explain_subsets(model: Model) -> Iterator[str]:
    for each in model.subsets:
        folder = "the output" if each.path == "." else f"a folder {each.path} of the output"
        without = f" without {_or(each.exclude)}" if each.exclude else ""
        yield f"promoted whole, or as {folder}{without}"


def _explain_model(policy: Policy, model: Model) -> Iterator[str]:
    yield f"built by {_or(model.builders)}"
    for rule in model.data:
        yield f"trained on {rule.name}, as sealed by {_or(rule.stewards)}"
    if not model.data:
        yield "trained on nothing: no data set is listed, so every run is refused"
    bases = _joined([_listed(each) for each in model.bases], "or")
    yield f"from the base {bases}" if bases else "from no base: none is listed, so every run is refused"
    yield f"by {_any('code', model.code)}, with {_any('configuration', model.config)}"
    if model.command is not None:
        yield f"by the command {printable(shlex.join(model.command)) or 'of nobody (an empty list means no)'}"
    elif model.code is not None:
        yield "by any command, which need not run that code"
    if model.env is None:
        yield "with any variables in its environment"
    elif model.env:
        variables = [f"{key}={shown(value)}" for key, value in model.env.items()]
        yield f"with {_and(variables)} in its environment"
    if not model.metrics:
        yield "without a channel for metrics"
    yield from _explain_subsets(model)
    measured = model.evaluation
    if measured is None:
        yield "measured by nothing: no evaluation is listed, so promotion refuses"
    else:
        suites = _and([f"{suite} (version {version})" for suite, version in measured.suites.items()])
        yield (
            f"measured by {suites} on the set {_listed(measured.set)} with the classifier "
            f"{measured.classifier[:12]}, at least {measured.minimum_rows} rows each"
        )
    if policy.controls == "all":
        yield "in a sandbox whose isolation controls are all proven"
    else:
        graded = [
            f"{control} at least {least}"
            for control, least in policy.controls.items()
            if least is not ControlState.PROVEN
        ]
        yield f"in a sandbox with {_and(graded) or 'no exception'}, and every other isolation control proven"


def _listed(each: str | SealedBy | Promoted) -> str:
    return each[:12] if isinstance(each, str) else described(each)


def _explain_demands(policy: Policy) -> Iterator[str]:
    for purpose, requirements in policy.require.items():
        for each in requirements:
            age = "" if each.max_age is None else f", not older than {_age(each.max_age)}"
            what = "follow a tag" if purpose == "release" else purpose
            yield f"to {what}: {each.kind} by {_or(each.roles)}{age}"
    if policy.gates:
        gates = _and(sorted(policy.gates))
        yield f"and what the gates {gates} hold, as defined by gates in {printable(policy.file)}"
    for model in policy.models.values():
        if model.gates:
            yield f"of {model.name} more, by the gates {_and(sorted(model.gates))} of its own"


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    count, unit = (hours / 24, "day") if hours % 24 == 0 else (hours, "hour")
    return f"{count:g} {unit}{'' if count == 1 else 's'}"


def _any(what: str, digests: Sequence[str] | None) -> str:
    return f"any {what}" if digests is None else f"{what} {_or([digest[:12] for digest in digests])}"


def _and(names: Sequence[str]) -> str:
    return _joined(names, "and")


def _or(names: Sequence[str]) -> str:
    return _joined(names, "or") or "nobody (an empty list means no)"


def _joined(names: Sequence[str], word: str) -> str:
    *most, last = names or [""]
    return f"{', '.join(most)} {word} {last}" if most else last
