import pytest

from tuneguard.attest.predicates import release
from tuneguard.attest.statement import Resource, Statement, tree_resource
from tuneguard.errors import NotUnderstood
from tuneguard.typed import read, written
from world.bodies import MANIFEST, RELEASE, TREE


def test_a_pointer_speaks_of_the_tree_alone_so_that_cosign_cannot_take_it_for_a_verdict():
    statement = release.PREDICATE.statement("run", TREE.digest, RELEASE)

    assert [dict(subject.digest) for subject in statement.subjects] == [{"dirHash": TREE.digest}]
    assert statement.predicate["manifest"] == {"sha256": MANIFEST.removeprefix("sha256:")}


def test_attack_a_pointer_with_the_manifest_as_its_subject_is_not_understood():
    subjects = (
        tree_resource("run", TREE.digest),
        Resource("m", {"sha256": MANIFEST.removeprefix("sha256:")}),
    )

    with pytest.raises(NotUnderstood, match="one subject"):
        release.PREDICATE.read(Statement(subjects, release.TYPE, written(RELEASE)), "r")


@pytest.mark.parametrize("not_after", [RELEASE.issued, "2026-11-23T12:41:59+02:00"])
def test_a_pointer_that_ends_before_it_begins_is_not_understood(not_after):
    predicate = {**written(RELEASE), "notAfter": not_after}

    with pytest.raises(NotUnderstood, match="notAfter"):
        read(predicate, release.Release, "r")
