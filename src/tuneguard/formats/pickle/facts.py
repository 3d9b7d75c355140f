"""What the pickle machine saw a stream do, one fact for each thing done to something outside it.

Building lists, dictionaries and scalars is no fact: it touches nothing. Importing, calling,
setting state, and leaving the ways of every known pickler are facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.formats.facts import Fact

if TYPE_CHECKING:
    from tuneguard.formats.pickle.values import Global


class Call(Fact, frozen=True, eq=False):
    """Something is called or constructed: REDUCE, INST, OBJ, NEWOBJ, NEWOBJ_EX.

    ``target`` is a `Global`, or any other value where the stream calls the result of something.
    ``arguments`` should be a tuple; ``keywords`` is given by NEWOBJ_EX alone.
    """

    target: object
    arguments: object
    keywords: object
    offset: int
    opcode: str


class Build(Fact, frozen=True, eq=False):
    """An object's state is set: ``__setstate__``, or its ``__dict__`` and slots (BUILD)."""

    target: object
    state: object
    offset: int
    opcode: str


class Fill(Fact, frozen=True, eq=False):
    """Items are put into something that is no list, dictionary or set, through a method of its own."""

    target: object
    offset: int
    opcode: str


class Hold(Fact, frozen=True, eq=False):
    """A name itself, not what it makes, is kept as a value: in a container, or as the result."""

    value: Global
    offset: int
    opcode: str


class Persistent(Fact, frozen=True, eq=False):
    """An object is asked of the loader by an id (PERSID, BINPERSID)."""

    id: object
    offset: int
    opcode: str


class Import(Fact, frozen=True, eq=False):
    """A name that the stream imports, once a name, reported when the stream ends or breaks."""

    value: Global


class Computed(Fact, frozen=True, eq=False):
    """A name that only running the stream would show, or that a registry elsewhere holds."""

    what: str
    offset: int
    opcode: str


class Odd(Fact, frozen=True, eq=False):
    """Something that no pickler writes and that readers take differently."""

    what: str
    offset: int
    opcode: str


class Ended(Fact, frozen=True, eq=False):
    """The stream ended with STOP: what it would return, and how many opcodes it took."""

    result: object
    opcodes: int
    offset: int


class Stacked(Fact, frozen=True, eq=False):
    """Another pickle begins where one ended; a reader may stop after the first."""

    offset: int
