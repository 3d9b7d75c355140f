"""A part of a tree: files of a folder in it, that folder's path taken off, others left out, none changed.

It is what resuming from ``runs/1/checkpoint-20`` rests on. The tree is one that somebody signed, known by the
list of its files; the part is a folder that was hashed here.

    >>> one, other = "1" * 64, "2" * 64
    >>> whole = Manifest((File("config.json", 0, one), File("step/a", 0, one), File("step/b", 0, other)))
    >>> compare(whole, "step", Manifest((File("a", 9, one),))).missing
    ('b',)
    >>> is_subset(compare(whole, "step", Manifest((File("b", 9, one),))))
    False
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter

from tuneguard.artifact.manifest import Difference, File, Manifest


def below(whole: Manifest, path: str) -> Manifest:
    """The files of the folder `path` of a tree, by their paths in it; the empty path is the tree itself."""
    if not path:
        return whole
    start = path + "/"
    here = attrgetter("path")
    first, last = (bisect_left(whole.files, end, key=here) for end in (start, path + "0"))
    inside = whole.files[first:last]  # they lie together: "0" is what follows "/"
    return Manifest(tuple(File(each.path[len(start) :], each.size, each.sha256) for each in inside))


def compare(whole: Manifest, path: str, part: Manifest) -> Difference:
    """How `part` differs from the folder `path` of a tree. What is missing is left out."""
    return below(whole, path).compare(part)


def is_subset(difference: Difference) -> bool:
    """Whether nothing was changed and nothing added. A file that is renamed is one that is added."""
    return not (difference.changed or difference.added)
