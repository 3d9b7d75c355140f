"""Checks a tree against a signature that somebody else made: integrity, and nothing about who or which run.

It reads OpenSSF Model Signing v1.0, with its three methods of signing. First: is the signature by the key, or
by the holder of the certificate, that the person named? Only then: does every listed file have its digest, is
every file listed, and what did the signature leave out? Paths that a signature leaves out are refused one by
one until the person allows exactly them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from tuneguard import limits
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.artifact.tree import open_file
from tuneguard.attest.predicates import oms
from tuneguard.attest.statement import PAYLOAD_TYPE, Statement, only_digest
from tuneguard.errors import ChangedWhileRead, NotUnderstood
from tuneguard.files import cannot_look, printable
from tuneguard.findings import Finding, Location, Severity
from tuneguard.nodes import shown
from tuneguard.progress import SILENT
from tuneguard.signing.bundle import Bundle
from tuneguard.signing.key import PublicKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from tuneguard.attest.predicates.oms import Signature
    from tuneguard.progress import Reporter, Task
    from tuneguard.signing.blob import BlobSignature

COSIGN_MANIFEST, COSIGN_SIGNATURE = "manifest.json", "manifest.json.sig"
"""The two files that cosign's manifest form adds to a tree."""
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of what ``cosign sign`` attaches to a manifest."""

RangeHasher = Callable[[File, int], "Sequence[str]"]
"""SHA-256 of a file's consecutive ranges of so many bytes (the last one shorter), from the bytes that have
the file's own digest."""

Vouches = Callable[["Bundle | BlobSignature"], "str | None"]
"""What is wrong with who made a signature, in a few words; None where it is believed."""

RULES: Mapping[str, str] = {
    "S-KEY": "The signature over this bundle's payload is not by the key that was named, so nothing that the "
    "bundle states is believed.",
    "S-BYTES": "The bundle of this signature names the digest of other bytes than those beside it: the list "
    "was changed after it was signed, or the signature is another list's. Whose it is was not asked.",
    "S-CERTIFICATE": "The signature over this bundle's payload is not by a certificate that the authorities "
    "named on the command line vouch for, with the usage, validity and identity that were asked for. Nothing "
    "that the bundle states is believed.",
    "S-CHANGED": "A file's bytes are not those that were signed.",
    "S-MISSING": "A file that was signed is not there.",
    "S-ADDED": "A file is there that the signature does not list.",
    "S-HIDDEN": "A file is there that the signature leaves out on purpose: by its list of ignored paths, by "
    "the specification's own (.git, .gitattributes, .github, .gitignore), or because the shard form cannot "
    "list empty files. Anyone can change such a file without breaking the signature; code can hide in it.",
    "S-ALLOWED": "A file that the signature leaves out, and that was allowed by name on the command line.",
    "S-OVERLOOKED": "A tree that is to be signed holds .git, .gitattributes, .github or .gitignore at its "
    "top, where no verifier of model signatures looks. Remove it: downloads from a hub bring such along.",
}
"""What `tuneguard explain` prints about each finding of `verify_foreign`, and of signing."""


def verify_foreign(
    manifest: Manifest,
    bundle: Bundle,
    signed_by: PublicKey | Vouches,
    allow_ignored: Collection[str] = (),
    *,
    where: str = "the signature",
    hash_ranges: RangeHasher | None = None,
) -> tuple[Finding, ...]:
    """What is wrong with a tree, judged by a model signature and the signer that the person named.

    No finding of medium severity or above means integrity, and integrity only. `hash_ranges` (see
    `range_hasher`) is needed for bundles in the shard form.

    Raises:
        NotUnderstood: the signature is by that key, and what it signs is not an OMS v1.0 statement, or one in
            the shard form while `hash_ranges` is missing.
    """
    if (wrong := _wrong_signer(bundle, signed_by, where)) is not None:
        return (wrong,)
    if bundle.payload_type != PAYLOAD_TYPE:
        raise NotUnderstood(f"signs {shown(bundle.payload_type)}, not a statement", where=printable(where))
    statement = Statement.decode(bundle.payload, where)
    if statement.predicate_type != oms.TYPE:
        raise NotUnderstood(
            f"signs a statement of type {shown(statement.predicate_type)}, not a model signature",
            where=printable(where),
            help=f"the form that is read is {oms.TYPE}",
        )
    signature = oms.PREDICATE.read(statement, where)
    if signature.serialization.method == "shards" and hash_ranges is None:
        raise NotUnderstood("is in the shard form", where=printable(where))
    return tuple(_compare(manifest, signature, frozenset(allow_ignored), hash_ranges))


