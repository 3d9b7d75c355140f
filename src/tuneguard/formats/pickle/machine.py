"""An abstract pickle machine: follows a stream as CPython's unpickler would, and executes nothing.

It keeps the unpickler's stack, marks and memo, with stand-ins for whatever would be built
(`values`), and yields a fact for everything that reaches outside of the stream (`facts`). Semantics
are those of CPython's ``_pickle.c``; where other readers (``pickle.py``, ``pickletools``, torch's
``_weights_only_unpickler``) take the same bytes differently, an `Odd` fact reports it and the machine
follows the reader that goes on the longest, so that nothing behind a stumbling block is missed.

Time is linear in the stream. Memory is bounded by ``limits.PICKLE_*``; the stream passes through a
window and is never held.

Protocol reference: CPython ``Lib/pickletools.py``, PEP 307, PEP 3154, PEP 574.
"""

from __future__ import annotations

import codecs
import re
import struct
from typing import TYPE_CHECKING, NoReturn, cast

from tuneguard import limits
from tuneguard.formats.embedded import begins_like_content
from tuneguard.formats.facts import Content, Fact, NotRead
from tuneguard.formats.pickle import opcodes
from tuneguard.formats.pickle.facts import Build, Call, Computed, Ended, Fill, Hold, Import, Odd, Persistent
from tuneguard.formats.pickle.values import (
    DICT_KEYS,
    DICT_VALUES,
    UNKNOWN,
    Dict,
    Global,
    List,
    Long,
    Made,
    Set,
    Stored,
    describe,
)
from tuneguard.formats.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDOW = 1 << 18
"""Bytes of the stream that are looked at together."""
_MARGIN = 16
"""The longest opcode of fixed length takes 9 bytes; so many are always in the window."""
_KEPT = 1 << 16
"""Bytes up to which a string is kept as it is."""
_LINE = 1 << 24
"""Bytes of one line of a text opcode."""
_HEAD = 64
_CONTENT_MARKS = (b"\xc2", b"\x7f", b"P", b"M")
_BATCH = 64
"""Facts that are handed out together: going in and out for each would take as long as the work.

The values in a fact may have grown by the time that it is judged. They never shrink or change
otherwise, so that judging late is never more lenient.
"""

_DECIMAL = re.compile(rb"-?[0-9]{1,4000}", re.ASCII)
_UNSIGNED = re.compile(rb"[0-9]{1,10}", re.ASCII)
_FLOAT = re.compile(rb"-?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?(?:e[+-]?[0-9]{1,4})?|inf)|-?nan", re.ASCII)

_QUICK = bytes(code in b"qrh\x94K(jMN" for code in range(256))
"""Whether `Machine._rush` does an opcode itself: asked first, as the others would be compared with each."""

_u16 = struct.Struct("<H").unpack_from
_i32 = struct.Struct("<i").unpack_from
_u32 = struct.Struct("<I").unpack_from
_u64 = struct.Struct("<Q").unpack_from
_f64 = struct.Struct(">d").unpack_from


class _Broken(Exception):
    """Every reader would stop here: the stream ends, underflows, or is malformed."""


class _Stop(Exception):
    """STOP was reached."""


class _OverLimit(Exception):
    """One of our bounds is reached, so the rest stays unknown."""


