"""Referrers of a registry without the referrers API: an index under the tag ``sha256-HEX``.

Distribution specification v1.1, "Referrers Tag Schema". Updating it is read, merge, write, and two
writers can lose each other's entry. So (TRUST.md rule 24): written only over the ETag that was read,
where the server gives and minds one; read again, at once and a little later; tried again; and it fails
loudly if our entry is not there at last.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused
from tuneguard.oci.descriptor import INDEX_TYPE
from tuneguard.oci.index import EMPTY_INDEX, Index, is_index
from tuneguard.oci.repository import Overtaken

if TYPE_CHECKING:
    from tuneguard.oci.descriptor import Descriptor
    from tuneguard.oci.repository import Repository

_TRIES = 12
_TURN = random.SystemRandom()


def read(server: Repository, subject: str) -> tuple[Index, str | None]:
    """The index of a subject's referrers, unchecked but for its form, and its ETag.

    Raises:
        NotUnderstood: the tag answers something else than an index.
    """
    tag = subject.replace(":", "-")
    found = server.tagged(tag)
    where = f"{server.name}:{tag}"
    if found is None:
        return Index.parse(EMPTY_INDEX, where), None
    if not is_index(found[0], sure=True):
        raise NotUnderstood(
            "the tag of the referrers names something else than an index",
            where=where,
            help="find out who wrote it; remove the tag, then push the evidence again",
        )
    return Index.parse(found[0], where), found[1]


def add(server: Repository, subject: str, entry: Descriptor) -> None:
    """List `entry` as a referrer of `subject`, and see that it stays listed.

    Raises:
        CannotLook: other writers removed it again and again.
    """
    tag = subject.replace(":", "-")
    for number in range(_TRIES):
        index, etag = read(server, subject)
        if not _has(index, entry):
            data = index.with_manifest(entry).encode()
            if len(data) > limits.OCI_MANIFEST_BYTES:
                raise Refused("the index of referrers would be too large for registries", where=server.name)
            try:
                server.put_named(tag, data, INDEX_TYPE, match=etag)
            except Overtaken:
                server.transport.pause(_TURN.uniform(0, 0.02 * (number + 1)))
                continue
        if _stays(server, subject, entry):
            return
    raise CannotLook(
        "the evidence is stored, but others keep removing it from the list of referrers",
        where=f"{server.name}:{tag}",
        help="push again when nobody else signs this model",
    )


def _stays(server: Repository, subject: str, entry: Descriptor) -> bool:
    """Whether the entry is there now, and still after others that had read before us have written."""
    if not _has(read(server, subject)[0], entry):
        return False
    for pause in server.transport.timing.settle:
        server.transport.pause(pause * _TURN.uniform(0.8, 1.2))
        if not _has(read(server, subject)[0], entry):
            return False
    return True


def _has(index: Index, entry: Descriptor) -> bool:
    return any(each.digest == entry.digest for each in index.descriptors())
