"""The orchestrator asks for passphrases before the first step, and opens no key itself.

A key that the policy does not believe any more is reported then, too, before an hour of training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard.signing import unlock
from tuneguard.signing.signer import needs_passphrase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneguard.project.project import Project


def collect(project: Project, roles: Iterable[str]) -> dict[str, bytes]:
    """One passphrase for each of these roles whose key is encrypted, asked and tried once for each key.

    Raises:
        UsageError: a key is not there, or a passphrase does not open it.
        Refused: the policy is expired, or does not believe a key now.
    """
    by_role: dict[str, bytes] = {}
    by_key: dict[str, bytes] = {}
    for role in dict.fromkeys(roles):
        uri = project.key_uri(role)
        if uri is None or not (needs_passphrase(uri) or project.some_key_has_ended):
            continue
        if uri not in by_key:
            by_key[uri] = look_at(uri, project)
        if needs_passphrase(uri):
            by_role[role] = by_key[uri]
    return by_role


def look_at(uri: str, project: Project) -> bytes:
    """The passphrase of a key, or nothing where it has none, after the key was opened elsewhere and believed.

    Raises: as `collect`.
    """
    secret = project.passphrase(uri) if needs_passphrase(uri) else b""
    project.check_key(unlock.public_key_of(uri, secret), uri)
    return secret
