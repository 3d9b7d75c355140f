"""Rows out of a stream of bytes: JSON Lines, and CSV as RFC 4180 has it. Nothing is guessed.

A reader takes a buffered stream and yields each row with its place, ``file:line``. What two tools
could read differently is malformed: no encoding but UTF-8, no byte order mark, no empty lines, no key
or column name twice, no quote in the middle of a CSV field.

    >>> import io
    >>> list(read_csv(io.BytesIO(b'id,text\\r\\n1,"a ""b"", c"\\r\\n'), "demo.csv"))
    [('demo.csv:2', {'id': '1', 'text': 'a "b", c'})]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.files import printable
from tuneguard.records import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Reader = Callable[[BinaryIO, str], Iterator[tuple[str, dict[str, Any]]]]

_BOM = b"\xef\xbb\xbf"


def reader_of(path: str) -> Reader | None:
    """How a file's rows are read, by its name's ending; None where it holds no rows that we know.

    >>> reader_of("a/b.JSONL") is read_jsonl, reader_of("rows.parquet")
    (True, None)
    """
    return _READERS.get(path[path.rfind(".") :].lower() if "." in path else "")


def read_jsonl(stream: BinaryIO, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """JSON Lines: an object on every line.

    Raises:
        NotUnderstood: with the line.
    """
    for number, line in _lines(stream, path):
        where = f"{path}:{number}"
        try:
            row = read_json(line, where, limit=limits.ROW_BYTES)
        except NotUnderstood as error:
            raise NotUnderstood(f"a row {error.what}", where=printable(where)) from error
        if not isinstance(row, dict):
            raise NotUnderstood(
                "a row is not an object", where=printable(where), help='write {"text": …} on each line'
            )
        yield where, row


def read_csv(stream: BinaryIO, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """CSV with a header line: commas, double quotes, CRLF or LF. Each row is an object of strings.

    Raises:
        NotUnderstood: with the line that the row begins on.
    """
    header: list[str] | None = None
    for number, record in _records(stream, path):
        where = f"{path}:{number}"
        fields = _fields(record, where)
        if header is None:
            header = _checked_header(fields, where)
            continue
        if len(fields) != len(header):
            raise _malformed(f"a row has {len(fields)} fields, and the header {len(header)}", where)
        yield where, dict(zip(header, fields, strict=True))


_READERS: dict[str, Reader] = {".jsonl": read_jsonl, ".ndjson": read_jsonl, ".csv": read_csv}


def _lines(stream: BinaryIO, path: str) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, without its end. No line is longer than a row may be."""
    number = 0
    while line := stream.readline(limits.ROW_BYTES + 3):
        number += 1
        where = f"{path}:{number}"
        if number == 1 and line.startswith(_BOM):
            raise NotUnderstood(
                "begins with a byte order mark",
                where=printable(where),
                help="save the file as UTF-8 without one",
            )
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(text) > limits.ROW_BYTES:
            raise _malformed(f"a row is longer than {limits.ROW_BYTES:,} bytes", where)
        if not text.strip():
            raise NotUnderstood("an empty line", where=printable(where), help="remove it")
        yield number, text


def _records(stream: BinaryIO, path: str) -> Iterator[tuple[int, str]]:
    """Each CSV record with the number of its first line. A quoted field may go over several lines."""
    number = 0
    pending, first, quotes = bytearray(), 0, 0
    while line := stream.readline(limits.ROW_BYTES + 3):
        number += 1
        if number == 1 and line.startswith(_BOM):
            raise NotUnderstood(
                "begins with a byte order mark",
                where=printable(f"{path}:1"),
                help="save the file as UTF-8 without one",
            )
        first = first or number
        pending += line
        quotes += line.count(b'"')
        where = f"{path}:{first}"
        if len(pending) > limits.ROW_BYTES + 2:
            raise _malformed(f"a row is longer than {limits.ROW_BYTES:,} bytes", where)
        if quotes % 2 == 0:
            yield first, _decoded(bytes(pending).removesuffix(b"\n").removesuffix(b"\r"), where)
            pending, first, quotes = bytearray(), 0, 0
    if pending:
        raise _malformed("a quoted field is never closed", f"{path}:{first}")


def _fields(record: str, where: str) -> list[str]:
    """The fields of one record."""
    if not record:
        raise NotUnderstood("an empty line", where=printable(where), help="remove it")
    if "\0" in record:
        raise _malformed("a row holds a NUL character", where)
    if '"' not in record:
        if "\r" in record:
            raise _malformed("a row holds a carriage return outside of quotes", where)
        return record.split(",")
    fields: list[str] = []
    position = -1
    while position < len(record):
        read = _quoted if record[position + 1 : position + 2] == '"' else _bare
        field, position = read(record, position + 1, where)  # now at a comma, or at the end
        fields.append(field)
    return fields


def _bare(record: str, start: int, where: str) -> tuple[str, int]:
    """An unquoted field from `start`, and where it ends."""
    end = record.find(",", start)
    end = len(record) if end < 0 else end
    field = record[start:end]
    if '"' in field:
        raise _malformed("a quote stands in the middle of a field", where)
    if "\n" in field or "\r" in field:
        raise _malformed("a field goes over a line's end without quotes", where)
    return field, end


def _quoted(record: str, start: int, where: str) -> tuple[str, int]:
    """A quoted field whose opening quote is at `start`, and where it ends."""
    end = start
    while True:
        end = record.find('"', end + 1)
        if end < 0:
            raise _malformed("a quoted field is never closed", where)
        if record[end + 1 : end + 2] != '"':
            break
        end += 1  # a doubled quote stands for one
    after = end + 1
    if after < len(record) and record[after] != ",":
        raise _malformed("text follows a closing quote", where)
    return record[start + 1 : end].replace('""', '"'), after


def _checked_header(names: list[str], where: str) -> list[str]:
    seen: set[str] = set()
    for name in names:
        if not name.strip():
            raise _malformed("the header has a column without a name", where)
        if name in seen:
            raise _malformed(f"the header names the column {printable(name)[:80]} twice", where)
        seen.add(name)
    return names


def _decoded(record: bytes, where: str) -> str:
    try:
        return record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUnderstood(
            "a row is not UTF-8", where=printable(where), help="save the file as UTF-8"
        ) from error


def _malformed(what: str, where: str) -> NotUnderstood:
    return NotUnderstood(what, where=printable(where), help="write the rows as RFC 4180 CSV or as JSON Lines")
