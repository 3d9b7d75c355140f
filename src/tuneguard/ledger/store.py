"""Where the ledger lies: a `Store`, and the one that every project has, a single SQLite file.

`append` gives the next sequence number, encodes the entry, and returns when the disk has it. Nothing
is ever updated. `verify` reads every leaf again and compares with a `Head` kept elsewhere: anyone who
can write the file can rewrite all of it, so what the file states of itself proves only that it is
internally consistent.

    store = SqliteStore(Path(".tuneguard/ledger.db"))
    entry = store.append(event=Event.ATTEMPT, command="promote", run="042", attempt=new_attempt())
    head = store.head()                     # print it, sign it, send it somewhere else
    assert not store.verify(head).findings

One file: a rollback journal, not a write-ahead log, so that between two appends the ledger is one
file that can be copied. It holds one table of canonical entries and nothing else; anything more in
its schema, or an entry that is not the canonical bytes for its place, refuses.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.files import fault_point, printable
from tuneguard.findings import Finding, Location, Severity
from tuneguard.ledger import database, merkle
from tuneguard.ledger.entry import WHOLE, Entry, Event, rfc3339
from tuneguard.records import to_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

_HEAD = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger at one moment: how many entries, and the root over them in lower hex.

    >>> str(Head.parse(f"0:{merkle.EMPTY_ROOT.hex()}"))[:10]
    '0:e3b0c442'
    """

    size: int
    root: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``SIZE:ROOT``, as ``ledger verify --head`` takes it.

        Raises:
            UsageError: it is not of that form.
        """
        found = _HEAD.fullmatch(text)
        if found is None:
            raise UsageError(
                f"{printable(text)[:100]} is not a ledger head",
                help="SIZE:ROOT, as `tuneguard ledger` prints it: a number, a colon, 64 hex digits",
            )
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.size}:{self.root}"


@dataclass(frozen=True, slots=True)
class Check:
    """What looking at the whole ledger showed. ``anchored``: a head that was kept elsewhere agreed."""

    findings: tuple[Finding, ...]
    head: Head
    anchored: bool

    @property
    def summary(self) -> str:
        """What is proven of the ledger, and no more."""
        if self.findings:
            return "not consistent"
        return "consistent with the given head" if self.anchored else "internally consistent, not anchored"


class Store(Protocol):
    """A ledger that is appended to and never changed. Safe to use from several processes at once."""

    def append(
        self,
        *,
        event: Event,
        command: str,
        run: str | None = None,
        attempt: str | None = None,
        model: str | None = None,
        tree: str | None = None,
        result: str | None = None,
        detail: Mapping[str, Any] | None = None,
        now: datetime | None = None,
    ) -> Entry:
        """Add an entry and return it once it is durable."""

    def entries(
        self,
        *,
        event: Event | None = None,
        command: str | None = None,
        run: str | None = None,
        attempt: str | None = None,
        model: str | None = None,
        tree: str | None = None,
    ) -> Iterator[Entry]:
        """The entries that have all given values, oldest first."""

    def head(self) -> Head:
        """Size and root over all entries."""

    def verify(self, head: Head | None = None) -> Check:
        """Read every entry again, and compare with a head that was kept elsewhere."""

    def attempts(self, tree: str) -> tuple[str, ...]:
        """The promotion attempts at a tree, and at parts of the run that it is, oldest first."""


RULES: Mapping[str, str] = {
    "L01": "The file is damaged: SQLite finds fault with its pages, or entries are missing from the middle.",
    "L02": "An entry is not what `append` writes: not canonical, or not numbered as its place.",
    "L03": "The ledger has fewer entries than a head that was kept elsewhere: its tail was cut off.",
    "L04": "The first entries have another root than a head that was kept elsewhere: rewritten, or a fork.",
    "L05": "The file beside the ledger that should be its signed head is not one.",
}
"""What each finding of `SqliteStore.verify` means, by its id."""

_APPLICATION = 0x54474C47  # "TGLG"
_VERSION = 1
_TABLE = "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, leaf BLOB NOT NULL)"
_PAGE = 1_000
_FAULTS = 20
_FIRST = -(2**63)
_MEND = "restore the ledger from a copy, and find out who can write here"


class SqliteStore:
    """The ledger in one SQLite file, made by the first `append`.

    Raises, from every method:
        UsageError: reading, and the file is not there.
        Refused: the file is a link, or something was put in it or beside it.
        NotUnderstood: the file is not a ledger, or is damaged (`verify` returns that as a finding).
        CannotLook: it cannot be read or written, or another process holds it for a minute.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._where = printable(str(self.path))

    @property
    def head_file(self) -> Path:
        """Where a signed head of this ledger lies beside it: ``ledger.head`` for ``ledger.db``."""
        name = self.path.name.removesuffix(".db")
        return self.path.with_name(f"{name}.head")

    def append(
        self,
        *,
        event: Event,
        command: str,
        run: str | None = None,
        attempt: str | None = None,
        model: str | None = None,
        tree: str | None = None,
        result: str | None = None,
        detail: Mapping[str, Any] | None = None,
        now: datetime | None = None,
    ) -> Entry:
        """Add an entry and return it once the disk has it. The sequence is the next leaf's index.

        Raises:
            UsageError: a value that no entry may hold.
        """
        moment = rfc3339(now or datetime.now(UTC))
        fields = (moment, event, command, run, attempt, model, tree, result, detail or {})
        Entry(0, *fields).encode()  # a bad value is the caller's fault, and makes no file
        database.make_file(self.path)
        with database.connect(self.path) as connection, database.transaction(connection, "IMMEDIATE"):
            self._prepare(connection)
            entry = Entry(self._size(connection), *fields)
            connection.execute("INSERT INTO entries VALUES (?, ?)", (entry.sequence, entry.encode()))
            fault_point(f"commit:{self.path.name}")
        fault_point(f"committed:{self.path.name}")
        return entry

    def entries(
        self,
        *,
        event: Event | None = None,
        command: str | None = None,
        run: str | None = None,
        attempt: str | None = None,
        model: str | None = None,
        tree: str | None = None,
    ) -> Iterator[Entry]:
        """The entries that have all given values, oldest first. Holds no lock between two of them."""
        asked = {
            "event": event,
            "command": command,
            "run": run,
            "attempt": attempt,
            "model": model,
            "tree": tree,
        }
        wanted = {name: value for name, value in asked.items() if value is not None}
        needles = [
            to_json(value) for value in wanted.values()
        ]  # leaves are canonical: as here, or not at all
        for sequence, leaf in self._pages():
            if all(needle in leaf for needle in needles):
                entry = self._decode(sequence, leaf)
                if all(getattr(entry, name) == value for name, value in wanted.items()):
                    yield entry

    def attempts(self, tree: str) -> tuple[str, ...]:
        """The attempts at a tree, and at parts of the run that it is, oldest first (TRUST.md rule 18)."""
        every = self.entries(event=Event.ATTEMPT)
        opened = (entry for entry in every if tree in (entry.tree, entry.detail.get(WHOLE)))
        return tuple(dict.fromkeys(entry.attempt for entry in opened if entry.attempt is not None))

    def head(self) -> Head:
        """Size and root over all entries, each leaf read and hashed again."""
        frontier = merkle.Frontier()
        with self._reading() as connection:
            for _, leaf in self._leaves(connection, 0):
                frontier.append(merkle.leaf_hash(leaf))
        return Head(frontier.size, frontier.root().hex())

    def leaf_hashes(self, size: int | None = None) -> list[bytes]:
        """The hashes of the first `size` leaves, or of all: what `merkle` makes proofs from.

        Raises:
            UsageError: the ledger has fewer entries.
        """
        hashes = [merkle.leaf_hash(leaf) for _, leaf in self._pages()]
        if size is not None and size > len(hashes):
            raise UsageError(f"the ledger has {len(hashes):,} entries, not {size:,}", where=self._where)
        return hashes[:size]

    def verify(self, head: Head | None = None, *, which: str = "the given head") -> Check:
        """Read every entry again, and compare with a head that was kept elsewhere, `which` findings name.

        Without `head` the answer is at best "internally consistent, not anchored": anyone who can write
        the file could have written all of it anew.
        """
        frontier = merkle.Frontier()
        at_head = frontier.root().hex() if head is not None and head.size == 0 else None
        findings: list[Finding] = []
        try:
            with self._reading() as connection:
                findings += self._page_faults(connection)
                for sequence, leaf in self._leaves(connection, 0):
                    frontier.append(merkle.leaf_hash(leaf))
                    if head is not None and head.size == frontier.size:
                        at_head = frontier.root().hex()
                    if len(findings) < _FAULTS:
                        findings += self._leaf_faults(sequence, leaf)
        except NotUnderstood as error:
            findings.append(self._finding("L01", error.what))
        found = Head(frontier.size, frontier.root().hex())
        if head is not None:
            findings += self._head_faults(head, found, at_head, which)
        return Check(tuple(findings), found, anchored=head is not None and not findings)

    # --- judging ----------------------------------------------------------------------------------

    def _page_faults(self, connection: sqlite3.Connection) -> Iterator[Finding]:
        """L01: what SQLite itself finds wrong with its pages."""
        for (line,) in connection.execute(f"PRAGMA integrity_check({_FAULTS})"):
            if line != "ok":
                yield self._finding("L01", f"is damaged: {printable(str(line))}")

    def _leaf_faults(self, sequence: int, leaf: bytes) -> Iterator[Finding]:
        """L02: bytes that `append` never writes."""
        try:
            self._decode(sequence, leaf)
        except NotUnderstood as error:
            yield self._finding("L02", f"entry {sequence} {error.what}")

    def _head_faults(self, head: Head, found: Head, at_head: str | None, which: str) -> Iterator[Finding]:
        """L03 and L04: what only a head kept elsewhere can show."""
        if at_head is None:
            yield self._finding(
                "L03",
                f"has {found.size:,} entries, and {which} {head.size:,}: the tail was cut off, or "
                "this is another ledger",
            )
        elif at_head != head.root:
            yield self._finding(
                "L04",
                f"its first {head.size:,} entries have the root {at_head}, and {which} {head.root}: "
                "they were rewritten, or this is a fork",
            )

    def _finding(self, rule: str, message: str) -> Finding:
        return Finding(rule, Severity.CRITICAL, message, Location(self._where), why=RULES[rule], fix=_MEND)

    def _decode(self, sequence: int, leaf: bytes) -> Entry:
        where = f"{self.path}, entry {sequence}"
        entry = Entry.decode(leaf, where)
        if entry.sequence != sequence:
            raise NotUnderstood(f"states that it is entry {entry.sequence}", where=printable(where))
        return entry

    # --- reading and writing ----------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one read transaction, over a file that was checked to be a ledger."""
        with database.connect(self.path) as connection:
            connection.execute("PRAGMA query_only=ON")
            with database.transaction(connection, "DEFERRED"):
                if not _is_new(connection):
                    self._check(connection)
                yield connection

    def _pages(self) -> Iterator[tuple[int, bytes]]:
        """All leaves, some at a time, so that a slow reader blocks no writer."""
        start = 0
        while True:
            with self._reading() as connection:
                page = list(self._leaves(connection, start, _PAGE))
            yield from page
            start += len(page)
            if len(page) < _PAGE:
                return

    def _leaves(
        self, connection: sqlite3.Connection, start: int, count: int = -1
    ) -> Iterator[tuple[int, bytes]]:
        """The leaves from `start` on, without a gap; at most `count` of them, or all if that is -1."""
        if _is_new(connection):
            return
        rows = connection.execute(
            "SELECT sequence, leaf FROM entries WHERE sequence >= ? ORDER BY sequence LIMIT ?",
            (start or _FIRST, count),
        )
        for expected, (sequence, leaf) in enumerate(rows, start):
            if sequence != expected:
                raise NotUnderstood(f"lacks entry {expected}", where=self._where, help=_MEND)
            if not isinstance(leaf, bytes):
                raise NotUnderstood(f"holds no bytes as entry {sequence}", where=self._where, help=_MEND)
            if sequence >= limits.LEDGER_ENTRIES:
                raise CannotLook(f"holds more than {limits.LEDGER_ENTRIES:,} entries", where=self._where)
            yield sequence, leaf

    def _size(self, connection: sqlite3.Connection) -> int:
        """How many entries there are; they must be numbered from 0 without a gap."""
        count, first, last = connection.execute(
            "SELECT count(*), min(sequence), max(sequence) FROM entries"
        ).fetchone()
        if count and (first, last) != (0, count - 1):
            raise NotUnderstood("lacks entries", where=self._where, help=_MEND)
        return int(count)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Inside a write transaction: make a new file a ledger, or check that it is one."""
        if _is_new(connection):
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA application_id={_APPLICATION}")
            connection.execute(f"PRAGMA user_version={_VERSION}")
        self._check(connection)

    def _check(self, connection: sqlite3.Connection) -> None:
        """Inside a transaction: ours, and exactly our one table.

        So no trigger, view, index or generated column of somebody else's can run inside a query.
        """
        if database.value(connection, "PRAGMA application_id") != _APPLICATION:
            raise NotUnderstood("is not a Tuneguard ledger", where=self._where)
        version = database.value(connection, "PRAGMA user_version")
        if version != _VERSION:
            raise NotUnderstood(
                f"is a ledger of version {version}", where=self._where, help="use the Tuneguard that wrote it"
            )
        if database.value(connection, "PRAGMA journal_mode") != "delete":
            raise Refused("was switched to another journal mode", where=self._where, help=_MEND)
        schema = connection.execute("SELECT type, name, sql FROM sqlite_schema LIMIT 3").fetchall()
        extra = [f"{kind} {name}" for kind, name, sql in schema if (kind, sql) != ("table", _TABLE)]
        if extra or len(schema) != 1:
            what = printable(extra[0])[:100] if extra else "more or fewer tables than one"
            raise Refused(f"holds {what}: not what Tuneguard made", where=self._where, help=_MEND)


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever written: an empty file, or an empty database that is not yet ours."""
    if database.value(connection, "PRAGMA page_count") == 0:
        return True
    unmarked: bool = database.value(connection, "PRAGMA application_id") == 0
    return unmarked and database.value(connection, "SELECT count(*) FROM sqlite_schema") == 0