def verify_cosign_form(
    manifest: Manifest, signature: BlobSignature, signed_by: PublicKey | Vouches, *, where: str
) -> tuple[Finding, ...]:
    """What is wrong with a tree, judged by cosign's ``manifest.json`` and a signature over its bytes.

    The tree must be exactly as in the signed list. Nothing marks the list as the list of a model: any
    JSON of this form that the signer ever signed would do. Integrity, and integrity only.

    Raises:
        NotUnderstood: the signature is by that signer, and what it signs is not such a list.
    """
    if (wrong := _wrong_signer(signature, signed_by, where)) is not None:
        return (wrong,)
    listed = Manifest.read_cosign_manifest(signature.content, where)
    if not listed:
        raise NotUnderstood("lists no file, and an empty model cannot be signed", where=printable(where))
    body = oms.Signature.of(tuple(listed.items()))
    return tuple(_compare(manifest, body, frozenset(), None, ignored=False))


def fault_of_cosign(bundle: Bundle, digest: str, signed_by: PublicKey | Vouches, *, where: str) -> str | None:
    """Why a bundle is no signature by ``cosign sign`` over a manifest, or None where it is one.

    `digest` is ``sha256:…`` of the manifest. cosign itself takes a statement of any type about the manifest
    for a signature, a refused scan too; here only its own type is one.

    Source: cosign bundle specification; the predicate type ``https://sigstore.dev/cosign/sign/v1``.
    """
    if (wrong := _wrong_signer(bundle, signed_by, where)) is not None:
        return wrong.message
    if bundle.payload_type != PAYLOAD_TYPE:
        return f"signs {shown(bundle.payload_type)}, not a statement"
    try:
        statement = Statement.decode(bundle.payload, where)
    except NotUnderstood as error:
        return error.what
    if statement.predicate_type != COSIGN_SIGN:
        return f"is a statement of type {shown(statement.predicate_type)}, not a signature by cosign"
    if not any(only_digest(each, "sha256") == digest.removeprefix("sha256:") for each in statement.subjects):
        return "signs another manifest"
    return None


@contextlib.contextmanager
def range_hasher(root: int, manifest: Manifest, reporter: Reporter = SILENT) -> Iterator[RangeHasher]:
    """Hashes ranges of files below the directory `root`, whose manifest has been made before.

    Each file's whole digest is computed again in the same pass and must be the manifest's: the ranges are
    then of the bytes that were judged. The hasher raises `ChangedWhileRead` otherwise.
    """
    with contextlib.ExitStack() as stack:

        @cache
        def task() -> Task:  # a bar appears only where there is something to hash
            return stack.enter_context(reporter.task("Hashed", total=manifest.size, unit="bytes"))

        yield lambda file, size: _hash_ranges(root, file, size, task())


def _wrong_signer(
    signature: Bundle | BlobSignature, signed_by: PublicKey | Vouches, where: str
) -> Finding | None:
    """The one finding where the signature is not over these bytes, or not by whom the person named."""
    if not isinstance(signature, Bundle) and signature.other_bytes:
        return _over_others(signature.other_bytes, where)
    if isinstance(signed_by, PublicKey):
        by_itself = not isinstance(signature, Bundle)
        return None if signature.signed_by(signed_by) else _not_by(signed_by, where, by_itself=by_itself)
    fault = signed_by(signature)
    return None if fault is None else _not_vouched(fault, where)


def _compare(
    manifest: Manifest,
    signature: Signature,
    allowed: frozenset[str],
    hash_ranges: RangeHasher | None,
    *,
    ignored: bool = True,
) -> Iterator[Finding]:
    listed = _by_path(signature)
    for file in manifest.files:
        expected = listed.pop(file.path, None)
        if expected is None:
            yield _unlisted(file, signature, allowed) if ignored else _added(file)
        elif signature.serialization.method == "files":
            if expected[""] != file.sha256:
                yield _changed(file.path, f"signed {expected[''][:12]}, found {file.sha256[:12]}")
        elif found := _shard_fault(file, expected, signature, hash_ranges):
            yield _changed(file.path, found)
    for path in sorted(listed):
        yield Finding("S-MISSING", Severity.HIGH, "was signed and is not there", Location(path))


