"""The checkpoint was made from what the policy allows, under the isolation controls that it wants.

Provenance by a builder of the model, over this very tree, must count; a signature over the files
proves integrity only. Then: every data set that the run read bears a name that the policy lists for
the model, under a seal by one of its stewards, in that version and with that digest; none is the
evaluation set. The base is one that the policy lists: by its digest, by a steward whose seal over it under
that name counts now, or as a promoted model whose verdict and provenance count now; and the run's own scan of
it was clean. Code, configuration, command and environment are the policy's where it lists any. The training
had no channel for metrics where the policy has that off. Each isolation control was in the state that the
policy wants, by default proven. A run with a dangerous switch (`--unsafe-…`) bears its name, and a production
policy refuses it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tuneguard import paste
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.files import printable
from tuneguard.findings import Severity
from tuneguard.gates.engine import (
    Case,
    Gate,
    GateResult,
    fault,
    measured_with,
    no_settings,
    not_judged,
    nothing_to_tighten,
    ordered,
    refuses,
    signer,
)
from tuneguard.sandbox.controls import CONTROLS, DEVICES
from tuneguard.sandbox.state import ControlState
from tuneguard.trust.policy import Promoted, SealedBy, described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneguard.attest.predicates.provenance import Dependency
    from tuneguard.attest.predicates.seal import Seal
    from tuneguard.findings import Finding
    from tuneguard.trust.claims import Claim
    from tuneguard.trust.policy import Model, Policy


def judge(case: Case, settings: None) -> GateResult:
    """Judge each provenance that counts; one that holds is enough."""
    del settings
    needed = f"sealed data and a listed base for {case.model.name}, isolation controls as the policy wants"
    claims = ordered(case.verification.counting(Provenance))
    if not claims:
        return not_judged(case, GATE, needed)
    judged = [(claim, tuple(faults_of(case, claim))) for claim in claims]
    claim, findings = next((each for each in judged if not refuses(each[1])), judged[0])
    return GateResult(GATE.id, findings, needed, _found(claim.body), (signer(claim),))


def holding(case: Case) -> tuple[Claim[Provenance], ...]:
    """The provenance claims that this gate has nothing against; all that count where there is none."""
    claims = ordered(case.verification.counting(Provenance))
    return tuple(claim for claim in claims if not refuses(tuple(faults_of(case, claim)))) or claims


def faults_of(case: Case, claim: Claim[Provenance]) -> Iterator[Finding]:
    """All that is wrong with one provenance."""
    body = claim.body
    yield from _data(case, body)
    yield from _base(case, body)
    yield from _base_seal(case, body)
    yield from faults_of_run(case.policy, case.model, body, measured_with(case.model, case.verification))


def faults_of_run(
    policy: Policy, model: Model, body: Provenance, measured: tuple[str, ...]
) -> Iterator[Finding]:
    """What is wrong with a run as such, its data and base apart: also with a run that another one resumes.

    `measured` are the evaluation sets that the policy's model is measured with now.
    """
    yield from _listed(model, body)
    yield from _command(model, body)
    yield from _env(model, body)
    if body.chosen.metrics and not model.metrics:
        message = f"the training had a channel for metrics, which the policy has off for {model.name}"
        yield fault(GATE, message, fix="run again under this policy, which opens none")
    yield from _compared(policy, model, body, measured)
    yield from _base_scan(body)
    yield from _controls(policy, body)
    for switch in body.chosen.unsafe:
        severity = Severity.LOW if policy.development else Severity.HIGH
        yield fault(GATE, f"the run used {printable(switch)}", severity=severity, fix="run again without it")


def _found(body: Provenance) -> str:
    data = ", ".join(_named(each) for each in body.data) or "none"
    proven = sum(control.state is ControlState.PROVEN for control in body.observed.controls)
    resumed = "" if body.chosen.parent is None else f", resumed from run {printable(body.chosen.parent)}"
    return (
        f"run {printable(body.run)}{resumed}, data {data}, base {_named(body.base)}, "
        f"isolation controls {proven}/{len(body.observed.controls)} proven"
    )


def _named(dependency: Dependency) -> str:
    version = "" if dependency.version is None else f"@{dependency.version}"
    return printable(f"{dependency.name}{version}")


def tree_of(dependency: Dependency) -> str | None:
    """The tree digest of a dependency that names one and nothing else."""
    return dependency.digest.get("dirHash") if len(dependency.digest) == 1 else None


def _data(case: Case, body: Provenance) -> Iterator[Finding]:
    if not body.data:
        yield fault(GATE, "the run names no data that it was trained on")
    for dependency in body.data:
        rule = next((rule for rule in case.model.data if rule.name == dependency.name), None)
        if rule is None:
            yield fault(
                GATE, f"trained on {_named(dependency)}, which the policy does not list for {case.model.name}"
            )
        elif not any(_seals(claim, dependency, rule.stewards) for claim in case.seals):
            yield fault(
                GATE,
                f"trained on {_named(dependency)}, and no steward's seal over exactly that counts now",
                why=f"tree {tree_of(dependency)}; stewards: {', '.join(rule.stewards) or 'none'}",
                fix="bring the evidence folder of the data along, or have the data sealed again",
            )
        if case.measures(tree_of(dependency)):
            yield fault(GATE, f"trained on the evaluation set itself, as {_named(dependency)}")


def _base_seal(case: Case, body: Provenance) -> Iterator[Finding]:
    """Who sealed the base for the run is believed, or somebody else's seal over it counts now.

    The policy lists the base by digest, so a seal that only ran out, or was never named, takes nothing away.
    """
    known = case.policy.by_keyid()
    for each in body.relied_on:
        if each.kind != "seal" or ((steward := known.get(each.key)) and not steward.compromised):
            continue
        if not any(claim.body.kind == "base" and claim.subject == tree_of(body.base) for claim in case.seals):
            sealed = "was sealed" if body.base.annotations.verdict is None else "rests on what was sealed"
            now = "is revoked" if steward else "the policy does not name"
            yield fault(
                GATE,
                f"the base {_named(body.base)} {sealed} by {printable(each.identity)}, whose key {now}, "
                "and no other seal over it counts",
                fix="look at the base, and have another steward seal it: tuneguard seal --as base",
            )


def _seals(claim: Claim[Seal], dependency: Dependency, stewards: tuple[str, ...]) -> bool:
    """Whether a claim is a seal over just this data set, by one of the stewards."""
    return (
        claim.kind == "seal"
        and claim.identity in stewards
        and claim.subject is not None
        and claim.subject == tree_of(dependency)
        and (claim.body.kind, claim.body.name) == ("dataset", dependency.name)
        and claim.body.version == dependency.version
    )


def _base(case: Case, body: Provenance) -> Iterator[Finding]:
    """The base against the policy's list: by digest, by a steward's seal or as a promoted model, now."""
    [*digests], base, listed = body.base.digest.values(), body.base, case.model.bases
    for each in listed:
        if each in digests and len(digests) == 1:
            return
        if isinstance(each, SealedBy) and base.name == each.name and case.sealed(tree_of(base), "base", each):
            return
        if (
            isinstance(each, Promoted)
            and base.name == each.model
            and (tree_of(base), each.model) in case.promoted
        ):
            return
    yield fault(
        GATE,
        f"base {_named(base)} is not one that the policy lists for {case.model.name}",
        why=f"used {', '.join(map(printable, digests))}; "
        f"listed: {', '.join(map(described, listed)) or 'none'}",
        fix=paste.after("have the policy's owner list it", "policy", "set-model", case.model.name),
    )


def _listed(model: Model, body: Provenance) -> Iterator[Finding]:
    """Code and configuration against the policy's lists. None is "any"; empty is none."""
    for dependency, listed in (
        (body.code, model.code),
        (body.config, model.config),
    ):
        digests = list(dependency.digest.values())
        if listed is not None and (len(digests) != 1 or digests[0] not in listed):
            yield fault(
                GATE,
                f"{dependency.role} {_named(dependency)} is not one that the policy lists for {model.name}",
                why=f"used {', '.join(map(printable, digests))}; listed: {', '.join(listed) or 'none'}",
                fix=paste.after("have the policy's owner list it", "policy", "set-model", model.name),
            )


