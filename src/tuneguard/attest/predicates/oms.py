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
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tuneguard.artifact.tree import fault_of_path
from tuneguard.attest.fields import Fields
from tuneguard.attest.predicate import Predicate
from tuneguard.attest.statement import PAYLOAD_TYPE, Resource, Statement
from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.files import printable
from tuneguard.findings import Finding, Location, Severity
from tuneguard.nodes import shown
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.key import KeyType
from tuneguard.signing.signer import BundleSigner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tuneguard.artifact.manifest import Manifest
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signer import Signer

TYPE = "https://model_signing/signature/v1.0"
KIND = "signature"

ALWAYS_IGNORED = (".git", ".gitattributes", ".github", ".gitignore")
"""Top-level names that every OMS implementation leaves out (section 6.2), whatever the bundle says."""
_SHARD = re.compile(r"(?s)(.+):(0|[1-9]\d{0,18}):([1-9]\d{0,18})")


@dataclass(frozen=True)
class Signature:
    """What an OMS predicate lists: (name, SHA-256) in the order of the bundle, and how it was listed.

    With ``method`` ``files`` a name is a path. With ``shards`` it is ``path:start:end``, a byte range of at
    most ``shard_size`` bytes, and empty files are not listed at all (section 6.3.2).
    """

    files: tuple[tuple[str, str], ...]
    method: str = "files"
    hash_type: str = "sha256"
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()
    shard_size: int | None = None

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
        return next((rule for rule in self.ignore_paths if _covers(rule, path)), None)


def refuse_unsignable(manifest: Manifest) -> None:
    """Say early, before hours of training or a passphrase, what `from_manifest` would refuse.

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
    """Say early which keys `sign` would refuse.

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
    return Signature(tuple(sorted((file.path, file.sha256) for file in manifest.files)))


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


def to_predicate(body: Signature) -> dict[str, Any]:
    """The predicate's JSON values (section 5.2)."""
    serialization: dict[str, Any] = {
        "method": body.method,
        "hash_type": body.hash_type,
        "allow_symlinks": body.allow_symlinks,
        "ignore_paths": list(body.ignore_paths),
    }
    if body.shard_size is not None:
        serialization["shard_size"] = body.shard_size
    return {
        "resources": [
            {"name": name, "digest": digest, "algorithm": body.hash_type} for name, digest in body.files
        ],
        "serialization": serialization,
    }


def from_predicate(predicate: Mapping[str, Any], where: str) -> Signature:
    """Read a predicate. Older bundles without ``ignore_paths`` are read as section 11.2 says.

    Raises:
        NotUnderstood: not of the form that the specification describes, a hash that we do not compute, or
            names that two readers could take differently.
    """
    fields = Fields.of(predicate, where)
    how = fields.section("serialization")
    method = how.one_of("method", ("files", "shards"))
    if how.text("hash_type") != "sha256":
        raise how.wrong("hash_type", "is not sha256, the only hash that we compute")
    shard_size = _shard_size(how) if method == "shards" else None
    return Signature(
        files=_resources(fields.sections("resources"), shard_size, where),
        method=method,
        allow_symlinks=how.flag("allow_symlinks"),
        ignore_paths=how.texts("ignore_paths") if how.has("ignore_paths") else (),
        shard_size=shard_size,
    )


def from_statement(statement: Statement, where: str) -> Signature:
    """Read a statement, whose one subject must be the root of what it lists."""
    body = from_predicate(statement.predicate, where)
    if [dict(subject.digest) for subject in statement.subjects] != [{"sha256": body.root}]:
        raise NotUnderstood("the subject is not the root digest of the files listed", where=printable(where))
    return body


def statement(tree_name: str, body: Signature) -> Statement:
    """The statement to sign. Its subject is the OMS root alone: identities are never mixed."""
    return Statement((Resource(tree_name, {"sha256": body.root}),), TYPE, to_predicate(body))


def range_of(name: str) -> tuple[str, int, int] | None:
    """Path, start and end in the name of a shard: the last two numbers, since paths may hold colons."""
    found = _SHARD.fullmatch(name)
    return (found[1], int(found[2]), int(found[3])) if found else None


def _resources(
    resources: Sequence[Fields], shard_size: int | None, where: str
) -> tuple[tuple[str, str], ...]:
    listed: dict[str, str] = {}
    # The specification says that the algorithm is the hash; model_signing 1.1.1 writes the size into it.
    algorithms = ("sha256", f"sha256-sharded-{shard_size}")
    if not resources:
        raise NotUnderstood("lists no file, and an empty model cannot be signed", where=printable(where))
    for resource in resources:
        name = resource.text("name")
        if resource.text("algorithm") not in algorithms:
            raise resource.wrong("algorithm", "differs from the hash of the whole list, sha256")
        if name in listed:
            raise resource.wrong("name", "is listed twice")
        path = name if shard_size is None else (range_of(name) or ("",))[0]
        if fault_of_path(path) is not None:
            raise resource.wrong("name", f"is not a path that a tree can hold: {shown(name)}")
        listed[name] = resource.sha256("digest")
    return tuple(listed.items())


def _shard_size(how: Fields) -> int:
    """Protobuf writers may turn the number into a float (1000000000.0); it is read if it is whole."""
    value = how.values.get("shard_size")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise how.wrong("shard_size", "is missing or not a size")
    return value


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


PREDICATE = Predicate(id=KIND, type=TYPE, read=from_statement)
