"""The model is good enough, and enough was measured to know.

The evaluation that names the open attempt gives raw counts, and this gate computes everything else
from them; the evaluation's own result is not looked at. For each suite that the policy lists for the
model, in exactly the listed version, the share and its Wilson interval (two-sided, z = 1.95996 at the
usual confidence of 0.95) are computed. For a minimum the lower end of the interval must reach the
bound, for a maximum the upper end must keep it, so that measuring little cannot pass: `max: 0.02` takes
at least 189 prompts with none toxic.

What was measured is chosen by names, outside of the sandbox, and chosen again here: `model.safetensors`,
else the shards of `model.safetensors.index.json`, together with the files that hold no weights. The
evaluation must list exactly these files with their digests. Any other file that could hold weights
(`pytorch_model.bin`, `model.fp16.safetensors`, a second index, an adapter beside full weights) refuses by
its name, since another flag or program would load it. A complete checkpoint in a folder of its own
(`checkpoint-20/`) is not measured, and is named.

The evaluation set and the classifier must be the ones that the policy names by digest. Fewer rows than
`minimumRows` refuse, and so do outputs that are all the same. Empty outputs never help: for a minimum
they count as wrong, for a maximum they are not counted as inputs. A suite without a bound, or a bound
without a suite, refuses.

`gates.evaluation` of the policy holds the bounds: `{accuracy: {min: 0.85}, toxicity: {max: 0.02},
confidence: 0.95}`. The model's own `gates` in the policy, a pipeline file and the flags `--min-accuracy` and
`--max-toxicity` may tighten them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from tuneguard import paste
from tuneguard.attest.predicates.evaluation import Evaluation
from tuneguard.errors import ConfigurationError, Problem
from tuneguard.evaluation.interval import wilson, z_of
from tuneguard.facts import Number
from tuneguard.fields import Wrong, examine
from tuneguard.findings import Severity
from tuneguard.gates.engine import (
    AT_LEAST,
    AT_MOST,
    Case,
    Gate,
    GateResult,
    fault,
    not_judged,
    ordered,
    signer,
)
from tuneguard.nodes import Node, Problems, shown
from tuneguard.trust.policy import described

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneguard.attest.predicates.evaluation import SuiteResult
    from tuneguard.evaluation.weights import Selection
    from tuneguard.findings import Finding
    from tuneguard.trust.policy import EvaluationRule

USUAL_CONFIDENCE = 0.95
ONE_SET = "save one set of weights, as safetensors, without a second one beside it"


@dataclass(frozen=True, slots=True)
class Bound:
    """A number that somebody set: where, and whose it is."""

    value: float
    where: str | None = None
    owner: str = "the policy's"

    @property
    def shown(self) -> str:
        """As people write it: at least two digits after the point."""
        return f"{self.value:.2f}" if round(self.value, 2) == self.value else f"{self.value:g}"


def _read_share(node: Node) -> Bound:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Wrong(f"must be a share from 0 to 1, found {node.kind}", "such as 0.85")
    return Bound(float(value), node.where)


def _read_confidence(node: Node) -> Bound:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value < 1:
        raise Wrong(f"must be from 0.5 to below 1, found {node.kind}", "such as 0.95")
    return Bound(float(value), node.where)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a suite's share must reach, and what it must not exceed."""

    min: Annotated[Bound | None, _read_share] = None
    max: Annotated[Bound | None, _read_share] = None


