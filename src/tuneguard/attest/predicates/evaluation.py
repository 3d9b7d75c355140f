"""Evaluation: what was counted on which inputs. The gate computes values and intervals from the counts.

An in-toto test-result v0.1, whose ``configuration`` names the evaluation set and the classifier; the counts
are in the extension field `EXTENSION`, which readers that do not know it ignore.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate, only_tree
from tuneguard.attest.statement import TREE_DIGEST, Statement, tree_resource

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPE = "https://in-toto.io/attestation/test-result/v0.1"
KIND = "evaluation"
EXTENSION = "https://tuneguard.dev/evaluation"
RESULTS = ("PASSED", "WARNED", "FAILED")


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """One suite: of ``n`` outputs ``count`` were counted (right answers, toxic answers).

    ``constant`` says that every output was the same; ``empty`` further outputs said nothing and are not
    in ``n``. ``outputs_digest`` is the SHA-256 of all outputs, ``inputs_digest`` of the suite's file in the
    evaluation set.
    """

    id: str
    version: int
    n: int
    count: int
    constant: bool
    empty: int
    outputs_digest: str
    inputs_digest: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a tree against an evaluation set and a classifier, both by tree digest.

    ``result`` is what the evaluator's own bounds said, ``WARNED`` where it had none; no gate believes it.
    ``failed`` names the suites that missed those bounds. ``files`` are the files of the tree that were shown
    to the evaluation, as (path, SHA-256 in hex): its weights and what goes with them.
    """

    set_digest: str
    classifier_digest: str
    suites: tuple[SuiteResult, ...]
    finished: str
    attempt: str | None = None
    result: str = "WARNED"
    failed: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()


def to_predicate(body: Evaluation) -> dict[str, Any]:
    """The predicate's JSON values, as ``docs/schemas/evaluation.schema.json`` describes them."""
    others = [suite.id for suite in body.suites if suite.id not in body.failed]
    extension: dict[str, Any] = {
        "finished": body.finished,
        "suites": [_suite_fields(suite) for suite in body.suites],
        "files": [{"path": path, "sha256": sha256} for path, sha256 in body.files],
    }
    if body.attempt is not None:
        extension["attempt"] = body.attempt
    return {
        "result": body.result,
        "configuration": [
            tree_resource("evaluation-set", body.set_digest).to_json(),
            tree_resource("classifier", body.classifier_digest).to_json(),
        ],
        "passedTests": [] if body.result == "WARNED" else others,
        "warnedTests": others if body.result == "WARNED" else [],
        "failedTests": list(body.failed),
        EXTENSION: extension,
    }


def from_predicate(predicate: Mapping[str, Any], where: str) -> Evaluation:
    """Read a predicate. Raises `NotUnderstood`, for counts that cannot be as well."""
    fields = Fields.of(predicate, where)
    extension = fields.section(EXTENSION)
    configuration = fields.sections("configuration")
    suites = tuple(_suite(entry) for entry in extension.sections("suites"))
    if len({suite.id for suite in suites}) != len(suites):
        raise extension.wrong("suites", "holds a suite twice")
    return Evaluation(
        set_digest=_tree_named("evaluation-set", configuration, fields),
        classifier_digest=_tree_named("classifier", configuration, fields),
        suites=suites,
        finished=extension.time("finished"),
        attempt=extension.optional_text("attempt"),
        result=fields.one_of("result", RESULTS),
        failed=fields.texts("failedTests") if fields.has("failedTests") else (),
        files=tuple(
            (file.text("path"), file.sha256("sha256"))
            for file in (extension.sections("files") if extension.has("files") else ())
        ),
    )


def from_statement(statement: Statement, where: str) -> Evaluation:
    """Read a statement about one tree."""
    only_tree(statement, where)
    return from_predicate(statement.predicate, where)


def statement(tree_name: str, digest: str, body: Evaluation) -> Statement:
    """The statement to sign about the tree `digest`."""
    return Statement((tree_resource(tree_name, digest),), TYPE, to_predicate(body))


def _suite_fields(suite: SuiteResult) -> dict[str, Any]:
    fields = {
        "id": suite.id,
        "version": suite.version,
        "n": suite.n,
        "count": suite.count,
        "constant": suite.constant,
        "empty": suite.empty,
        "outputs": suite.outputs_digest,
    }
    return fields if suite.inputs_digest is None else {**fields, "inputs": suite.inputs_digest}


def _suite(entry: Fields) -> SuiteResult:
    suite = SuiteResult(
        id=entry.text("id"),
        version=entry.number("version"),
        n=entry.number("n"),
        count=entry.number("count"),
        constant=entry.flag("constant"),
        empty=entry.number("empty"),
        outputs_digest=entry.sha256("outputs"),
        inputs_digest=entry.sha256("inputs") if entry.has("inputs") else None,
    )
    if suite.count > suite.n:
        raise entry.wrong("count", "is more than there were outputs")
    return suite


def _tree_named(name: str, configuration: list[Fields], fields: Fields) -> str:
    named = [entry for entry in configuration if entry.optional_text("name") == name]
    if len(named) != 1:
        raise fields.wrong("configuration", f"names {len(named)} of {name}, not one")
    return named[0].section("digest").sha256(TREE_DIGEST)


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