def _command(model: Model, body: Provenance) -> Iterator[Finding]:
    """The command as it was written, against the policy's: what is in the code matters only if it is run."""
    if model.command is not None and body.chosen.command != model.command:
        yield fault(
            GATE,
            f"the command is not the one that the policy has for {model.name}",
            why=f"used {printable(shlex.join(body.chosen.command))}; "
            f"listed: {printable(shlex.join(model.command))}",
            fix=paste.after(
                "restore it and run again, or have the policy's owner fix this one",
                *("policy", "set-model", model.name, "--command"),
            ),
        )


def _env(model: Model, body: Provenance) -> Iterator[Finding]:
    """The pipeline's variables against the policy's: they can have the same code do something else."""
    if model.env is not None and body.chosen.env != model.env:
        yield fault(
            GATE,
            f"the environment is not the one that the policy has for {model.name}",
            why=f"used {_variables(body.chosen.env)}; listed: {_variables(model.env)}",
            fix=paste.after(
                "restore train.env and run again, or have the policy's owner fix this one",
                *("policy", "set-model", model.name, "--command"),
            ),
        )


def _variables(env: Mapping[str, str]) -> str:
    return printable(shlex.join(f"{name}={value}" for name, value in sorted(env.items()))) or "none"


def _compared(policy: Policy, model: Model, body: Provenance, measured: tuple[str, ...]) -> Iterator[Finding]:
    """Whether what nobody fixed was looked through for what the model is measured with.

    Provenance that was signed before builders recorded it lacks it, and is taken as it is where the
    policy names the set by digest, as policies did then.
    """
    said, rule = body.observed.comparison, model.evaluation
    if rule is None or model.fixed or (said is None and isinstance(rule.set, str)):
        return
    if said is not None and said.compared and (not measured or {said.digest.dir_hash} == {*measured}):
        return  # without a set that is measured nothing passes: the evaluation is missing
    if said is None:
        reason = "the provenance names none"
    else:
        reason = "the policy names another set now" if said.compared else printable(said.how)
    yield fault(
        GATE,
        f"code and configuration were not compared with the evaluation set: {reason}",
        severity=Severity.LOW if policy.development else Severity.HIGH,
        fix="run where data.eval is the policy's set, or have the policy fix code, config, command and env",
    )


def _base_scan(body: Provenance) -> Iterator[Finding]:
    said = body.observed.base_scan.get("verdict")
    if said != "passed":
        yield fault(
            GATE,
            f"the verdict of the run's own scan of its base is {printable(str(said))}",
            fix="train from a base that scans clean",
        )


def _controls(policy: Policy, body: Provenance) -> Iterator[Finding]:
    found = {control.name: (control.state, control.how) for control in body.observed.controls}
    asked = body.chosen.resources is not None and bool(body.chosen.resources.gpu)
    for control in CONTROLS:
        if control == DEVICES and control not in found and not asked and body.observed.devices is None:
            continue  # evidence from before this control: what made it showed no device to any run
        state, how = found.get(control, (ControlState.ABSENT, "the provenance does not name it"))
        wanted = policy.control(control)
        if not state.meets(wanted):
            yield fault(
                GATE,
                f"the isolation control {control} was {state}, the policy wants it {wanted}",
                why=printable(how),
                fix="run on a machine that can prove it, or ask the policy's owner",
            )


GATE = Gate(
    "provenance",
    "made from what the policy allows",
    "provenance",
    no_settings("provenance"),
    nothing_to_tighten,
    judge,
)
