"""Whose evidence a statement relies on: so that a key that turns out to be stolen ends what rests on it.

A verdict names all whose evidence counted when it was decided, and a provenance those who vouched for what
the run began with. The key is what counts: a name can be given to another key, and a key another name.

    {"identity": "ci", "role": "builder", "kind": "provenance", "key": "9f86…"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from tuneguard import limits
from tuneguard.typed import JsonStruct, Sha256, Text, about

if TYPE_CHECKING:
    from collections.abc import Iterable


class Relied(JsonStruct, frozen=True, order=True):
    """Somebody who was believed."""

    identity: Annotated[Text, about("As the policy called them then.")]
    role: Text
    kind: Annotated[Text, about("Of the evidence that counted.")]
    key: Annotated[Sha256, about("SHA-256 of the public key's DER. It decides; the name does not.")]


ReliedOn = Annotated[tuple[Relied, ...], Meta(max_length=limits.RELIED_ON)]
"""Each once, in order. Absent in what was signed before there was the field."""


def in_order(relied: Iterable[Relied]) -> tuple[Relied, ...] | None:
    """Each once, in order; None where there is nobody."""
    return tuple(sorted(set(relied))) or None
