"""The one place where a reference becomes a registry: a folder, or a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.progress import SILENT, Reporter

if TYPE_CHECKING:
    from tuneguard.oci.client import Registry
    from tuneguard.oci.reference import Reference

CA_VARIABLE = "TUNEGUARD_REGISTRY_CA"
INSECURE_VARIABLE = "TUNEGUARD_INSECURE_REGISTRY"


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """The person's options for servers.

    ``insecure`` are the hosts (``HOST[:PORT]``) that may be used without TLS, ``ca`` a PEM file of
    authorities believed instead of the system's. ``reporter`` receives each retry.
    """

    insecure: frozenset[str] = frozenset()
    ca: Path | None = None
    reporter: Reporter = SILENT

    @classmethod
    def chosen(
        cls, *, insecure: tuple[str, ...] = (), ca: Path | None = None, reporter: Reporter = SILENT
    ) -> RegistryOptions:
        """Options from flags, then from the environment."""
        named = insecure or tuple(os.environ.get(INSECURE_VARIABLE, "").split(","))
        file = ca or (Path(found) if (found := os.environ.get(CA_VARIABLE)) else None)
        return cls(frozenset(host.strip() for host in named if host.strip()), file, reporter)


def open_registry(
    reference: Reference, *, options: RegistryOptions | None = None, mount_from: Reference | None = None
) -> Registry:
    """The registry that a reference names. Nothing is read or made yet.

    Blobs that lie in the repository `mount_from` of the same registry are mounted rather than sent.

    Raises:
        UsageError: the file of authorities cannot be used, or `mount_from` is of another registry.
    """
    from tuneguard.oci.layout import Layout

    if mount_from is not None and (mount_from.host is None or mount_from.host != reference.host):
        raise UsageError(
            "blobs are mounted from a repository of the same registry only",
            where=str(mount_from),
            help=f"name one on {reference.host}" if reference.host else "a layout has one repository",
        )
    if reference.kind == "layout" and reference.path is not None:
        return Layout(Path(reference.path))
    from tuneguard.oci.http import Transport
    from tuneguard.oci.server import Server

    assert reference.host is not None
    assert reference.repository is not None
    options = options or RegistryOptions()
    transport = Transport(reference.host, insecure=options.insecure, ca=options.ca, reporter=options.reporter)
    mounted = None if mount_from is None else mount_from.repository
    return Server(transport, reference.repository, mount_from=mounted)
