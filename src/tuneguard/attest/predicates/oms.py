"""Signature: the files of a tree and their SHA-256, in the form of OpenSSF Model Signing v1.0.

It proves integrity and nothing else: which run, which role and which model are in our provenance. The
specification lets a signer leave paths out, and always leaves out four names that Git uses. Code can hide
there, so we write with nothing left out, refuse to sign a tree that holds one of those names, and on
reading `Signature.rule_hiding` finds what a signature does not cover.

Source: OMS specification v1.0, sections 5 (predicate) and 6 (signing procedure).
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tuneguard.artifact.tree import fault_of_path
from tuneguard.attest.predicate import Predicate
from tuneguard.attest.statement import PAYLOAD_TYPE, Resource, Statement
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.files import printable
from tuneguard.findings import Finding, Location, Severity
from tuneguard.nodes import shown
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.key import KeyType
from tuneguard.signing.signer import BundleSigner
from tuneguard.typed import JsonStruct, Sha256, Text, twice, written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer

TYPE = "https://model_signing/signature/v1.0"
KIND = "signature"

ALWAYS_IGNORED = (".git", ".gitattributes", ".github", ".gitignore")
"""Top-level names that every OMS implementation leaves out (section 6.2), whatever the bundle states."""
_SHARD = re.compile(r"(?s)(.+):(0|[1-9]\d{0,18}):([1-9]\d{0,18})")


class Listed(JsonStruct, frozen=True):
    """A file, or with ``method`` ``shards`` a byte range of one, named ``path:start:end``."""

    name: Text
    digest: Sha256
    algorithm: Text


class Serialization(JsonStruct, frozen=True, kw_only=True, rename=None):
    """How the files are listed. Older bundles have no ``ignore_paths`` (section 11.2)."""

    method: Literal["files", "shards"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] | None = None
    shard_size: int | float | None = None

    def __post_init__(self) -> None:
        size = self.shard_size or 0
        if self.method == "shards" and (size < 1 or size % 1):
            raise ValueError("`shard_size` is missing or not a size")

    @property
    def shard(self) -> int | None:
        """Bytes of a shard. Protobuf writers may turn the number into a float; it is read if it is whole."""
        return None if self.shard_size is None or self.method == "files" else int(self.shard_size)


class Signature(JsonStruct, frozen=True, dict=True):
    """What an OMS predicate lists, in the order of the bundle, and how it was listed.

    With ``method`` ``shards`` empty files are not listed at all (section 6.3.2).
    """

    resources: tuple[Listed, ...]
    serialization: Serialization

    @classmethod
    def of(
        cls, files: tuple[tuple[str, str], ...], *, ignore_paths: tuple[str, ...] = (), **how: Any
    ) -> Signature:
        """A list of (name, SHA-256), with what is given of its `Serialization`."""
        given = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **how}
        return cls(
            tuple(Listed(name, digest, "sha256") for name, digest in files),
            Serialization(ignore_paths=ignore_paths, **given),
        )

    @cached_property
    def files(self) -> tuple[tuple[str, str], ...]:
        """(name, SHA-256) of each."""
        return tuple((each.name, each.digest) for each in self.resources)

    @cached_property
    def root(self) -> str:
        """The OMS root digest (section 6.5.1): SHA-256 over the raw digests. It does not cover names."""
        return hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in self.files)).hexdigest()

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 by name."""
        return dict(self.files)

    def rule_hiding(self, path: str) -> str | None:
        """Which rule makes other verifiers overlook `path`, or None if none does."""
        top = path.partition("/")[0]
        if top in ALWAYS_IGNORED:
            return top
        return next((rule for rule in self.serialization.ignore_paths or () if _covers(rule, path)), None)


def refuse_unsignable(manifest: Manifest) -> None:
    """Report early, before hours of training or a passphrase, what `from_manifest` would refuse.

    Raises:
        Refused: the tree is empty, or holds a name that other verifiers would overlook; ``findings`` name
            each.
    """
    if not manifest.files:
        raise Refused("the tree is empty, and an empty tree cannot be signed", help="check the path")
    overlooked = [file.path for file in manifest.files if file.path.partition("/")[0] in ALWAYS_IGNORED]
    if overlooked:
        raise _overlooked(overlooked)


