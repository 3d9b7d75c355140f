"""One repository of a registry's server: requests with who we are, and the answers that all need.

Source: OCI distribution specification v1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.files import printable
from tuneguard.oci.auth import Authenticator
from tuneguard.oci.descriptor import INDEX_TYPE, MANIFEST_TYPE, checked_digest, digest_of
from tuneguard.oci.http import Broken, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneguard.oci.http import Response, Transport

_MANIFESTS = f"{MANIFEST_TYPE}, {INDEX_TYPE}"


class Overtaken(Exception):
    """A conditional write found another manifest than was read."""


class Repository:
    """Asks the server about one repository. Its methods may be called from several threads."""

    def __init__(self, transport: Transport, repository: str, *, mount_from: str | None = None) -> None:
        self.transport, self.repository = transport, repository
        self._mount_from = mount_from
        self._auth = Authenticator(transport)

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.transport.host}/{self.repository}"

    def abandon(self) -> None:
        """End what is under way; see `Registry.abandon`."""
        self.transport.abandon()

    def call(
        self,
        method: str,
        path: str,
        kind: str,
        *,
        write: bool = False,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        size: int = 0,
    ) -> Response:
        """One request below this repository, or at a URL of the same origin, with who we are.

        Raises:
            UsageError: the registry does not let us in.
        """
        url = path if "://" in path else f"{self.transport.base}/v2/{self.repository}/{path}"
        scope = f"repository:{self.repository}:{'pull,push' if write else 'pull'}"
        if write and self._mount_from is not None:
            scope += f" repository:{self._mount_from}:pull"
        secret = self._auth.header(scope)
        streamed = body is not None and not isinstance(body, bytes)
        for _ in range(3):
            response = self.transport.request(
                method, url, kind, headers=headers, secret=secret, body=body, size=size
            )
            if response.status != 401 or not self.transport.same_origin(response.url):
                break
            response.drop()
            secret = self._auth.answer(response, scope, secret)
            if streamed:  # the stream is spent: the caller begins again
                raise Broken("asked who we are in the middle of an upload", where=self.name)
        if response.status in (401, 403):
            response.drop()
            raise UsageError(
                f"does not let us {'push' if write else 'pull'} ({response.status})",
                where=self.name,
                help="log in as a user with access, as with docker login",
            )
        return response

    def has_blob(self, digest: str, size: int | None = None) -> bool:
        """Whether the server states that it has the blob, with that size."""
        response = self.call("HEAD", f"blobs/{checked_digest(digest)}", "blob")
        response.drop()
        if response.status == 404:
            return False
        if response.status != 200:
            raise self.unexpected(response, "a blob")
        found = response.headers.get("Content-Length")
        return size is None or found is None or found == str(size)

    def put_named(self, reference: str, data: bytes, media_type: str, match: str | None = None) -> str | None:
        """PUT a manifest; returns the header ``OCI-Subject``. With `match` only over that ETag.

        Raises:
            Overtaken: another manifest stands there by now.
        """
        headers = {"Content-Type": media_type} | ({} if match is None else {"If-Match": match})
        response = self.call(
            "PUT", f"manifests/{reference}", "manifest", write=True, headers=headers, body=data
        )
        if response.status in (409, 412) and match is not None:
            response.drop()
            raise Overtaken
        if response.status not in (200, 201, 202):
            raise self.unexpected(response, "a manifest")
        response.drop()
        said = response.headers.get("Docker-Content-Digest")
        if said is not None and said != digest_of(data):
            raise Refused("stored another manifest than it was given", where=f"{self.name}:{reference}")
        return response.headers.get("OCI-Subject")

    def tagged(self, tag: str) -> tuple[bytes, str | None] | None:
        """The manifest that a tag names and its ETag, or None."""
        response = self.call("GET", f"manifests/{tag}", "manifest", headers={"Accept": _MANIFESTS})
        if response.status == 404:
            response.drop()
            return None
        if response.status != 200:
            raise self.unexpected(response, "a manifest")
        data = response.read(limits.OCI_MANIFEST_BYTES)
        said = response.headers.get("Docker-Content-Digest")
        if said is not None and said != digest_of(data):
            raise Refused("gave another manifest than it stated", where=f"{self.name}:{printable(tag)[:128]}")
        return data, response.headers.get("ETag")

    def unexpected(self, response: Response, what: str) -> CannotLook:
        """A status that the specification does not have here; the server's words are not repeated."""
        response.drop()
        return CannotLook(f"answers {response.status} for {what}", where=shown(response.url))

    def wrong(self, digest: str, what: str) -> Refused:
        """Bytes that are not those that were named."""
        return Refused(
            f"what the registry gave for {digest[:19]} {what}",
            where=self.name,
            help="the registry was damaged or tampered with: push again from the source",
        )
