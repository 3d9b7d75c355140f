import pytest
from msgspec import structs

from tuneguard.attest.predicates import verdict
from tuneguard.attest.statement import Resource, Statement, tree_resource
from tuneguard.errors import NotUnderstood
from tuneguard.typed import read, written
from world.bodies import MANIFEST, TREE, VERDICT, sha

FAILED = structs.replace(
    VERDICT,
    result="FAILED",
    verified_levels=("FAILED",),
    decision=structs.replace(VERDICT.decision, reasons=("G-EVALUATION: accuracy",)),
)


def test_a_passed_verdict_speaks_of_the_tree_and_of_the_manifest_in_two_subjects():
    statement = verdict.statement("run", TREE.digest, VERDICT, MANIFEST)

    assert [dict(subject.digest) for subject in statement.subjects] == [
        {"dirHash": TREE.digest},
        {"sha256": MANIFEST.removeprefix("sha256:")},
    ]
    assert verdict.manifest_of(statement) == MANIFEST


def test_a_refused_verdict_speaks_of_the_tree_alone_so_that_cosign_cannot_take_it_for_a_pass():
    statement = verdict.statement("run", TREE.digest, FAILED)

    assert [dict(subject.digest) for subject in statement.subjects] == [{"dirHash": TREE.digest}]
    assert verdict.manifest_of(statement) is None
    assert verdict.PREDICATE.read(statement, "v") == FAILED
    assert statement.predicate["verifiedLevels"] == ["FAILED"]


def test_a_refused_verdict_cannot_be_made_to_name_a_manifest_nor_a_passed_one_without():
    with pytest.raises(ValueError, match="passed"):
        verdict.statement("run", TREE.digest, FAILED, MANIFEST)
    with pytest.raises(ValueError, match="passed"):
        verdict.statement("run", TREE.digest, VERDICT)


THE_TREE = tree_resource("t", TREE.digest)
A_MANIFEST = Resource("m", {"sha256": sha("m")})
MIXED = Resource("m", {"sha256": sha("m"), "dirHash": sha("n")})


@pytest.mark.parametrize(
    ("body", "subjects"),
    [
        (FAILED, (THE_TREE, A_MANIFEST)),
        (VERDICT, (THE_TREE,)),
        (VERDICT, (THE_TREE, THE_TREE)),
        (VERDICT, (A_MANIFEST, THE_TREE)),
        (VERDICT, (THE_TREE, A_MANIFEST, A_MANIFEST)),
        (VERDICT, (THE_TREE, MIXED)),
        (VERDICT, (THE_TREE, Resource("m", {"sha256": "x"}))),
    ],
    ids=["failed with", "passed without", "two trees", "reversed", "two manifests", "mixed", "no hex"],
)
def test_a_verdict_whose_subjects_do_not_fit_its_result_is_not_understood(body, subjects):
    statement = Statement(subjects, verdict.TYPE, written(body))

    with pytest.raises(NotUnderstood, match="verdict"):
        verdict.PREDICATE.read(statement, "v")


def test_a_verdict_under_a_development_policy_says_so_where_other_tools_can_see_it():
    predicate = written(structs.replace(VERDICT, profile="development"))

    assert predicate["https://tuneguard.dev/profile"] == "development"


def test_a_verdict_made_where_there_is_no_ledger_names_none():
    body = structs.replace(VERDICT, decision=structs.replace(VERDICT.decision, log=None))

    assert read(written(body), verdict.Verdict, "v") == body


def test_a_verification_summary_of_another_tool_is_not_taken_for_ours():
    predicate = written(VERDICT)
    del predicate[verdict.EXTENSION]

    with pytest.raises(NotUnderstood, match="verdict"):
        read(predicate, verdict.Verdict, "v")
