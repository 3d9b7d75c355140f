"""Examines one file: what it is, the facts in it, what the rules find, and whether anything is left over."""

from __future__ import annotations

import contextlib
import functools
import posixpath
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood, TuneguardError
from tuneguard.formats import onnx_numbers
from tuneguard.formats.distributed import Archives, Shard
from tuneguard.formats.facts import Content, Fact, Inside, NotRead
from tuneguard.formats.onnx import External
from tuneguard.formats.reader import Reader
from tuneguard.scanner import readings
from tuneguard.scanner.identify import HEAD, ONNX_NUMBERS, UBJSON, UNNAMED, Identified, Kind, identify
from tuneguard.scanner.readers import READERS
from tuneguard.scanner.report import Report
from tuneguard.scanner.rule import Context, Rule, rules_for

if TYPE_CHECKING:
    from collections.abc import Iterator

_rules_for = functools.cache(rules_for)


def examine(
    reader: Reader, name: str, context: Context, report: Report, *, depth: int = 0, guess: bool = False
) -> bool:
    """Identify and read everything in `reader`, and give `report` what the rules find in it.

    Returns whether every byte was understood. Reads to the end whatever happens, so that a caller who
    watches the bytes sees all of them: a reader or a rule that fails on these bytes leaves them not
    understood, and what was found before stands. A `guess` is no file that a loader would be given.

    Raises:
        CannotLook: the bytes cannot be had.
        ChangedWhileRead: they changed.
    """
    looking = _Look(context, report, depth, guess=guess)
    known = Identified(Kind.UNKNOWN, name)
    reader.keep_tail()
    with looking.guarded():
        head = reader.peek(min(HEAD, reader.remaining))
        known = looking.named(identify(head, reader.size, name))
        looking.ask(known)
        for fact in () if guess else readings.by_head(head, reader, known):
            looking.ask(fact)
        looking.read(_whole(reader, known), known)
    left = reader.drain()
    if left and looking.understood:
        # No format may leave bytes unaccounted for; one that does is a fault of ours, reported as such.
        looking.skip(f"{left:,} bytes were not looked at")
    if not guess:
        with looking.guarded():
            for fact in readings.by_tail(reader, known):
                looking.ask(fact)
    return looking.understood


def _whole(reader: Reader, known: Identified) -> Reader:
    """An archive inside an archive is taken into memory, since its directory stands at its end."""
    if known.kind is not Kind.ZIP or reader.can_look:
        return reader
    if reader.size > limits.NESTED_BYTES:
        raise NotUnderstood(f"an archive of over {limits.NESTED_BYTES:,} bytes inside another one")
    return Reader.of_bytes(reader.read(reader.remaining))


class _Look:
    """The look at one content: where its facts are, and whether it is understood so far."""

    def __init__(self, context: Context, report: Report, depth: int, *, guess: bool) -> None:
        self._outer = self._context = context
        self._report = report
        self._depth = depth
        self._guess = guess
        self.understood = True

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Where bytes are judged: what they do to us is reported of them, and ends nothing else.

        Our own faults as well, whatever hostile bytes find: a number of too many digits, not enough memory.
        """
        try:
            yield
        except NotUnderstood as error:
            self.skip(error.what)
        except TuneguardError:
            raise
        except Exception as error:
            if self._guess:  # what is not understood in a guess is nothing to report; our own fault is
                raise
            self.skip(f"Tuneguard failed on it ({type(error).__name__}): please report this")

    def ask(self, fact: Fact) -> None:
        """Give the report what the rules find in a fact of the whole content."""
        for rule in _rules_for(type(fact)):
            for finding, reported in rule.reported(fact, self._outer):
                self._report.add(finding, reported)

    def named(self, known: Identified) -> Identified:
        """What a file is, also where only another one shows it: the numbers of an ONNX model."""
        return Identified(Kind.NUMBERS, known.name) if known.what == ONNX_NUMBERS and self._numbers else known

    @property
    def _numbers(self) -> list[External]:
        tree = self._outer.tree  # a member's context has none
        return [] if tree is None else tree.numbers.get(self._outer.path, [])

    def skip(self, reason: str) -> None:
        self.understood = False
        member = self._context.member
        self._report.skip(self._context.path, reason if member is None else f"{member}: {reason}")

    def read(self, reader: Reader, known: Identified) -> None:
        read = READERS.get(known.kind)
        if known.kind is Kind.NUMBERS:
            read = functools.partial(onnx_numbers.read, tensors=self._numbers)
        if read is None:
            self.skip(_not_read(known))
            return
        rules: dict[type, tuple[Rule, ...]] = {}
        for fact in read(reader):
            kind = type(fact)
            if kind not in rules:
                rules[kind] = _rules_for(kind)
            for rule in rules[kind]:
                for finding, reported in rule.reported(fact, self._context):
                    self._report.add(finding, reported)
                    if self._report.enough(self._context.path):
                        raise NotUnderstood("holds so much that is bad that the rest was not looked at")
            self._follow(fact)

    def _follow(self, fact: Fact) -> None:
        """What a fact means for the scan itself."""
        if isinstance(fact, Inside):
            self._context = self._outer.inside(fact.member)
        elif isinstance(fact, Content):
            self._inside(fact)
        elif isinstance(fact, (Archives, Shard)):
            if self._context.tree is not None:  # a member's context has none
                self._context.tree.parts.note(self._context.path, fact)
        elif isinstance(fact, External):
            if self._context.tree is not None:
                beside = posixpath.join(posixpath.dirname(self._context.path), fact.location)
                self._context.tree.numbers.setdefault(beside, []).append(fact)
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
        try:
            examine(content.reader, "", context, guess, depth=self._depth + 1, guess=True)
        finally:
            self._report.merge(guess)


_INSTEAD = {
    UBJSON: 'save the model as JSON, save_model("model.json")',
    ONNX_NUMBERS: "scan the folder, with the model that was exported to it",
}
"""What to do about a kind that is not read, where its framework has a form that is."""


def _not_read(known: Identified) -> str:
    if known.kind is Kind.POINTER:
        return f"is no file but {known.what}"
    if known.what == UNNAMED:
        return "is text whose name does not say what it is for: call it .txt, or leave it out"
    if known.what:
        instead = f": {_INSTEAD[known.what]}" if known.what in _INSTEAD else ""
        return f"is {known.what}, which is not read yet{instead}"
    return "its content is of no known kind"
