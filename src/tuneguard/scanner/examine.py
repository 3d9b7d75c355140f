"""Examines one file: what it is, the facts in it, what the rules say, and whether anything is left over."""

from __future__ import annotations

import functools

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats.facts import Content, Fact, Inside, NotRead
from tuneguard.formats.reader import Reader
from tuneguard.scanner.identify import HEAD, Identified, Kind, identify
from tuneguard.scanner.readers import READERS
from tuneguard.scanner.report import Report
from tuneguard.scanner.rule import Context, Rule, rules_for

_rules_for = functools.cache(rules_for)


def examine(reader: Reader, name: str, context: Context, report: Report, *, depth: int = 0) -> bool:
    """Identify and read everything in `reader`, and tell `report` what the rules say about it.

    Returns whether every byte was understood. Reads to the end whatever happens, so that whoever
    watches the bytes sees all of them.

    Raises:
        CannotLook: the bytes cannot be had.
        ChangedWhileRead: they changed.
    """
    known = identify(reader.peek(min(HEAD, reader.remaining)), reader.size, name)
    _ask(known, context, report)
    looking = _Look(context, report, depth)
    try:
        looking.read(_whole(reader, known), known)
    except NotUnderstood as error:
        looking.skip(error.what)
    left = reader.drain()
    if left and looking.understood:
        # No format may leave bytes unaccounted for; one that does is a fault of ours, told as such.
        looking.skip(f"{left:,} bytes were not looked at")
    return looking.understood


def _whole(reader: Reader, known: Identified) -> Reader:
    """An archive inside an archive is taken into memory, since its directory stands at its end."""
    if known.kind is not Kind.ZIP or reader.can_look:
        return reader
    if reader.size > limits.NESTED_BYTES:
        raise NotUnderstood(f"an archive of over {limits.NESTED_BYTES:,} bytes inside another one")
    return Reader.of_bytes(reader.read(reader.remaining))


def _ask(fact: Fact, context: Context, report: Report) -> None:
    for rule in _rules_for(type(fact)):
        for finding in rule.findings(fact, context):
            report.add(finding)


class _Look:
    """The look at one content: where its facts are, and whether it is understood so far."""

    def __init__(self, context: Context, report: Report, depth: int) -> None:
        self._outer = self._context = context
        self._report = report
        self._depth = depth
        self.understood = True

    def skip(self, reason: str) -> None:
        self.understood = False
        member = self._context.member
        self._report.skip(self._context.path, reason if member is None else f"{member}: {reason}")

    def read(self, reader: Reader, known: Identified) -> None:
        read = READERS.get(known.kind)
        if read is None:
            self.skip(_not_read(known))
            return
        rules: dict[type, tuple[Rule, ...]] = {}
        for fact in read(reader):
            kind = type(fact)
            if kind not in rules:
                rules[kind] = _rules_for(kind)
            for rule in rules[kind]:
                for finding in rule.findings(fact, self._context):
                    self._report.add(finding)
                    if self._report.enough(self._context.path):
                        raise NotUnderstood("holds so much that is bad that the rest was not looked at")
            if isinstance(fact, Inside):
                self._context = self._outer.inside(fact.member)
            elif isinstance(fact, Content):
                self._inside(fact)
            elif isinstance(fact, NotRead):
                self.skip(fact.reason if fact.offset is None else f"{fact.reason} (byte {fact.offset:,})")

    def _inside(self, content: Content) -> None:
        """Content in content, down to a depth; a guess counts only if it turns out to be something."""
        context = self._context.inside(content.member)
        nested = self._report.nested
        # A guess has a price of its own: a stream can hold millions of bytes that begin like something.
        cost = max(content.reader.size, limits.GUESS_COST) if content.guess else content.reader.size
        nested[context.path] = nested.get(context.path, 0) + cost
        if self._depth + 1 >= limits.NESTING or nested[context.path] > limits.NESTED_BYTES_IN_ALL:
            self.skip("holds more inside of each other than is looked into")
            content.reader.drain()
            return
        if not content.guess:
            self.understood &= examine(
                content.reader, content.member, context, self._report, depth=self._depth + 1
            )
            return
        guess = Report()
        guess.nested = nested
        examine(content.reader, "", context, guess, depth=self._depth + 1)
        self._report.merge(guess)


def _not_read(known: Identified) -> str:
    if known.what:
        return f"is {known.what}, which is not read yet"
    return "its content is of no known kind"
