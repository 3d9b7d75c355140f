"""Release: a promoter's word about what a tag names, from when until when, above which earlier word.

A tag is a name that anyone who writes to the registry can move; a release pointer cannot be moved (TRUST.md
rule 23). It is about the tree alone and names the manifest in its predicate: a subject would make
``cosign verify`` accept it as if it were the verdict (rule 22).

The sequence grows with every pointer to a tag. Who has seen one believes none below it, so an old release
is not a new one again; ``notAfter`` ends the time in which who has seen none can be shown an old one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from tuneguard.attest.predicate import Predicate
from tuneguard.attest.statement import Sha256Set
from tuneguard.typed import Count, JsonStruct, Text, Time, about, check_times

TYPE = "https://tuneguard.dev/release/v1"
KIND = "release"


class Release(JsonStruct, frozen=True, kw_only=True):
    """What a tag of a repository names, and until when.

    The statement's one subject is the tree.
    """

    model: Text
    repository: Annotated[Text, about("The model's repository, as the policy has it.")]
    tag: Text
    manifest: Annotated[Sha256Set, about("The OCI manifest that the tag names.")]
    sequence: Annotated[Count, about("Grows with every pointer to this tag.")]
    issued: Time
    not_after: Annotated[Time, about("RFC 3339, with its offset. After `issued`.")]
    previous: Annotated[
        Sha256Set | None, about("The OCI manifest that the tag named before, if it named one.")
    ] = None

    def __post_init__(self) -> None:
        check_times(issued=self.issued, notAfter=self.not_after)
        if datetime.fromisoformat(self.not_after) <= datetime.fromisoformat(self.issued):
            raise ValueError("`notAfter` is not after `issued`")


PREDICATE = Predicate(KIND, TYPE, Release)
