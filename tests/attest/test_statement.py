import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneguard.attest.statement import Resource, Statement, only_digest, tree_resource
from tuneguard.errors import NotUnderstood

TREE = "ab" * 32
GOOD = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "model", "digest": {"dirHash": TREE}}],
    "predicateType": "https://example.com/p",
    "predicate": {"a": 1},
}


def decoded(**changes):
    values = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return Statement.decode(json.dumps(values).encode(), "evidence.json")


def test_a_statement_is_written_and_read_back():
    statement = Statement(
        (
            tree_resource("model", TREE),
            Resource(None, {"sha256": "cd" * 32}, uri="https://example.com/x", annotations={"role": "y"}),
        ),
        "https://example.com/p",
        {"b": [1, {"c": None}]},
    )

    assert Statement.decode(statement.encode(), "e") == statement


def test_the_same_statement_is_always_the_same_bytes():
    one = Statement((tree_resource("m", TREE),), "p", {"b": 1, "a": {"y": 1, "x": 2}})
    other = Statement((tree_resource("m", TREE),), "p", {"a": {"x": 2, "y": 1}, "b": 1})

    assert one.encode() == other.encode()


def test_unknown_fields_are_ignored_and_an_absent_predicate_is_empty():
    assert decoded(new=1).predicate == {"a": 1}
    assert decoded(predicate=...).predicate == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"_type": ...},
        {"subject": ...},
        {"subject": []},
        {"subject": {}},
        {"subject": [{"name": "model"}]},
        {"subject": [{"digest": {}}]},
        {"subject": [{"digest": {"sha256": 7}}]},
        {"subject": [{"digest": {"sha256": ""}}]},
        {"subject": [{"digest": {"sha256": "a"}, "name": 7}]},
        {"subject": ["model"]},
        {"predicateType": ...},
        {"predicateType": ""},
        {"predicate": []},
        {"predicate": "x"},
    ],
)
def test_what_is_no_statement_is_not_understood(changes):
    with pytest.raises(NotUnderstood, match=r"evidence\.json"):
        decoded(**changes)


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(GOOD).encode().replace(b'"predicate":', b'"predicate":{"a":2},"predicate":'),
        json.dumps(GOOD).encode().replace(b'"dirHash":', b'"dirHash":"' + b"00" * 32 + b'","dirHash":'),
        json.dumps(GOOD).encode().replace(b"1}", b"NaN}"),
        json.dumps(GOOD).encode().replace(b"1}", b"[" * 100 + b"]" * 100 + b"}"),
        json.dumps(GOOD).encode() + b"x",
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        json.dumps(GOOD).encode("utf-16"),
    ],
    ids=["doubled predicate", "doubled digest", "NaN", "deep", "trailing", "byte order mark", "utf-16"],
)
def test_a_payload_that_two_readers_could_read_differently_is_not_understood(payload):
    with pytest.raises(NotUnderstood):
        Statement.decode(payload, "evidence.json")


def test_a_tree_is_named_only_by_its_tree_digest_and_nothing_beside_it():
    assert decoded().tree == TREE
    assert decoded(subject=[{"digest": {"sha256": TREE}}]).tree is None
    assert decoded(subject=[{"digest": {"dirHash": TREE, "sha256": TREE}}]).tree is None
    assert decoded(subject=[{"digest": {"dirHash": TREE.upper()}}]).tree is None


def test_one_digest_under_the_key_asked_for_and_no_other():
    assert only_digest(Resource(None, {"sha256": TREE}), "sha256") == TREE
    assert only_digest(Resource(None, {"sha256": TREE}), "dirHash") is None
    assert only_digest(Resource(None, {}), "sha256") is None


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(payload):
    with pytest.raises(NotUnderstood):
        Statement.decode(payload, "e")
