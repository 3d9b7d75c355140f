"""Jupyter notebooks: JSON of texts and of what running them once showed. To read one runs nothing.

Its cells are code that a person may run, as the code in a README is; no loader does.

Source: nbformat 5, ``docs/format_description.rst``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import NotUnderstood
from tuneguard.formats import json_document
from tuneguard.formats.facts import Fact, TwoReadings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneguard.formats.reader import Reader


def read(reader: Reader) -> Iterator[Fact]:
    """A notebook is JSON with its format's number and a list of cells.

    Raises:
        NotUnderstood: it is none, or too large.
    """
    if reader.size > limits.SCAN_JSON_BYTES:
        raise NotUnderstood(f"is a notebook of over {limits.SCAN_JSON_BYTES:,} bytes")
    document = json_document.parse(reader.read(reader.remaining))
    for key in document.duplicates:
        yield TwoReadings(f"the key {key} comes twice: readers take different ones")
    value = document.value
    if not isinstance(value, dict) or type(value.get("nbformat")) is not int:
        raise NotUnderstood("is called a notebook and is none: it names no nbformat")
    if not isinstance(value.get("cells", value.get("worksheets")), list):
        raise NotUnderstood("is called a notebook and is none: it has no cells")