def refuse_unusable(key: PublicKey) -> None:
    """Report early which keys `sign` would refuse.

    Raises:
        UsageError: an Ed25519 key, which readers of model signatures refuse.
    """
    if key.type is KeyType.ED25519:
        raise UsageError(
            "an Ed25519 key cannot sign a model: OpenSSF Model Signing knows only ECDSA",
            help="make one with `tuneguard keygen PATH --type p256`",
        )


def from_manifest(manifest: Manifest) -> Signature:
    """The signature's content for a tree, in the order that section 5.2.1 asks for.

    Raises:
        Refused: as `refuse_unsignable`.
    """
    refuse_unsignable(manifest)
    return Signature.of(tuple(sorted((file.path, file.sha256) for file in manifest.files)))


def sign(signer: Signer, tree_name: str, manifest: Manifest, *, certificates: Sequence[bytes] = ()) -> bytes:
    """The bundle for a tree. `tree_name` is its folder's name, which proves nothing.

    The method is ``key``, with `certificates` (DER, the leaf first) ``certificate``, and ``sigstore`` where
    the signer makes whole bundles.

    Raises:
        UsageError: as `refuse_unusable`.
        Refused: as `from_manifest`.
        CannotLook: the signer failed.
    """
    payload = statement(tree_name, from_manifest(manifest)).encode()
    if isinstance(signer, BundleSigner):
        if certificates:
            raise UsageError("a keyless signer brings its own certificate", help="leave --certificate out")
        return signer.sign_statement(payload)
    refuse_unusable(signer.public_key)
    return make_bundle(signer, PAYLOAD_TYPE, payload, certificates=certificates)


def statement(tree_name: str, body: Signature) -> Statement:
    """The statement to sign. Its subject is the OMS root alone: identities are never mixed."""
    return Statement((Resource(tree_name, {"sha256": body.root}),), TYPE, written(body))


def range_of(name: str) -> tuple[str, int, int] | None:
    """Path, start and end in the name of a shard: the last two numbers, since paths may hold colons."""
    found = _SHARD.fullmatch(name)
    return (found[1], int(found[2]), int(found[3])) if found else None


def check_list(body: Signature, where: str) -> None:
    """The list is not empty, and each of its names is a path, listed once.

    Raises:
        NotUnderstood: it is not so, and two readers could take the list differently.
    """
    shard = body.serialization.shard
    # The specification states that the algorithm is the hash; model_signing 1.1.1 writes the size into it.
    algorithms = ("sha256", f"sha256-sharded-{shard}")
    if not body.resources:
        raise NotUnderstood("lists no file, and an empty model cannot be signed", where=printable(where))
    if twice([resource.name for resource in body.resources]):
        raise NotUnderstood("`resources` lists a name twice", where=printable(where))
    for at, resource in enumerate(body.resources):
        name = resource.name
        path = name if shard is None else (range_of(name) or ("",))[0]
        fault = None
        if resource.algorithm not in algorithms:
            fault = "algorithm` differs from the hash of the whole list, sha256"
        elif fault_of_path(path) is not None:
            fault = f"name` is not a path that a tree can hold: {shown(name)}"
        if fault is not None:
            raise NotUnderstood(f"`resources[{at}].{fault}", where=printable(where))


def _check(statement: Statement, body: Signature, where: str) -> None:
    """The one subject is the root of what is listed."""
    check_list(body, where)
    if [dict(subject.digest) for subject in statement.subjects] != [{"sha256": body.root}]:
        raise NotUnderstood("the subject is not the root digest of the files listed", where=printable(where))


def _covers(rule: str, path: str) -> bool:
    """Whether an entry of ``ignore_paths`` hides `path`: itself or a folder above it (section 6.2.1)."""
    parts = [part for part in rule.split("/") if part not in ("", ".")]
    return path.split("/")[: len(parts)] == parts


def _overlooked(paths: list[str]) -> Refused:
    names = sorted({path.partition("/")[0] for path in paths})
    findings = [
        Finding(
            rule="S-OVERLOOKED",
            severity=Severity.HIGH,
            message="other verifiers of model signatures never look at this name",
            location=Location(path),
            why="what is in it could be changed without any of them noticing",
            fix=f"remove {path.partition('/')[0]}",
            reference="OMS v1.0, section 6.2",
        )
        for path in paths
    ]
    return Refused(
        f"the tree holds {', '.join(names)}, which other verifiers of model signatures never look at",
        help=f"remove {' and '.join(names)}; downloads from a hub bring such files along",
        findings=findings,
    )


PREDICATE = Predicate(KIND, TYPE, Signature, _check)
