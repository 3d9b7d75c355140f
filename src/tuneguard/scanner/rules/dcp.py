"""A distributed checkpoint whose index opens other bytes than the archives that were looked at.

`torch.distributed.checkpoint` writes many archives of torch behind each other into one `.distcp`
file, and an index, `.metadata`, which is a pickle. Its reader opens the bytes that the index names, some
of them with `torch.load(weights_only=False)`. An index that names other bytes, for example the middle
of a tensor, makes it load what no scanner sees as an archive. So the index holds nothing but the classes
that torch writes there, each part that it names is one whole archive of a `.distcp` file beside it, and
several archives in one file pass only under the name of such a file: another reader takes the last one.

Example: `_StorageInfo("__0_0.distcp", offset=160, length=64)`, where the archive begins at 0

What to do: save the checkpoint again with `torch.distributed.checkpoint.save`, all of it in one folder; scan
the folder, where a single file of it was scanned.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.files import printable
from tuneguard.findings import Severity
from tuneguard.formats.distributed import PACKAGE, SHARD, Archives, Shard
from tuneguard.formats.pickle.facts import Import
from tuneguard.scanner.facts import Unmatched
from tuneguard.scanner.parts import INDEX, PART
from tuneguard.scanner.rule import Context, Reported, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN_AN_INDEX = re.compile(
    re.escape(PACKAGE) + r"[a-z_]+\.[A-Za-z_]+|torch\.[a-z0-9_]+|torch\.Size|"
    r"torch\.serialization\._get_layout|pathlib\.(?:_local\.)?PosixPath",
    re.ASCII,
)
"""What an index is made of. An object of any other class with the same attributes would serve its reader."""


def _check(fact: Import | Archives | Shard | Unmatched, context: Context) -> Iterator[Reported]:
    index = context.member is None and INDEX.fullmatch(context.name) is not None
    if isinstance(fact, Import):
        path = fact.value.path
        place = context.at(offset=fact.value.offset, opcode=fact.value.opcode)
        if index and not _IN_AN_INDEX.fullmatch(path):
            yield Reported(f"is an index of parts and holds {printable(path)}", place, path)
        elif not index and path == SHARD:
            yield Reported("names parts of a checkpoint, and only .metadata is their index", place)
    elif isinstance(fact, Archives):
        if len(fact.places) > 1 and (context.member is not None or not PART.fullmatch(context.name)):
            message = f"holds {len(fact.places):,} archives in a row, of which readers take different ones"
            yield Reported(message, context.at(offset=fact.places[1][0]))
    elif isinstance(fact, Unmatched):
        yield Reported(fact.what, context.at(offset=fact.offset))
    elif index and context.tree is None:
        message = "names parts of a checkpoint that this scan does not see: scan its folder"
        yield Reported(message, context.at(), message, whole=True)


RULE = Rule(
    id="TG-DCP",
    severity=Severity.HIGH,
    title="a distributed checkpoint whose index and parts disagree",
    looks_at=(Import, Archives, Shard, Unmatched),
    check=_check,
    why="the reader opens the bytes that the index names, whatever they are",
    fix="save the checkpoint again with torch.distributed.checkpoint, and keep its folder whole",
    reference="CWE-436",
)
