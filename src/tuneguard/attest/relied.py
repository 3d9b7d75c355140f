"""Whose evidence a statement relies on: so that a key that turns out to be stolen ends what rests on it.

A verdict names all whose evidence counted when it was decided, and a provenance those who vouched for what
the run began with. The key is what counts: a name can be given to another key, and a key another name.

    {"identity": "ci", "role": "builder", "kind": "provenance", "key": "9f86…"}
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tuneguard import limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneguard.attest.fields import Fields

FIELD = "reliedOn"


@dataclass(frozen=True, slots=True, order=True)
class Relied:
    """Somebody who was believed: as the policy called them then, in which role, about which kind of evidence.

    ``key`` is the SHA-256 of their public key's DER, in hex.
    """

    identity: str
    role: str
    kind: str
    key: str


def to_json(relied: Iterable[Relied]) -> list[dict[str, str]]:
    """The field's value: each once, in order."""
    return [asdict(each) for each in sorted(set(relied))]


def read(fields: Fields) -> tuple[Relied, ...]:
    """The field as `fields` has it; empty where it is absent, as in what was signed before there was one.

    Raises:
        NotUnderstood: it is not a list of such entries, or a longer one than `limits.RELIED_ON`.
    """
    if not fields.has(FIELD):
        return ()
    entries = fields.sections(FIELD)
    if len(entries) > limits.RELIED_ON:
        raise fields.wrong(FIELD, f"has more than {limits.RELIED_ON:,} entries")
    return tuple(
        Relied(entry.text("identity"), entry.text("role"), entry.text("kind"), entry.sha256("key"))
        for entry in entries
    )
