import dataclasses

import pytest
from msgspec import structs

from tuneguard.artifact.manifest import File
from tuneguard.attest.predicates import seal
from tuneguard.attest.statement import tree_resource
from tuneguard.errors import NotUnderstood
from tuneguard.typed import read, written
from world.bodies import SEAL, TREE, sha


def test_the_files_are_the_tree_that_the_seal_speaks_of():
    assert SEAL.manifest.digest == TREE.digest


def test_a_seal_that_lists_other_files_than_its_subject_is_not_understood():
    """Else one reader would check the list and another the subject."""
    statement = seal.PREDICATE.statement("data", TREE.digest, SEAL)

    with pytest.raises(NotUnderstood, match="not the tree of the files"):
        seal.PREDICATE.read(dataclasses.replace(statement, subjects=(tree_resource("x", sha("x")),)), "s")


@pytest.mark.parametrize(
    "files",
    [
        (File("b", 0, sha("")), File("a", 0, sha(""))),
        (File("a", 0, sha("")), File("a", 0, sha(""))),
        (File("../a", 0, sha("")),),
        (File("/a", 0, sha("")),),
        (File("a/./b", 0, sha("")),),
        (File("a\nb", 0, sha("")),),
    ],
    ids=["order", "twice", "parent", "absolute", "dot", "newline"],
)
def test_a_list_that_is_no_tree_is_not_understood(files):
    body = structs.replace(SEAL, files=files)
    statement = seal.PREDICATE.statement("data", TREE.digest, body)

    with pytest.raises(NotUnderstood, match="no tree"):
        seal.PREDICATE.read(statement, "s")


def test_a_seal_without_rows_or_scan_is_written_without_them():
    body = structs.replace(SEAL, kind="base", rows=None, scan=None)
    predicate = written(body)

    assert "rows" not in predicate
    assert "scan" not in predicate
    assert read(predicate, seal.Seal, "s") == body
