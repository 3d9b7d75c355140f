"""Which of the manifests that a list names have a subject: judged by each one's own bytes.

What a list claims of an entry, its media type and its artifact type, is a claim of the list's author:
some tools write the config's type there, and some a wrong one. So each entry is read. An entry listed as
a manifest of the kind that is looked for must be one; an entry listed as something else may be anything,
and counts if it is such a manifest all the same.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused
from tuneguard.oci.descriptor import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from tuneguard.oci.index import Index
from tuneguard.oci.manifest import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def among(
    entries: Iterable[Descriptor],
    digest: str,
    artifact_type: str | None,
    read: Callable[[Descriptor, bool], bytes | None],
    where: str,
    *,
    nested: bool = False,
) -> tuple[Descriptor, ...]:
    """The manifests whose own subject is `digest` and whose own type is `artifact_type`, if one is asked for.

    `read` gives the bytes of an entry, hashed, or None where there is nothing. Its argument is whether the
    list states that this is such a manifest; where it does not, what is no manifest is nothing too. With
    `nested`, what an index in the list names is read as well.

    Raises:
        NotUnderstood: what is listed as such a manifest is none.
        CannotLook: the manifests are over `limits.OCI_SEARCH_BYTES` together.
    """
    found: dict[str, Descriptor] = {}
    seen: set[str] = set()
    left = limits.OCI_SEARCH_BYTES
    waiting = deque((entry, _claims(entry, artifact_type)) for entry in entries)
    while waiting:
        entry, claims = waiting.popleft()
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        data = read(entry, claims)
        if data is None:
            continue
        left -= len(data)
        if left < 0:
            raise CannotLook(f"the referrers are over {limits.OCI_SEARCH_BYTES:,} bytes", where=where)
        name = f"{where}@{entry.digest}"
        try:
            subject, kind, notes = subject_of(data, name)
        except NotUnderstood:
            if claims:
                raise
            continue
        if subject == digest and artifact_type in (None, kind):
            found[entry.digest] = Descriptor(entry.media_type, entry.digest, len(data), kind, notes)
        if nested and entry.media_type == INDEX_TYPE:
            waiting.extend((each, False) for each in _members(data, name))
    return tuple(found.values())


def _claims(entry: Descriptor, artifact_type: str | None) -> bool:
    """Whether the list states that the entry may be a manifest of the kind that is looked for."""
    return entry.media_type in (MANIFEST_TYPE, INDEX_TYPE) and (
        artifact_type is None or entry.artifact_type in (None, artifact_type)
    )


def _members(data: bytes, where: str) -> tuple[Descriptor, ...]:
    """What an index within the list names; nothing where it is no index that we read."""
    try:
        return Index.parse(data, where).descriptors()
    except (NotUnderstood, Refused):
        return ()