def _by_path(signature: Signature) -> dict[str, dict[str, str]]:
    """Path → range → digest. A whole file is the range ``""``."""
    if signature.serialization.method == "files":
        return {name: {"": digest} for name, digest in signature.files}
    paths: dict[str, dict[str, str]] = {}
    for name, digest in signature.files:
        path, start, end = oms.range_of(name) or (name, 0, 0)
        paths.setdefault(path, {})[f"{start}:{end}"] = digest
    return paths


def _shard_fault(
    file: File, expected: Mapping[str, str], signature: Signature, hash_ranges: RangeHasher | None
) -> str | None:
    """What is wrong with a file in the shard form.

    It is hashed only where the ranges listed are exactly its own, which keeps the work in proportion to the
    bundle: a shard size of one byte costs one entry a byte.
    """
    size = signature.serialization.shard
    assert size is not None
    assert hash_ranges is not None
    count = -(-file.size // size)
    if count != len(expected):
        return f"signed in {len(expected):,} ranges of {size:,} bytes, found {count:,}"
    names = [f"{start}:{min(start + size, file.size)}" for start in range(0, file.size, size)]
    if set(names) != set(expected):
        return "its size is not the one that was signed"
    digests = hash_ranges(file, size)
    wrong = [name for name, digest in zip(names, digests, strict=True) if expected[name] != digest]
    return (
        f"bytes {wrong[0].replace(':', ' to ')} differ, and {len(wrong) - 1:,} more ranges" if wrong else None
    )


def _hash_ranges(root: int, file: File, size: int, task: Task) -> list[str]:
    whole, digests = hashlib.sha256(), []
    descriptor = open_file(root, file.path)
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            for start in range(0, file.size, size):
                part = hashlib.sha256()
                left = min(size, file.size - start)
                while left and (block := stream.read(min(left, limits.HASH_BUFFER))):
                    part.update(block)
                    whole.update(block)
                    left -= len(block)
                    task.advance(len(block))
                digests.append(part.hexdigest())
    except OSError as error:
        raise cannot_look(error, file.path) from error
    if whole.hexdigest() != file.sha256:
        raise ChangedWhileRead("changed while it was read", where=printable(file.path))
    return digests


def _over_others(digest: str, where: str) -> Finding:
    return Finding(
        rule="S-BYTES",
        severity=Severity.CRITICAL,
        message=f"the signature is over other bytes than these: over those with the digest {digest[:12]}",
        location=Location(where),
        why="the list was changed after it was signed, or the signature is another list's",
        fix="bring the list that was signed, or have this one signed",
    )


def _not_by(key: PublicKey, where: str, *, by_itself: bool) -> Finding:
    """A signature `by_itself` does not hold what it was made over: a changed list looks like another key."""
    return Finding(
        rule="S-KEY",
        severity=Severity.CRITICAL,
        message=f"is not signed by the key {key.keyid[:12]}"
        + (", or was changed since" if by_itself else ""),
        location=Location(where),
        fix=("bring the list as it was signed, or " if by_itself else "")
        + "ask the signer for the public key, by a way that you trust",
    )


def _not_vouched(fault: str, where: str) -> Finding:
    return Finding(
        rule="S-CERTIFICATE",
        severity=Severity.CRITICAL,
        message=fault,
        location=Location(where),
        fix="ask the signer for authorities and identity, by a way that you trust",
    )


def _changed(path: str, how: str) -> Finding:
    return Finding(
        rule="S-CHANGED",
        severity=Severity.HIGH,
        message=how,
        location=Location(path),
        fix="get it again from where it was signed, and find out who can write here",
    )


def _added(file: File) -> Finding:
    return Finding("S-ADDED", Severity.HIGH, "is not in the signed list", Location(file.path))


def _unlisted(file: File, signature: Signature, allowed: frozenset[str]) -> Finding:
    rule = signature.rule_hiding(file.path)
    if rule is None and not (signature.serialization.method == "shards" and file.size == 0):
        return _added(file)
    reason = f"the signature leaves out {shown(rule)}" if rule else "the shard form leaves out empty files"
    if file.path in allowed:
        return Finding("S-ALLOWED", Severity.LOW, f"allowed by name: {reason}", Location(file.path))
    return Finding(
        rule="S-HIDDEN",
        severity=Severity.HIGH,
        message=f"is not covered: {reason}",
        location=Location(file.path),
        why="anyone can change it without breaking the signature",
        fix=f"remove it, or look at it and allow exactly it: --allow-ignored {printable(file.path)}",
    )
