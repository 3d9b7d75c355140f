import copy

import pytest
from msgspec import structs

from tuneguard.attest.predicates import provenance
from tuneguard.errors import NotUnderstood
from tuneguard.typed import read, written
from world.bodies import PROVENANCE, sha

PREDICATE = written(PROVENANCE)


def changed(change):
    predicate = copy.deepcopy(PREDICATE)
    change(predicate["buildDefinition"])
    return predicate


def dependency(role, **changes):
    return {"name": "x", "digest": {"dirHash": sha("x")}, "annotations": {"role": role}, **changes}


def test_a_run_that_resumed_nothing_names_no_parent():
    definition = structs.replace(
        PROVENANCE.definition,
        chosen=structs.replace(PROVENANCE.chosen, parent=None),
        dependencies=PROVENANCE.definition.dependencies[:-1],
    )
    body = structs.replace(PROVENANCE, definition=definition)

    assert "parent" not in written(body)["buildDefinition"]["externalParameters"]
    assert read(written(body), provenance.Provenance, "p") == body


def test_half_a_parent_is_a_bug_of_ours():
    with pytest.raises(ValueError, match="parent"):
        structs.replace(PROVENANCE.definition, dependencies=PROVENANCE.definition.dependencies[:-1])


def test_dependencies_of_roles_that_nobody_knows_are_ignored():
    predicate = changed(lambda build: build["resolvedDependencies"].append(dependency("tokenizer")))

    body = read(predicate, provenance.Provenance, "p")
    known = (body.data, body.base, body.code, body.config)

    assert known == (PROVENANCE.data, PROVENANCE.base, PROVENANCE.code, PROVENANCE.config)


@pytest.mark.parametrize("role", ["base", "code", "config", "parent"])
def test_a_second_dependency_of_a_role_that_has_one_is_not_understood(role):
    """Else the gate would check one of them, and training would have read the other."""
    predicate = changed(lambda build: build["resolvedDependencies"].append(dependency(role)))

    with pytest.raises(NotUnderstood, match="2 dependencies"):
        read(predicate, provenance.Provenance, "p")


def test_a_parent_run_without_its_tree_and_a_tree_without_its_run_are_not_understood():
    for change in (
        lambda build: build["resolvedDependencies"].pop(),
        lambda build: build["externalParameters"].pop("parent"),
        lambda build: build["externalParameters"].update(parent="another"),
    ):
        with pytest.raises(NotUnderstood, match="parent"):
            read(changed(change), provenance.Provenance, "p")


def test_a_control_that_is_listed_twice_is_not_understood():
    """Else one reader would see it proven and another absent."""
    control = {"name": "network", "state": "absent", "how": "x"}
    predicate = changed(lambda build: build["internalParameters"]["controls"].append(control))

    with pytest.raises(NotUnderstood, match="twice"):
        read(predicate, provenance.Provenance, "p")


@pytest.mark.parametrize(
    ("build_type", "key"),
    [(provenance.BUILD_TYPE, "walls"), (provenance.OLD_BUILD_TYPE, "controls")],
)
def test_the_controls_of_one_build_type_under_the_key_of_the_other_are_not_understood(build_type, key):
    """Else one reader would see the controls, and another none."""
    predicate = changed(lambda build: build.update(buildType=build_type))
    observed = predicate["buildDefinition"]["internalParameters"]
    observed[key] = observed.pop("controls")

    with pytest.raises(NotUnderstood, match="is missing"):
        read(predicate, provenance.Provenance, "p")


def test_many_controls_take_no_quadratic_time():
    controls = [{"name": f"w{at}", "state": "proven", "how": "x"} for at in range(100_000)]
    predicate = changed(lambda build: build["internalParameters"].update(controls=controls))

    assert len(read(predicate, provenance.Provenance, "p").observed.controls) == 100_000


@pytest.mark.parametrize("digest", [{}, {"dirHash": "x"}, {"dirHash": sha("x"), "md5": "0" * 32}])
def test_a_dependency_without_a_digest_that_we_compare_is_not_understood(digest):
    predicate = changed(lambda build: build["resolvedDependencies"].append(dependency("data", digest=digest)))

    with pytest.raises(NotUnderstood, match="digest"):
        read(predicate, provenance.Provenance, "p")


def test_provenance_of_another_builder_is_not_taken_for_ours():
    predicate = changed(lambda build: build.update(buildType="https://example.com/build/v1"))

    with pytest.raises(NotUnderstood, match="buildType"):
        read(predicate, provenance.Provenance, "p")