@dataclass(frozen=True, slots=True)
class _Confidence:
    confidence: Annotated[Bound | None, _read_confidence] = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds by suite, and how sure the interval is to be (None: the usual 0.95)."""

    suites: Mapping[str, Bounds]
    confidence: Bound | None = None

    @property
    def z(self) -> float:
        """The point of the normal distribution for the confidence."""
        return z_of(USUAL_CONFIDENCE if self.confidence is None else self.confidence.value)


def decode(node: Node | None) -> Settings:
    """Read ``{<suite>: {min: …, max: …}, confidence: …}``.

    Raises:
        ConfigurationError: with every fault and its place.
    """
    if node is None:
        return Settings(MappingProxyType({}))
    problems = Problems()
    if not isinstance(node.value, dict):
        problems.add(node, f"`evaluation` must be a mapping, found {node.kind}")
    suites: dict[str, Bounds] = {}
    for name, block in node.mapping.items():
        bounds = None if name == "confidence" else examine(block, Bounds, problems)
        if bounds is not None:
            suites[name] = bounds
            if bounds.min is None and bounds.max is None:
                problems.add(block, f"`{shown(name)}` has no bound", "give it a min or a max")
    confidence = _confidence(node, problems)
    problems.raise_if_any()
    return Settings(MappingProxyType(suites), confidence)


def _confidence(node: Node, problems: Problems) -> Bound | None:
    given = node.get("confidence")
    if given is None:
        return None
    alone = dataclasses.replace(node, value={"confidence": given})
    read = examine(alone, _Confidence, problems)
    return None if read is None else read.confidence


def tighten(floor: Settings, asked: Settings, owner: str) -> Settings:
    """The floor, with every bound that `asked` sets in its place.

    Raises:
        ConfigurationError: a bound is looser than the floor's; with every such bound and both places.
    """
    problems: list[Problem] = []
    suites = dict(floor.suites)
    for name, bounds in asked.suites.items():
        under = suites.get(name, Bounds())
        suites[name] = Bounds(
            min=_tighter(f"{name}.min", under.min, bounds.min, problems, owner, sign=1),
            max=_tighter(f"{name}.max", under.max, bounds.max, problems, owner, sign=-1),
        )
    usual = Bound(USUAL_CONFIDENCE)
    confidence = _tighter("confidence", floor.confidence or usual, asked.confidence, problems, owner, sign=1)
    if problems:
        raise ConfigurationError(problems)
    return Settings(MappingProxyType(suites), confidence)


def _tighter(
    name: str, floor: Bound | None, asked: Bound | None, problems: list[Problem], owner: str, *, sign: int
) -> Bound | None:
    if asked is None:
        return floor
    if floor is not None and sign * asked.value < sign * floor.value:
        place = "" if floor.where is None else f" ({floor.where.rpartition(':')[0]})"
        problems.append(
            Problem(
                f"{asked.shown} is looser than {floor.owner} {name} {floor.shown}{place}",
                asked.where,
                "remove it, or ask the policy's owner",
            )
        )
    return dataclasses.replace(asked, owner=owner)


def judge(case: Case, settings: Settings) -> GateResult:
    """Compute shares and intervals from the counts, and hold them against the bounds."""
    rule = case.model.evaluation
    needed = _needed(rule, settings)
    claims = ordered(case.verification.counting(Evaluation))
    others = tuple(beside(case.weights))
    if not claims:
        missing = not_judged(case, GATE, needed)
        return dataclasses.replace(missing, findings=(*missing.findings, *others))
    claim = claims[0]  # verification lets one result of an attempt through
    if rule is None:
        fix = paste.command(
            "policy", "set-model", case.model.name, "--evaluation", "DIR", "--classifier", "DIR"
        )
        none = fault(
            GATE, f"the policy names no evaluation for {case.model.name}, and empty means no", fix=fix
        )
        return GateResult(GATE.id, (none, *others), needed, "nothing to hold it against", (signer(claim),))
    body = claim.body
    measured = {suite.id: suite for suite in body.counts.suites}
    numbers = tuple(_numbers(measured, rule, settings))
    findings = (
        *others,
        *_wrong_files(body, case.weights),
        *_wrong_inputs(case, body, rule),
        *_wrong_suites(measured, rule, settings),
        *(_missed(number) for number in numbers if not number.met),
    )
    found = ", ".join(f"{number.label} {number.value:.4g}" for number in numbers) or "nothing measured"
    return GateResult(GATE.id, findings, needed, found, (signer(claim),), numbers)


def _needed(rule: EvaluationRule | None, settings: Settings) -> str:
    bounds = [
        f"{name} {op} {bound.shown}"
        for name, suite in settings.suites.items()
        for op, bound in ((AT_LEAST, suite.min), (AT_MOST, suite.max))
        if bound is not None
    ]
    rows = "" if rule is None else f", at least {rule.minimum_rows:,} rows each"
    return (", ".join(bounds) or "bounds that the policy does not set") + rows


def beside(weights: Selection) -> Iterator[Finding]:
    """What the tree holds besides the measured weights that is, or would be taken for, weights too."""
    for path, what in weights.faults:
        yield fault(GATE, what if path else f"the tree {what}", path=path or None, fix=ONE_SET)
    for folder in weights.apart:
        yield fault(
            GATE,
            "is a checkpoint of its own, whose weights were not measured",
            severity=Severity.LOW,
            path=f"{folder}/",
        )


def _wrong_files(body: Evaluation, weights: Selection) -> Iterator[Finding]:
    expected = {file.path: file.sha256 for file in weights.measured}
    measured = {file.path: file.sha256 for file in body.counts.files or ()}
    if not measured:
        yield fault(GATE, "the evaluation does not name the files that it measured", fix="evaluate again")
        return
    for path in sorted(expected.keys() | measured.keys()):
        if path not in measured:
            yield fault(GATE, "belongs to the model, and was not measured", path=path)
        elif path not in expected:
            yield fault(GATE, "was measured, and does not belong to the model", path=path)
        elif measured[path] != expected[path]:
            yield fault(GATE, "was measured with other bytes than these", path=path)


def _wrong_inputs(case: Case, body: Evaluation, rule: EvaluationRule) -> Iterator[Finding]:
    if not case.measures(body.set_digest):
        named = described(rule.set)
        short = named[:12] if isinstance(rule.set, str) else f"{named}, and no such seal over that counts"
        yield fault(
            GATE,
            f"measured with the evaluation set {body.set_digest[:12]}, the policy names {short}",
            why=f"used {body.set_digest}, named {named}",
        )
    if body.classifier_digest != rule.classifier:
        yield fault(
            GATE,
            f"measured with the classifier {body.classifier_digest[:12]}, "
            f"the policy names {rule.classifier[:12]}",
            why=f"used {body.classifier_digest}, named {rule.classifier}",
        )


def _wrong_suites(
    measured: Mapping[str, SuiteResult], rule: EvaluationRule, settings: Settings
) -> Iterator[Finding]:
    for name in sorted(rule.suites.keys() | settings.suites.keys()):
        if name not in rule.suites:
            yield fault(GATE, f"a bound is set for {shown(name)}, and the policy lists no such suite")
        elif name not in settings.suites:
            yield fault(
                GATE, f"the suite {name} has no bound", fix=f"set gates.evaluation.{name} in the policy"
            )
        elif name not in measured:
            yield fault(GATE, f"the suite {name} was not measured")
        else:
            yield from _wrong_suite(measured[name], rule)


def _wrong_suite(suite: SuiteResult, rule: EvaluationRule) -> Iterator[Finding]:
    wanted = rule.suites[suite.id]
    if suite.version != wanted:
        yield fault(GATE, f"{suite.id} is version {suite.version}, the policy lists version {wanted}")
    if suite.n < rule.minimum_rows:
        yield fault(
            GATE,
            f"{suite.id} counted {suite.n:,} rows, the policy demands {rule.minimum_rows:,}",
            why="few rows prove little, however good they are",
        )
    if suite.constant:
        yield fault(
            GATE, f"all outputs of {suite.id} are the same", why="a model that always gives one answer"
        )
    if not 0 <= suite.count <= suite.n:
        yield fault(GATE, f"{suite.id} counted {suite.count:,} of {suite.n:,}, which cannot be")


def _numbers(
    measured: Mapping[str, SuiteResult], rule: EvaluationRule, settings: Settings
) -> Iterator[Number]:
    for name, bounds in sorted(settings.suites.items()):
        suite = measured.get(name)
        if suite is None or name not in rule.suites or not 0 <= suite.count <= suite.n:
            continue
        for op, bound, n in (
            (AT_LEAST, bounds.min, suite.n + suite.empty),
            (AT_MOST, bounds.max, suite.n),
        ):
            if bound is not None and n > 0:
                low, high = wilson(suite.count, n, settings.z)
                yield Number(
                    label=name,
                    value=suite.count / n,
                    low=low,
                    high=high,
                    bound=bound.value,
                    op=op,
                    n=n,
                    count=suite.count,
                    met=low >= bound.value if op == AT_LEAST else high <= bound.value,
                )


def _missed(number: Number) -> Finding:
    end, value = ("lower", number.low) if number.op == AT_LEAST else ("upper", number.high)
    interval = f"{number.value:.4g} [{number.low:.4g}, {number.high:.4g}]"
    return fault(
        GATE,
        f"{number.label} {interval} misses {number.op} {number.bound:g}",
        why=f"the {end} end of the interval is judged: {value:.4g}, from {number.count:,} of {number.n:,}",
    )


GATE = Gate("evaluation", "the model is good enough", "evaluation", decode, tighten, judge)
