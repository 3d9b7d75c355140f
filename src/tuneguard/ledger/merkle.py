"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1 is the same tree), SHA-256.

A log of entries is one hash, its root. Two proofs follow from it: that an entry is in the tree with
this root (inclusion), and that the tree with this root begins with the tree with that root
(consistency). Anyone who keeps an old root elsewhere can check that nothing before it was rewritten,
and anyone who holds only a root can check both proofs without the log.

Everything here is pure: leaf hashes in, roots, proofs or truth values out. Proofs are lists of
32-byte hashes, lowest level first.

    >>> leaves = [leaf_hash(bytes([n])) for n in range(7)]
    >>> verify_inclusion(3, 7, leaves[3], inclusion_proof(3, leaves), root(leaves))
    True
    >>> verify_consistency(4, 7, root(leaves[:4]), root(leaves), consistency_proof(4, leaves))
    True
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of no leaves at all."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf; its prefix keeps a leaf from passing as an inner node."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that is only appended to: its complete subtrees, at most one for each power of two.

    Holds 32 bytes for each bit of the size, so that a log of any length has its root in one pass.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._complete: list[bytes] = []  # largest subtree first
        for leaf in leaf_hashes:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the end."""
        node, size = leaf, self.size
        while size & 1:  # a complete subtree of this size waits for its right sibling
            node = node_hash(self._complete.pop(), node)
            size >>= 1
        self._complete.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root of what has been appended so far."""
        if not self._complete:
            return EMPTY_ROOT
        *left, node = self._complete
        for sibling in reversed(left):
            node = node_hash(sibling, node)
        return node


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """MTH: the root over leaf hashes."""
    return Frontier(leaf_hashes).root()


def inclusion_proof(index: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """PATH(index, leaves): the siblings on the way from a leaf up to the root.

    Raises:
        ValueError: no leaf has that index.
    """
    if not 0 <= index < len(leaf_hashes):
        msg = f"there is no leaf {index} in a tree of {len(leaf_hashes)}"
        raise ValueError(msg)
    proof: list[bytes] = []
    low, high = 0, len(leaf_hashes)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(root(leaf_hashes[middle:high]))
            high = middle
        else:
            proof.append(root(leaf_hashes[low:middle]))
            low = middle
    return tuple(reversed(proof))


def consistency_proof(first: int, leaf_hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """PROOF(first, leaves): what shows that these leaves begin with the tree of their first `first`.

    Raises:
        ValueError: `first` is not between 1 and the number of leaves. The empty tree is consistent
            with every tree and needs no proof.
    """
    if not 0 < first <= len(leaf_hashes):
        msg = f"there is no proof from size {first} to size {len(leaf_hashes)}"
        raise ValueError(msg)
    proof: list[bytes] = []
    low, high = 0, len(leaf_hashes)
    while first != high:  # the old tree ends inside [low, high)
        middle = low + _split(high - low)
        if first <= middle:
            proof.append(root(leaf_hashes[middle:high]))
            high = middle
        else:
            proof.append(root(leaf_hashes[low:middle]))
            low = middle
    if low > 0:  # the old tree is not this one complete subtree, whose hash the verifier has
        proof.append(root(leaf_hashes[low:high]))
    return tuple(reversed(proof))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf`, a leaf hash, is leaf `index` of the tree of `size` leaves with that root.

    RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size or not _hashes(leaf, root, *proof):
        return False
    node, position, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            return False  # the proof is longer than the tree is high
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:  # a last node without sibling rises unchanged
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `second` leaves begins with the tree of `first` leaves. RFC 9162 section 2.1.4.2.

    False for ``first = 0``: the empty tree begins every tree, so asking is a mistake of the caller's
    that must not read as proof.
    """
    if not 0 < first <= second or not _hashes(first_root, second_root, *proof):
        return False
    if first == second:
        return not proof and first_root == second_root
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)  # the old tree is one complete subtree of the new one
    if not path:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two that is smaller than `size`: how many leaves the left subtree has."""
    return 1 << ((size - 1).bit_length() - 1)


def _hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
