import copy
import dataclasses

import pytest

from tuneguard.attest.predicates import provenance
from tuneguard.errors import NotUnderstood
from world.bodies import PROVENANCE, sha

PREDICATE = provenance.to_predicate(PROVENANCE)


def changed(change):
    predicate = copy.deepcopy(PREDICATE)
    change(predicate["buildDefinition"])
    return predicate


def dependency(role, **changes):
    return {"name": "x", "digest": {"dirHash": sha("x")}, "annotations": {"role": role}, **changes}


def test_a_run_that_resumed_nothing_names_no_parent():
    body = dataclasses.replace(PROVENANCE, parent=None, parent_tree=None)

    assert provenance.from_predicate(provenance.to_predicate(body), "p") == body


def test_half_a_parent_is_a_bug_of_ours():
    with pytest.raises(ValueError, match="parent"):
        dataclasses.replace(PROVENANCE, parent_tree=None)


def test_dependencies_of_roles_that_nobody_knows_are_ignored():
    predicate = changed(lambda build: build["resolvedDependencies"].append(dependency("tokenizer")))

    assert provenance.from_predicate(predicate, "p") == PROVENANCE


@pytest.mark.parametrize("role", ["base", "code", "config", "parent"])
def test_a_second_dependency_of_a_role_that_has_one_is_not_understood(role):
    """Else the gate would check one of them, and training would have read the other."""
    predicate = changed(lambda build: build["resolvedDependencies"].append(dependency(role)))

    with pytest.raises(NotUnderstood, match="2 dependencies"):
        provenance.from_predicate(predicate, "p")


def test_a_parent_run_without_its_tree_and_a_tree_without_its_run_are_not_understood():
    for change in (
        lambda build: build["resolvedDependencies"].pop(),
        lambda build: build["externalParameters"].pop("parent"),
        lambda build: build["externalParameters"].update(parent="another"),
    ):
        with pytest.raises(NotUnderstood, match="parent"):
            provenance.from_predicate(changed(change), "p")


def test_a_wall_that_is_listed_twice_is_not_understood():
    """Else one reader would see it proven and another absent."""
    wall = {"name": "network", "state": "absent", "how": "x"}
    predicate = changed(lambda build: build["internalParameters"]["walls"].append(wall))

    with pytest.raises(NotUnderstood, match="twice"):
        provenance.from_predicate(predicate, "p")


def test_many_walls_take_no_quadratic_time():
    walls = [{"name": f"w{at}", "state": "proven", "how": "x"} for at in range(100_000)]
    predicate = changed(lambda build: build["internalParameters"].update(walls=walls))

    assert len(provenance.from_predicate(predicate, "p").walls) == 100_000


@pytest.mark.parametrize("digest", [{}, {"dirHash": "x"}, {"dirHash": sha("x"), "md5": "0" * 32}])
def test_a_dependency_without_a_digest_that_we_compare_is_not_understood(digest):
    predicate = changed(lambda build: build["resolvedDependencies"].append(dependency("data", digest=digest)))

    with pytest.raises(NotUnderstood, match="digest"):
        provenance.from_predicate(predicate, "p")


def test_provenance_of_another_builder_is_not_taken_for_ours():
    predicate = changed(lambda build: build.update(buildType="https://example.com/build/v1"))

    with pytest.raises(NotUnderstood, match="buildType"):
        provenance.from_predicate(predicate, "p")
