"""Evaluation: what was counted on which inputs. The gate computes values and intervals from the counts.

An in-toto test-result v0.1, whose ``configuration`` names the evaluation set and the classifier; the counts
are in the extension field `EXTENSION`, which readers that do not know it ignore.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import field

from tuneguard.attest.predicate import Predicate
from tuneguard.attest.statement import OnlyTree, TreeSet
from tuneguard.typed import Count, JsonStruct, Sha256, Text, Time, about, check_times, twice

TYPE = "https://in-toto.io/attestation/test-result/v0.1"
KIND = "evaluation"
EXTENSION = "https://tuneguard.dev/evaluation"
Outcome = Literal["PASSED", "WARNED", "FAILED"]


class Configured(JsonStruct, frozen=True):
    """A tree that was used."""

    name: Text
    digest: OnlyTree


class Measured(JsonStruct, frozen=True):
    """A file of the tree."""

    path: Text
    sha256: Sha256


class SuiteResult(JsonStruct, frozen=True):
    """What one suite counted."""

    id: Text
    version: Count
    n: Annotated[Count, about("Outputs with visible characters.")]
    count: Annotated[Count, about("Of these, right answers or toxic answers.")]
    constant: Annotated[bool, about("Every output was the same.")]
    empty: Annotated[Count, about("Further outputs without visible characters.")]
    outputs_digest: Annotated[Sha256, about("SHA-256 of all outputs.")] = field(name="outputs")
    inputs_digest: Annotated[Sha256 | None, about("SHA-256 of the suite's file in the evaluation set.")] = (
        field(name="inputs", default=None)
    )

    def __post_init__(self) -> None:
        if self.count > self.n:
            raise ValueError("`count` is more than there were outputs")


class Counts(JsonStruct, frozen=True, kw_only=True):
    """What was counted."""

    finished: Time
    attempt: Annotated[Text | None, about("The promotion that asked for it.")] = None
    files: Annotated[
        tuple[Measured, ...] | None,
        about(
            "The files of the tree that the evaluation was shown. No gate passes an evaluation without them."
        ),
    ] = None
    suites: Annotated[tuple[SuiteResult, ...], about("Each suite once.")]

    def __post_init__(self) -> None:
        check_times(finished=self.finished)
        if twice([suite.id for suite in self.suites]):
            raise ValueError("`suites` holds a suite twice")


class Evaluation(JsonStruct, frozen=True, kw_only=True):
    """in-toto test-result v0.1 with an extension field that holds the raw counts.

    The statement's one subject is the tree.
    """

    result: Annotated[
        Outcome, about("By the evaluator's own bounds, WARNED where it had none. Gates ignore it.")
    ]
    configuration: Annotated[
        tuple[Configured, ...], about("The trees called evaluation-set and classifier, one each.")
    ]
    passed_tests: tuple[str, ...] | None = None
    warned_tests: tuple[str, ...] | None = None
    failed_tests: tuple[str, ...] | None = None
    counts: Counts = field(name=EXTENSION)

    def __post_init__(self) -> None:
        for name in ("evaluation-set", "classifier"):
            if (count := len(self._trees(name))) != 1:
                raise ValueError(f"`configuration` names {count} of {name}, not one")

    @classmethod
    def of(
        cls,
        *,
        set_digest: str,
        classifier_digest: str,
        result: Outcome = "WARNED",
        failed: tuple[str, ...] = (),
        **counts: Any,
    ) -> Evaluation:
        """An evaluation with its `Counts`. ``failed`` names the suites that missed the evaluator's bounds."""
        counted = Counts(**counts)
        others = tuple(suite.id for suite in counted.suites if suite.id not in failed)
        return cls(
            result=result,
            configuration=(
                Configured("evaluation-set", TreeSet(set_digest)),
                Configured("classifier", TreeSet(classifier_digest)),
            ),
            passed_tests=() if result == "WARNED" else others,
            warned_tests=others if result == "WARNED" else (),
            failed_tests=failed,
            counts=counted,
        )

    @property
    def attempt(self) -> str | None:
        """The promotion that asked for it."""
        return self.counts.attempt

    @property
    def set_digest(self) -> str:
        """The evaluation set's tree digest."""
        return self._trees("evaluation-set")[0]

    @property
    def classifier_digest(self) -> str:
        """The classifier's tree digest."""
        return self._trees("classifier")[0]

    def _trees(self, name: str) -> list[str]:
        return [each.digest.dir_hash for each in self.configuration if each.name == name]


PREDICATE = Predicate(KIND, TYPE, Evaluation)
