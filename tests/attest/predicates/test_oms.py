import dataclasses

import pytest

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.predicates import oms
from tuneguard.attest.statement import PAYLOAD_TYPE, Resource, Statement
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.signing.bundle import read_bundle
from tuneguard.signing.key import KeyType
from tuneguard.typed import read, written
from world.bodies import SIGNATURE, TREE, sha
from world.keys import signer


def predicate(resources=None, **serialization):
    """An OMS predicate as another writer may have written it."""
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **serialization}
    listed = [{"name": "a", "digest": sha("a"), "algorithm": "sha256"}] if resources is None else resources
    return {
        "resources": listed,
        "serialization": {key: value for key, value in how.items() if value is not ...},
    }


def listed(predicate):
    """What a predicate lists, where it is a list that two readers take alike."""
    body = read(predicate, oms.Signature, "b")
    oms.check_list(body, "b")
    return body


def resource(name, **changes):
    return {"name": name, "digest": sha("a"), "algorithm": "sha256", **changes}


def test_the_root_digest_of_the_specifications_test_vector():
    """``test-vectors/v1.0/valid/key.bundle.json``."""
    listed = oms.Signature.of(
        (
            ("signme-1", "bc9a717db6064a32cbe9eae6fc40651dd6d36ef1757183f590eff2b1765d7ebc"),
            ("signme-2", "32dcb1f8e1ae52d5963e56a6ba06ab58b424c15ed2a6b70d2feca1d089370028"),
        )
    )

    assert listed.root == "92745110b1ab4368471cbe31664e10174e954b113a3df333db860317b2c6dec4"


def test_what_we_write_leaves_nothing_out():
    how = written(SIGNATURE)["serialization"]

    assert how == {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}


def test_names_are_sorted_by_code_points_and_not_by_path_components():
    tree = Manifest(tuple(File(path, 0, sha("")) for path in ("a-b", "a.b", "a/b", "ab")))

    assert [name for name, _ in oms.from_manifest(tree).files] == ["a-b", "a.b", "a/b", "ab"]


def test_the_subject_is_the_root_alone_and_never_the_tree_digest_beside_it():
    (subject,) = oms.statement("model", SIGNATURE).subjects

    assert dict(subject.digest) == {"sha256": SIGNATURE.root}
    assert TREE.digest != SIGNATURE.root


def test_a_bundle_is_signed_over_that_statement():
    key = signer()
    bundle = read_bundle(oms.sign(key, "model", TREE), "b")

    assert bundle.payload_type == PAYLOAD_TYPE
    assert bundle.signed_by(key.public_key)
    assert oms.PREDICATE.read(Statement.decode(bundle.payload, "b"), "b") == SIGNATURE


def test_an_ed25519_key_is_refused_before_anything_is_signed():
    with pytest.raises(UsageError, match="only ECDSA"):
        oms.sign(signer(KeyType.ED25519), "model", TREE)


def test_an_empty_tree_is_not_signed():
    with pytest.raises(Refused, match="empty"):
        oms.sign(signer(), "model", Manifest(()))


def test_a_tree_with_gits_names_at_its_top_is_not_signed_and_each_is_listed():
    paths = [".git/config", ".git/hooks/x", ".gitattributes", "model.bin", "sub/.gitignore"]
    tree = Manifest(tuple(File(path, 0, sha("")) for path in paths))

    with pytest.raises(Refused) as caught:
        oms.refuse_unsignable(tree)

    assert [finding.location.path for finding in caught.value.findings] == paths[:3]
    assert caught.value.help.startswith("remove .git and .gitattributes;")


def test_older_bundles_without_ignore_paths_are_read():
    assert listed(predicate()).serialization.ignore_paths is None


def test_unknown_fields_are_ignored():
    found = listed({**predicate([resource("a", annotations={"x": 1}, uri="u")]), "new": 1})

    assert found.files == (("a", sha("a")),)


NO_PATHS = ("", ".", "..", "../a", "/a", "a/../b", "a//b", "./a", "a/", "a/.", "a\0b", "a\\b", "a\nb")


@pytest.mark.parametrize(
    "value",
    [
        predicate(method="links"),
        predicate(method=...),
        predicate(hash_type="blake3"),
        predicate(hash_type="md5"),
        predicate(allow_symlinks="false"),
        predicate(allow_symlinks=...),
        predicate(ignore_paths="x"),
        predicate(ignore_paths=[7]),
        predicate([]),
        predicate([resource("a"), resource("a")]),
        predicate([resource("a", algorithm="sha1")]),
        predicate([resource("a", algorithm="sha256-sharded-1")]),
        predicate([resource("a", digest="ab")]),
        predicate([resource("a", digest=sha("a").upper())]),
        *(
            predicate([resource(name)])
            for name in (
                "",
                ".",
                "..",
                "../a",
                "/a",
                "a/../b",
                "a//b",
                "./a",
                "a/",
                "a/.",
                "a\0b",
                "a\\b",
                "a\nb",
            )
        ),
        predicate([resource("a:0:1")], method="shards"),
        predicate([resource("a:0:1")], method="shards", shard_size=0),
        predicate([resource("a:0:1")], method="shards", shard_size=1.5),
        predicate([resource("a:0:1")], method="shards", shard_size=True),
        predicate([resource("a")], method="shards", shard_size=1),
        predicate([resource("../a:0:1")], method="shards", shard_size=1),
        predicate([resource("a:00:1")], method="shards", shard_size=1),
        predicate([resource("a:0:" + "9" * 5000)], method="shards", shard_size=1),
    ],
)
def test_what_two_readers_could_take_differently_is_not_understood(value):
    with pytest.raises(NotUnderstood):
        listed(value)


def test_a_shard_size_that_protobuf_made_a_float_is_read():
    body = listed(predicate([resource("a:0:1")], method="shards", shard_size=1000.0))

    assert body.serialization.shard == 1000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a:0:10", ("a", 0, 10)),
        ("a:1:2:3:4", ("a:1:2", 3, 4)),
        ("a\nb:0:1", ("a\nb", 0, 1)),
        ("a:0:0", None),
        ("a:-1:2", None),
        (":0:1", None),
        ("a:0", None),
        ("a:０:1", None),
    ],
)
def test_the_range_is_the_last_two_numbers_of_a_name(name, expected):
    assert oms.range_of(name) == expected


def test_matching_a_range_does_not_take_forever():
    assert oms.range_of(":1" * 200_000 + ":") is None
    assert oms.range_of(":" + "1" * 1_000_000) is None


@pytest.mark.parametrize(
    "subjects",
    [
        (Resource("m", {"sha256": "0" * 64}),),
        (Resource("m", {"dirHash": SIGNATURE.root}),),
        (Resource("m", {"sha256": SIGNATURE.root, "dirHash": TREE.digest}),),
        (Resource("m", {"sha256": SIGNATURE.root}), Resource("m", {"sha256": "0" * 64})),
    ],
)
def test_a_statement_whose_subject_is_not_exactly_the_root_is_not_understood(subjects):
    with pytest.raises(NotUnderstood, match="root"):
        oms.PREDICATE.read(dataclasses.replace(oms.statement("m", SIGNATURE), subjects=subjects), "b")
