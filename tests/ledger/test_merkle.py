"""The tree of RFC 6962 against its text, published vectors, and a naive implementation."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tuneguard.ledger import merkle

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""The leaf inputs that implementations of Certificate Transparency share, and the roots over them."""
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]

trees = st.lists(st.binary(max_size=4), min_size=1, max_size=70).map(
    lambda leaves: [merkle.leaf_hash(leaf) for leaf in leaves]
)


def naive(leaf_hashes):
    """MTH, word for word."""
    if not leaf_hashes:
        return hashlib.sha256(b"").digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    k = 1
    while k * 2 < len(leaf_hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + naive(leaf_hashes[:k]) + naive(leaf_hashes[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_roots_are_the_published_ones(size):
    assert merkle.root(HASHES[:size]).hex() == ROOTS[size]


def seven():
    """The tree of RFC 6962 section 2.1.3: leaves d0 … d6, nodes named as there."""
    a, b, c, d, e, f, j = HASHES[:7]
    g, h, i = merkle.node_hash(a, b), merkle.node_hash(c, d), merkle.node_hash(e, f)
    k, m = merkle.node_hash(g, h), merkle.node_hash(i, j)
    return {"a": a, "b": b, "c": c, "d": d, "e": e, "f": f, "g": g, "h": h, "i": i, "j": j, "k": k, "l": m}


@pytest.mark.parametrize(("index", "path"), [(0, "bhl"), (3, "cgl"), (4, "fjk"), (6, "ik")])
def test_the_inclusion_proofs_are_those_of_the_specifications_example(index, path):
    nodes = seven()

    assert merkle.inclusion_proof(index, HASHES[:7]) == tuple(nodes[name] for name in path)


@pytest.mark.parametrize(("first", "path"), [(3, "cdgl"), (4, "l"), (6, "ijk")])
def test_the_consistency_proofs_are_those_of_the_specifications_example(first, path):
    nodes = seven()

    assert merkle.consistency_proof(first, HASHES[:7]) == tuple(nodes[name] for name in path)


@given(trees)
def test_the_root_is_what_the_naive_definition_gives(leaves):
    assert merkle.root(leaves) == naive(leaves)


@given(trees, st.data())
def test_every_leaf_is_proved_and_at_no_other_place(leaves, data):
    size, root = len(leaves), naive(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, leaves)

    assert merkle.verify_inclusion(index, size, leaves[index], proof, root)
    other = data.draw(st.integers(-1, size + 1))
    assume(other != index and leaves[other % size] != leaves[index])
    assert not merkle.verify_inclusion(other, size, leaves[index], proof, root)


@given(trees, st.data())
def test_every_beginning_is_proved(leaves, data):
    first = data.draw(st.integers(1, len(leaves)))
    proof = merkle.consistency_proof(first, leaves)

    assert merkle.verify_consistency(first, len(leaves), naive(leaves[:first]), naive(leaves), proof)


@given(trees, st.data())
def test_a_proof_with_any_change_proves_nothing(leaves, data):
    first = data.draw(st.integers(1, len(leaves)))
    old, new = naive(leaves[:first]), naive(leaves)
    proof = list(merkle.consistency_proof(first, leaves))
    change = data.draw(st.sampled_from(["flip", "drop", "double", "swap roots", "longer"]))
    if change == "swap roots":
        old, new = new, old
    elif change == "longer":
        proof.append(b"\0" * 32)
    else:
        assume(proof)
        place = data.draw(st.integers(0, len(proof) - 1))
        proof[place : place + 1] = {
            "flip": [bytes([proof[place][0] ^ 1]) + proof[place][1:]],
            "drop": [],
            "double": [proof[place]] * 2,
        }[change]
    assume(change != "swap roots" or old != new)

    assert not merkle.verify_consistency(first, len(leaves), old, new, proof)


@given(trees, trees, st.data())
def test_a_rewritten_beginning_has_no_proof(leaves, others, data):
    first = data.draw(st.integers(1, len(leaves)))
    forged = [*others[:first], *leaves[min(first, len(others)) :]]
    assume(len(forged) >= first and forged[:first] != leaves[:first])
    proof = merkle.consistency_proof(first, forged)

    assert not merkle.verify_consistency(first, len(forged), naive(leaves[:first]), naive(forged), proof)


def test_an_inner_node_does_not_pass_as_a_leaf():
    left, right = HASHES[:2]

    assert merkle.root([merkle.leaf_hash(left + right)]) != merkle.root([left, right])


def test_the_empty_tree_is_consistent_with_all_and_so_never_counts_as_proved():
    empty = merkle.EMPTY_ROOT

    assert not merkle.verify_consistency(0, 0, empty, empty, [])
    assert not merkle.verify_consistency(0, 1, empty, HASHES[0], [])
    with pytest.raises(ValueError, match="no proof from size 0"):
        merkle.consistency_proof(0, HASHES)
    with pytest.raises(ValueError, match="no leaf 8"):
        merkle.inclusion_proof(8, HASHES)


def test_hashes_of_another_length_prove_nothing():
    assert not merkle.verify_consistency(1, 1, b"short", b"short", [])
    assert not merkle.verify_inclusion(0, 1, b"", [], b"")


def test_sizes_beyond_any_tree_end_at_once():
    assert not merkle.verify_inclusion(0, 2**200, HASHES[0], [HASHES[1]], HASHES[2])
    assert not merkle.verify_consistency(1, 2**200, HASHES[0], HASHES[1], [HASHES[2]])
