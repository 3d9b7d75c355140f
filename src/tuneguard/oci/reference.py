"""Where a model is pushed to and pulled from, as a person writes it.

``oci:PATH`` is an OCI image layout, a folder; ``HOST/REPOSITORY`` is a registry. Either may end in
``:TAG`` or ``@sha256:…``. There is no default host and no default tag: what is not written is not
guessed.

    >>> parse("oci:out/registry:ft-042")
    Reference(kind='layout', path='out/registry', host=None, repository=None, tag='ft-042', digest=None)
    >>> str(parse("registry.internal:5000/models/support-llama:v1"))
    'registry.internal:5000/models/support-llama:v1'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from tuneguard.errors import UsageError
from tuneguard.files import printable
from tuneguard.oci.descriptor import is_digest

_DIGEST_MEANT = re.compile(r"@(sha256:.*|[A-Za-z0-9]+:[0-9A-Fa-f]{32,})\Z", re.DOTALL)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_LABEL = "[A-Za-z0-9-]+"
_HOST = re.compile(  # a bare word is a host only before a port: `a/b` must not become the host `a`
    rf"(?:localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?=:)|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
)
_REPOSITORY_LENGTH = 255
_FORM = "write oci:FOLDER[:TAG|@sha256:…] or HOST/REPOSITORY[:TAG|@sha256:…]"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. ``path`` is set for a layout, ``host`` and ``repository`` for a registry."""

    kind: Literal["layout", "registry"]
    path: str | None = None
    host: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """The reference without tag or digest."""
        return f"oci:{self.path}" if self.kind == "layout" else f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        if self.digest is not None:
            return f"{self.name}@{self.digest}"
        return self.name if self.tag is None else f"{self.name}:{self.tag}"


def parse(text: str) -> Reference:
    """A reference from what a person wrote.

    Raises:
        UsageError: it is neither of the two forms.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme == "oci":
        return _layout(text, rest)
    return _registry(text)


def valid_tag(text: str) -> bool:
    """Whether `text` may be a tag (distribution specification, section Pulling manifests)."""
    return _TAG.fullmatch(text) is not None


def _layout(text: str, rest: str) -> Reference:
    path, tag, digest = _tail(text, rest)
    if not path or "\0" in path:
        _wrong(text, "names no folder")
    return Reference("layout", path=path, tag=tag, digest=digest)


def _registry(text: str) -> Reference:
    name, tag, digest = _tail(text, text)
    host, slash, repository = name.partition("/")
    if not slash or _HOST.fullmatch(host) is None:
        _wrong(text, "names no registry host")
    if _REPOSITORY.fullmatch(repository) is None or len(repository) > _REPOSITORY_LENGTH:
        _wrong(text, "names no repository: lower-case letters, digits, and . _ - / between them")
    return Reference("registry", host=host, repository=repository, tag=tag, digest=digest)


def same_repository(one: str, other: str) -> bool:
    """Whether two names, ``HOST/REPOSITORY``, lead to one repository, however they are written.

    Host names have no case, and HTTPS has its port without stating it.

    >>> same_repository("Registry.internal:443/models/demo", "registry.internal/models/demo")
    True
    """
    return _place(one) == _place(other)


def _place(name: str) -> tuple[str, str]:
    host, _, repository = name.partition("/")
    return host.lower().removesuffix(":443"), repository


def _tail(text: str, name: str) -> tuple[str, str | None, str | None]:
    """Name, tag and digest. A colon before the last slash belongs to the name: a port, or a folder."""
    meant = _DIGEST_MEANT.search(name)
    name, digest = (name[: meant.start()], meant[1]) if meant else (name, None)
    if digest is not None and not is_digest(digest):
        _wrong(text, "its digest is not sha256: and 64 lower-case hex digits")
    start = name.rfind("/") + 1
    last, colon, tag = name[start:].rpartition(":")
    if not colon:
        return name, None, digest
    if digest is not None:
        _wrong(text, "names a tag and a digest: keep one")
    if not valid_tag(tag):
        _wrong(text, f"{printable(tag)[:50] or 'nothing'} cannot be a tag")
    return name[:start] + last, tag, None


def _wrong(text: str, what: str) -> NoReturn:
    raise UsageError(f"{printable(text)[:200]} is not a reference: {what}", help=_FORM)