class Machine:
    """Runs one pickle from where `reader` stands. After `run`, `reader` stands behind its STOP.

    ``result`` is then what the pickle would return.

    With `keep_lists` lists keep their items (for the list of storage keys in torch's legacy form).
    """

    __slots__ = (
        "_acts",
        "_at",
        "_base",
        "_below",
        "_containers",
        "_data",
        "_end",
        "_exhausted",
        "_frame_end",
        "_holes",
        "_keep",
        "_long_name",
        "_marks",
        "_memo",
        "_names",
        "_opcodes",
        "_pos",
        "_reader",
        "_safe",
        "_sparse",
        "_stack",
        "_start",
        "_table",
        "result",
    )

    def __init__(self, reader: Reader, *, keep_lists: bool = False) -> None:
        self._reader = reader
        self._keep = keep_lists
        self._long_name = "?"
        self._start = self._base = reader.offset
        self._data = b""
        self._pos = self._end = self._safe = self._at = 0
        self._exhausted = False
        self._stack: list[object] = []
        self._marks: list[list[object]] = []
        self._memo: list[object] = []
        self._sparse: dict[int, object] = {}
        self._holes = 0
        self._names: dict[tuple[str, str], Global] = {}
        self._acts: list[Fact] = []
        self._below = self._containers = self._opcodes = 0
        self._frame_end = 0
        self._table: list[Callable[[], None]] = [self._unknown_opcode] * 256
        for code, name in opcodes.NAMES.items():
            self._table[code] = cast("Callable[[], None]", getattr(self, f"_op_{name.lower()}"))
        self.result: object = UNKNOWN

    def run(self) -> Iterator[Fact]:
        """The facts of the stream in its order, then what it imports, then `Ended` or `NotRead`."""
        last: Fact | None = None
        while last is None:
            last = self._follow()
            if self._acts:
                acts, self._acts = self._acts, []
                yield from acts
        self._reader.unread(self._data[self._pos :])
        self._data = b""
        yield from map(Import, self._names.values())
        yield last

    def _follow(self) -> Fact | None:
        """Run until there are facts to hand out; the last fact when the stream is over."""
        try:
            while len(self._acts) < _BATCH:
                if self._pos >= self._safe:
                    self._turn()
                if self._pos < min(self._safe, self._end - _MARGIN):
                    self._rush()
                else:
                    self._step()
        except _Stop:
            return Ended(self.result, self._opcodes, self._base + self._at)
        except (_Broken, UnicodeDecodeError) as error:
            reason = "its text is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            return self._broken(reason)
        except (IndexError, struct.error) as error:
            cut = isinstance(error, struct.error) or self._pos >= self._end
            what = "ends inside an opcode" if cut else "takes more from the stack than is there"
            return self._broken(f"it {what}")
        except _OverLimit as error:
            return NotRead(f"the pickle holds over {error}", self._base + self._at)
        return None

    def _step(self) -> None:
        """One opcode."""
        self._at = pos = self._pos
        self._pos = pos + 1
        self._opcodes += 1
        self._table[self._data[pos]]()

    def _rush(self) -> None:  # noqa: C901, PLR0912, PLR0915 (flat on purpose: see its docstring)
        """Opcodes until there are many facts, or the window moves or is nearly used up.

        Nine opcodes make up three quarters of what torch writes; they are done here without a call
        each, which saves a third of the time. Where such a one meets anything unusual, its handler does it.
        """
        data, pos, stop = self._data, self._pos, min(self._safe, self._end - _MARGIN)
        table, acts, stack, memo = self._table, self._acts, self._stack, self._memo
        tidy = not self._sparse and not self._holes
        quick = _QUICK
        done = 0
        try:
            while pos < stop:
                done += 1
                code = data[pos]
                if not quick[code]:
                    self._at = pos
                    self._pos = pos + 1
                    table[code]()
                    pos = self._pos
                    if len(acts) >= _BATCH or data is not self._data or self._safe < stop:
                        break
                    stack = self._stack
                    tidy = not self._sparse and not self._holes
                elif code == 0x71 and tidy and stack and data[pos + 1] == len(memo):  # BINPUT
                    memo.append(stack[-1])
                    pos += 2
                elif code == 0x72 and tidy and stack and _u32(data, pos + 1)[0] == len(memo):  # LONG_BINPUT
                    memo.append(stack[-1])
                    pos += 5
                elif code == 0x68 and tidy and data[pos + 1] < len(memo):  # BINGET
                    stack.append(memo[data[pos + 1]])
                    pos += 2
                elif code == 0x94 and tidy and stack:  # MEMOIZE
                    memo.append(stack[-1])
                    pos += 1
                elif code == 0x4B:  # BININT1
                    stack.append(data[pos + 1])
                    pos += 2
                elif code == 0x28:  # MARK
                    self._marks.append(stack)
                    self._below += len(stack)
                    self._stack = stack = []
                    pos += 1
                elif code == 0x6A and tidy and (index := _u32(data, pos + 1)[0]) < len(memo):  # LONG_BINGET
                    stack.append(memo[index])
                    pos += 5
                elif code == 0x4D:  # BININT2
                    stack.append(_u16(data, pos + 1)[0])
                    pos += 3
                elif code == 0x4E:  # NONE
                    stack.append(None)
                    pos += 1
                else:
                    self._at = pos
                    self._pos = pos + 1
                    table[code]()
                    pos = self._pos
                    if len(acts) >= _BATCH or data is not self._data or self._safe < stop:
                        break
                    stack = self._stack
                    tidy = not self._sparse and not self._holes
        finally:
            self._opcodes += done
        self._pos = pos

    def _broken(self, reason: str) -> NotRead:
        # The opcode itself stays unread: what follows the pickle begins with it.
        name = opcodes.NAMES.get(self._data[self._at]) if 0 <= self._at < self._end else None
        where = f" in {name}" if name else ""
        return NotRead(f"the pickle breaks at byte {self._base + self._at:,}{where}: {reason}")

    def _turn(self) -> None:
        """The end of a frame or of the window is reached."""
        if self._frame_end and self._base + self._pos >= self._frame_end:
            if self._base + self._pos > self._frame_end:
                # ``_pickle.c`` then loses the part that lies in the frame, and reads another name.
                self._odd("an opcode that reaches over the end of its frame")
            self._frame_end = 0
            self._set_safe()
        if self._pos >= self._safe:
            self._refill()
            self._check_limits()

    def _set_safe(self) -> None:
        """Up to where opcodes can be taken without another look at window and frame."""
        self._safe = self._end if self._exhausted else self._end - _MARGIN
        if self._frame_end:
            self._safe = min(self._safe, self._frame_end - self._base)

    def _refill(self) -> None:
        """Move the window on. At the end of the bytes, what is left is all there will be."""
        if self._exhausted:
            if self._pos >= self._end:
                self._at = self._pos
                raise _Broken("it ends without STOP")
            return
        self._read_more(WINDOW)

    def _read_more(self, wanted: int) -> None:
        pieces = [self._data[self._pos :]]
        self._base += self._pos
        have = len(pieces[0])
        while have < wanted:
            more = self._reader.take(wanted - have)
            if not more:
                self._exhausted = True
                break
            pieces.append(more)
            have += len(more)
        self._data = b"".join(pieces)
        self._at -= self._pos
        self._pos, self._end = 0, have
        self._set_safe()
        if self._exhausted and not have:
            raise _Broken("it ends without STOP")

    def _check_limits(self) -> None:
        """Once a window: a window cannot overstep a bound by much."""
        if self._opcodes > limits.PICKLE_OPCODES:
            raise _OverLimit(f"{limits.PICKLE_OPCODES:,} opcodes")
        if len(self._memo) + len(self._sparse) > limits.PICKLE_MEMO:
            raise _OverLimit(f"{limits.PICKLE_MEMO:,} memo entries")
        if self._below + len(self._stack) + len(self._marks) > limits.PICKLE_STACK:
            raise _OverLimit(f"{limits.PICKLE_STACK:,} values on its stack")
        if self._containers > limits.PICKLE_GRAPH:
            raise _OverLimit(f"{limits.PICKLE_GRAPH:,} objects")
        if len(self._names) > limits.PICKLE_NAMES:
            raise _OverLimit(f"{limits.PICKLE_NAMES:,} names")

    # --- reading arguments ---------------------------------------------------------------------

    def _offset(self) -> int:
        return self._base + self._at

    def _odd(self, what: str) -> None:
        self._acts.append(Odd(what, self._offset(), self._name()))

    def _name(self) -> str:
        """The opcode under way; behind a long string it has left the window."""
        return opcodes.NAMES[self._data[self._at]] if self._at >= 0 else self._long_name

    def _line(self) -> bytes:
        """The rest of the line, without its newline."""
        found = self._data.find(b"\n", self._pos)
        while found < 0:
            have = self._end - self._pos
            if self._exhausted:
                raise _Broken("it ends inside a line")
            if have > _LINE:
                raise _OverLimit(f"{_LINE:,} bytes in one line")
            self._grow(have * 2 + WINDOW)
            found = self._data.find(b"\n", self._pos + have)
        line = self._data[self._pos : found]
        self._pos = found + 1
        return line

    def _grow(self, wanted: int) -> None:
        """Widen the window without losing the opcode at its front."""
        behind = self._pos - self._at
        self._pos = self._at
        self._read_more(wanted + behind)
        self._at, self._pos = 0, behind

    def _take(self, length: int) -> bytes | Long:
        """The next `length` bytes, or what stands for them where they are many."""
        stop = self._pos + length
        if stop <= self._end:
            taken = self._data[self._pos : stop]
            self._pos = stop
            return taken
        if length > self._end - self._pos + self._reader.remaining:
            left = self._end - self._pos + self._reader.remaining
            raise _Broken(f"it announces {length:,} bytes where {left:,} are left")
        if length <= _KEPT:
            self._grow(length)
            return self._take(length)
        return self._take_long(length)

    def _take_long(self, length: int) -> bytes | Long:
        """Bytes that reach beyond the window: kept whole only if they begin like something."""
        if self._end - self._pos < _HEAD:
            self._grow(_HEAD)
        head = self._data[self._pos : self._pos + _HEAD]
        if begins_like_content(head) and length <= limits.PICKLE_STRING:
            self._grow(length)
            return self._take(length)
        self._long_name = self._name()
        beyond = length - (self._end - self._pos)
        self._reader.skip(beyond)
        self._at -= self._end + beyond
        self._base += self._end + beyond
        self._data = b""
        self._pos = self._end = self._safe = 0
        return Long("bytes", length, head)

    def _bytes(self, length: int) -> bytes | Long:
        """Bytes of a bytes opcode: a pickle, program or archive in them is content to look at."""
        offset = self._offset()
        taken = self._take(length)
        if isinstance(taken, bytes) and begins_like_content(taken):
            self._acts.append(Content(f"bytes at {offset}", Reader.of_bytes(taken), guess=True))
        return taken

    def _text(self, length: int) -> str | Long:
        stop = self._pos + length
        if stop <= self._end and self._data[self._pos : self._pos + 1] not in _CONTENT_MARKS:
            text = str(self._data[self._pos : stop], "utf-8", "surrogatepass")
            self._pos = stop
            return text
        return self._long_or_odd_text(length)

    def _long_or_odd_text(self, length: int) -> str | Long:
        """Text that reaches beyond the window or begins like content."""
        offset = self._offset()
        taken = self._take(length)
        if isinstance(taken, Long):
            return Long("text", taken.length, taken.head)
        # Protocol 2 writes bytes as latin-1 text for `_codecs.encode`: the pickle mark becomes C2 80.
        text = str(taken, "utf-8", "surrogatepass")
        if taken[:1] in _CONTENT_MARKS:
            self._text_content(text, offset)
        return text

    def _text_content(self, text: str, offset: int) -> None:
        try:
            encoded = text.encode("latin-1")
        except UnicodeEncodeError:
            return
        if begins_like_content(encoded):
            self._acts.append(Content(f"text at {offset}", Reader.of_bytes(encoded), guess=True))

    def _signed_length(self) -> int:
        length = int(_i32(self._data, self._pos)[0])
        self._pos += 4
        if length < 0:
            raise _Broken("its length is negative")
        return length

    def _length32(self) -> int:
        length = int(_u32(self._data, self._pos)[0])
        self._pos += 4
        return length

    def _length64(self) -> int:
        length = int(_u64(self._data, self._pos)[0])
        self._pos += 8
        return length

    def _length8(self) -> int:
        length = self._data[self._pos]
        self._pos += 1
        return length

    def _items(self) -> list[object]:
        """Everything above the last mark."""
        if not self._marks:
            raise _Broken("it looks for a mark that was never set")
        items = self._stack
        self._stack = self._marks.pop()
        self._below -= len(self._stack)
        return items

    # --- the stream itself ---------------------------------------------------------------------

    def _unknown_opcode(self) -> NoReturn:
        raise _Broken(f"0x{self._data[self._at]:02x} is no opcode")

    def _op_proto(self) -> None:
        version = self._length8()
        if version > opcodes.HIGHEST_PROTOCOL:
            raise _Broken(f"protocol {version} is unknown")
        if self._offset() != self._start:
            self._odd("a protocol mark in the middle of the stream")

    def _op_frame(self) -> None:
        length = self._length64()
        begin = self._base + self._pos
        if length > self._end - self._pos + self._reader.remaining:
            self._odd("a frame longer than the stream, at which some readers stop")
        if self._offset() < self._frame_end:
            self._odd("a frame inside a frame, at which some readers stop")
        self._frame_end = begin + length
        self._set_safe()

    def _op_stop(self) -> NoReturn:
        self.result = self._stack.pop()
        if isinstance(self.result, Global):
            self._hold(self.result)
        if self._stack or self._marks:
            self._odd("values left on the stack at the end")
        raise _Stop

    # --- scalars ---------------------------------------------------------------------------------

    def _op_none(self) -> None:
        self._stack.append(None)

    def _op_newtrue(self) -> None:
        self._stack.append(True)

    def _op_newfalse(self) -> None:
        self._stack.append(False)

    def _op_binint(self) -> None:
        self._stack.append(_i32(self._data, self._pos)[0])
        self._pos += 4

    def _op_binint1(self) -> None:
        self._stack.append(self._data[self._pos])
        self._pos += 1

    def _op_binint2(self) -> None:
        self._stack.append(_u16(self._data, self._pos)[0])
        self._pos += 2

    def _op_binfloat(self) -> None:
        self._stack.append(_f64(self._data, self._pos)[0])
        self._pos += 8

    def _op_long1(self) -> None:
        self._push_long(self._length8())

    def _op_long4(self) -> None:
        self._push_long(self._signed_length())

    def _push_long(self, length: int) -> None:
        taken = self._take(length)
        if isinstance(taken, bytes) and length <= 1024:
            self._stack.append(int.from_bytes(taken, "little", signed=True))
        else:
            self._stack.append(Long("integer", length, b""))

    def _op_int(self) -> None:
        line = self._line()
        if line in (b"00", b"01"):
            self._stack.append(line == b"01")
        else:
            self._push_decimal(line)

    def _op_long(self) -> None:
        line = self._line()
        self._push_decimal(line.removesuffix(b"L"))

    def _push_decimal(self, text: bytes) -> None:
        if _DECIMAL.fullmatch(text):
            self._stack.append(int(text))
        else:
            self._odd("a number that no pickler writes so")
            self._stack.append(UNKNOWN)

    def _op_float(self) -> None:
        line = self._line()
        if _FLOAT.fullmatch(line):
            self._stack.append(float(line))
        else:
            self._odd("a number that no pickler writes so")
            self._stack.append(UNKNOWN)

    # --- text and bytes --------------------------------------------------------------------------

    def _op_string(self) -> None:
        line = self._line().rstrip(b" \t\r\x0b\x0c")
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise _Broken("its string is not quoted")
        try:
            decoded = codecs.escape_decode(line[1:-1])[0]
        except ValueError:
            raise _Broken("its string holds a broken escape") from None
        self._push_python2(bytes(decoded))

    def _op_binstring(self) -> None:
        self._push_python2(self._take(self._signed_length()))

    def _op_short_binstring(self) -> None:
        self._push_python2(self._take(self._length8()))

    def _push_python2(self, value: bytes | Long) -> None:
        """A Python 2 string: text to a reader that can decode it, bytes to another, an error to a third."""
        if isinstance(value, bytes) and value.isascii():
            self._stack.append(value.decode("ascii"))
            return
        self._odd("a Python 2 string that is not ASCII, at which some readers stop")
        if isinstance(value, bytes) and begins_like_content(value):
            self._acts.append(Content(f"bytes at {self._offset()}", Reader.of_bytes(value), guess=True))
        self._stack.append(value)

    def _op_unicode(self) -> None:
        offset = self._offset()
        text = self._line().decode("raw-unicode-escape")
        self._text_content(text, offset)
        self._stack.append(text)

    def _op_binunicode(self) -> None:
        self._stack.append(self._text(self._length32()))

    def _op_short_binunicode(self) -> None:
        self._stack.append(self._text(self._length8()))

    def _op_binunicode8(self) -> None:
        self._stack.append(self._text(self._length64()))

    def _op_binbytes(self) -> None:
        self._stack.append(self._bytes(self._length32()))

    def _op_short_binbytes(self) -> None:
        self._stack.append(self._bytes(self._length8()))

    def _op_binbytes8(self) -> None:
        self._stack.append(self._bytes(self._length64()))

    def _op_bytearray8(self) -> None:
        self._stack.append(self._bytes(self._length64()))

    def _op_next_buffer(self) -> None:
        self._odd("a buffer that is not in the file")
        self._stack.append(UNKNOWN)

    def _op_readonly_buffer(self) -> None:
        self._stack[-1]

    # --- containers ------------------------------------------------------------------------------

    def _op_mark(self) -> None:
        self._marks.append(self._stack)
        self._below += len(self._stack)
        self._stack = []

    def _op_pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._items()

    def _op_pop_mark(self) -> None:
        self._items()

    def _op_dup(self) -> None:
        self._stack.append(self._stack[-1])

    def _op_empty_tuple(self) -> None:
        self._stack.append(())

    def _op_tuple1(self) -> None:
        stack = self._stack
        self._containers += 1
        stack[-1] = (stack[-1],)

    def _op_tuple2(self) -> None:
        stack = self._stack
        self._containers += 1
        last = stack.pop()
        stack[-1] = (stack[-1], last)

    def _op_tuple3(self) -> None:
        stack = self._stack
        self._containers += 1
        last = stack.pop()
        middle = stack.pop()
        stack[-1] = (stack[-1], middle, last)

    def _op_tuple(self) -> None:
        items = self._items()
        self._containers += 1
        self._stack.append(tuple(items))

    def _op_empty_list(self) -> None:
        self._containers += 1
        self._stack.append(List(0, [] if self._keep else None))

    def _op_list(self) -> None:
        items = self._items()
        self._containers += 1
        self._check_held(items)
        self._stack.append(List(len(items), items if self._keep else None))

    def _op_empty_dict(self) -> None:
        self._containers += 1
        self._stack.append(Dict())

    def _op_dict(self) -> None:
        items = self._items()
        self._containers += 1
        made = Dict()
        self._put_pairs(made, items)
        self._stack.append(made)

    def _op_empty_set(self) -> None:
        self._containers += 1
        self._stack.append(Set(0))

    def _op_frozenset(self) -> None:
        items = self._items()
        self._containers += 1
        self._check_held(items)
        self._stack.append(Set(len(items)))

    def _op_append(self) -> None:
        stack = self._stack
        item = stack.pop()
        target = stack[-1]
        if type(target) is List and target.items is None and type(item) is not Global:
            target.length += 1  # as `_extend` does it
        else:
            self._extend(target, [item])

    def _op_appends(self) -> None:
        items = self._items()
        if items:
            self._extend(self._stack[-1], items)

    def _extend(self, target: object, items: list[object]) -> None:
        self._check_held(items)
        if type(target) is List:
            target.length += len(items)
            if target.items is not None:
                target.items.extend(items)
                self._containers += len(items)
        else:
            self._fill(target)

    def _op_additems(self) -> None:
        items = self._items()
        if not items:
            return
        target = self._stack[-1]
        self._check_held(items)
        if type(target) is Set:
            target.length += len(items)
        else:
            self._fill(target)

    def _op_setitem(self) -> None:
        stack = self._stack
        value = stack.pop()
        key = stack.pop()
        target = stack[-1]
        if (
            type(target) is Dict
            and not target.sealed
            and (keys := target.keys) is not None
            and type(key) is not Global
            and type(value) is not Global
        ):
            target.length += 1  # as `_put_pairs` does it
            if len(keys) < DICT_KEYS:
                keys.append(key)
        else:
            self._set_items(target, [key, value])

    def _op_setitems(self) -> None:
        items = self._items()
        if items:
            self._set_items(self._stack[-1], items)

    def _set_items(self, target: object, items: list[object]) -> None:
        if type(target) is Dict:
            self._put_pairs(target, items)
            return
        self._check_held(items)
        self._fill(target)

    def _put_pairs(self, target: Dict, items: list[object]) -> None:
        if len(items) % 2:
            raise _Broken("a key lacks its value")
        self._check_held(items)
        if target.sealed:
            self._odd("an object's state changed after it was set")
        keys = items[::2]
        if not target.length and len(keys) <= DICT_VALUES:
            target.values = items[1::2]
        target.length += len(keys)
        if target.keys is None:
            target.keys = keys[:DICT_KEYS]
        elif len(target.keys) < DICT_KEYS:
            target.keys.extend(keys[: DICT_KEYS - len(target.keys)])

    def _check_held(self, items: list[object]) -> None:
        if Global in map(type, items):
            for item in items:
                if type(item) is Global:
                    self._hold(item)

    def _hold(self, value: Global) -> None:
        self._acts.append(Hold(value, self._offset(), self._name()))

    def _fill(self, target: object) -> None:
        _mark_called(target)
        self._acts.append(Fill(target, self._offset(), self._name()))

    # --- memo --------------------------------------------------------------------------------------

    def _op_memoize(self) -> None:
        # The next number is the count of filled slots, which a skipped number makes differ.
        self._remember(len(self._memo) - self._holes + len(self._sparse))

    def _decimal(self) -> int:
        line = self._line()
        if not _UNSIGNED.fullmatch(line):
            self._odd("a number that no pickler writes so")
            raise _Broken("its memo number is no plain number")
        return int(line)

    def _op_put(self) -> None:
        self._remember(self._decimal())

    def _op_binput(self) -> None:
        self._remember(self._data[self._pos])
        self._pos += 1

    def _op_long_binput(self) -> None:
        self._remember(self._length32())

    def _remember(self, index: int) -> None:
        value = self._stack[-1]
        memo = self._memo
        if index == len(memo) and not self._sparse:
            memo.append(value)
        elif index == 1 and not memo and not self._sparse:
            # Python 2's pickler counts from 1.
            memo += (UNKNOWN, value)
            self._holes = 1
        else:
            self._remember_oddly(index, value)

    def _remember_oddly(self, index: int, value: object) -> None:
        if index >= len(self._memo):
            if index not in self._sparse:
                self._odd("memo numbers out of order")
            else:
                self._odd("a memo slot written twice")
            self._sparse[index] = value
            return
        self._odd("a memo slot written twice")
        if index == 0:
            self._holes = 0
        self._memo[index] = value

    def _op_get(self) -> None:
        self._recall(self._decimal())

    def _op_binget(self) -> None:
        index = self._data[self._pos]
        self._pos += 1
        if index < len(self._memo):
            self._stack.append(self._memo[index])
        else:
            self._recall(index)

    def _op_long_binget(self) -> None:
        self._recall(self._length32())

    def _recall(self, index: int) -> None:
        value = self._memo[index] if index < len(self._memo) else self._sparse.get(index, UNKNOWN)
        if value is UNKNOWN:
            # A reader that keeps its memo from the pickle before would find something here.
            self._odd("a memo slot read that this pickle never wrote")
        self._stack.append(value)

    # --- names, calls, state -----------------------------------------------------------------------

    def _op_global(self) -> None:
        module = self._line().decode("utf-8")
        name = self._line().decode("utf-8")
        if not module or not name:
            raise _Broken("it imports an empty name")
        self._stack.append(self._named(module, name))

    def _op_stack_global(self) -> None:
        name = self._stack.pop()
        module = self._stack.pop()
        if type(module) is str and type(name) is str:
            self._stack.append(self._named(module, name))
            return
        what = f"{_shown_name(module)}.{_shown_name(name)}"
        self._acts.append(Computed(f"the name {what}", self._offset(), "STACK_GLOBAL"))
        self._stack.append(Made(None))

    def _named(self, module: str, name: str) -> Global:
        known = self._names.get((module, name))
        if known is None:
            known = Global(module, name, self._offset(), self._name())
            self._names[module, name] = known
        return known

    def _op_ext1(self) -> None:
        self._extension(self._length8())

    def _op_ext2(self) -> None:
        code = int(_u16(self._data, self._pos)[0])
        self._pos += 2
        self._extension(code)

    def _op_ext4(self) -> None:
        code = int(_i32(self._data, self._pos)[0])
        self._pos += 4
        self._extension(code)

    def _extension(self, code: int) -> None:
        if code <= 0:
            raise _Broken("its extension code is not positive")
        self._acts.append(Computed(f"extension code {code}", self._offset(), self._name()))
        self._stack.append(Made(None))

    def _op_reduce(self) -> None:
        stack = self._stack
        arguments = stack.pop()
        stack[-1] = self._call(stack[-1], arguments, None)

    def _op_newobj(self) -> None:
        stack = self._stack
        arguments = stack.pop()
        stack[-1] = self._call(stack[-1], arguments, None)

    def _op_newobj_ex(self) -> None:
        stack = self._stack
        keywords = stack.pop()
        arguments = stack.pop()
        stack[-1] = self._call(stack[-1], arguments, keywords)

    def _op_inst(self) -> None:
        # In this order, as ``pickle.py`` does: it imports the name even if the mark is missing.
        target = self._named(self._line().decode("ascii"), self._line().decode("ascii"))
        items = self._items()
        self._stack.append(self._call(target, tuple(items), None))

    def _op_obj(self) -> None:
        items = self._items()
        self._stack.append(self._call(items[0], tuple(items[1:]), None))

    def _call(self, target: object, arguments: object, keywords: object) -> Made:
        self._containers += 1
        self._acts.append(Call(target, arguments, keywords, self._offset(), self._name()))
        if type(target) is Global:
            target.called = True
            return Made(target)
        return Made(None)

    def _op_build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        _mark_called(target)
        for part in state if type(state) is tuple else (state,):
            if type(part) is Dict:
                part.sealed = True
        self._acts.append(Build(target, state, self._offset(), "BUILD"))

    def _op_persid(self) -> None:
        identifier = self._line().decode("ascii")
        self._push_persistent(identifier, "PERSID")

    def _op_binpersid(self) -> None:
        self._push_persistent(self._stack.pop(), "BINPERSID")

    def _push_persistent(self, identifier: object, opcode: str) -> None:
        self._containers += 1
        self._acts.append(Persistent(identifier, self._offset(), opcode))
        self._stack.append(Stored(identifier))


def _mark_called(target: object) -> None:
    if type(target) is Global:
        target.called = True


def _shown_name(value: object) -> str:
    return value if type(value) is str else describe(value)
