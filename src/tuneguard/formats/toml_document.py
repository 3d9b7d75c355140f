"""Untrusted TOML documents: their values. The format has no way to name code; its values may."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import json_document, text
from tuneguard.formats.json_document import Parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.facts import Fact
    from tuneguard.formats.reader import Reader

_LONG_KEY = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")
"""A key of over 64 parts: the parser's work grows with their square."""


def read(reader: Reader) -> Iterator[Fact]:
    """Every object of a document, from the outside in.

    Raises:
        NotUnderstood: it is not TOML, or holds too much.
    """
    written = text.read_whole(reader, limits.SCAN_SETTINGS_BYTES)
    if _LONG_KEY.search(written):
        raise NotUnderstood("is TOML with a key of over 64 parts")
    try:
        value = tomllib.loads(written)
    except RecursionError:
        raise NotUnderstood("is nested deeper than any parser follows") from None
    except ValueError:  # also a number of more digits than Python converts
        raise NotUnderstood("is not TOML") from None
    yield from json_document.objects(Parsed(value, written, []))
