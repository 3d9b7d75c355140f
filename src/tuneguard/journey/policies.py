"""Policies: sign, check, explain and migrate one; complete a model's entry; end a key."""

from __future__ import annotations

import difflib
import hashlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuneguard import files, limits, paste
from tuneguard.artifact import digest as hashing
from tuneguard.display import short, shown
from tuneguard.errors import Refused, UsageError
from tuneguard.evaluation.model import wanted
from tuneguard.facts import MigrateFacts, PolicyEditFacts, PolicyFacts, PolicyTextFacts
from tuneguard.findings import REFUSING, Finding, Location, Result, Severity, Subject, Verdict, judge
from tuneguard.gates import engine as gates
from tuneguard.project.project import Project
from tuneguard.project.sealed import subject_of
from tuneguard.signing.bundle import read_bundle
from tuneguard.signing.key import read_public
from tuneguard.signing.signer import open_signer
from tuneguard.trust import edit, policy, review, root
from tuneguard.trust import migrate as migration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuneguard.signing.signer import Signer

_READ_AND_SIGN = "read it, and if every word is meant: tuneguard policy sign"


def sign(path: str | Path, *, project: Project | None = None) -> Result[PolicyFacts]:
    """Sign a policy's exact bytes as the root. A policy that cannot be read is not signed.

    Raises:
        UsageError: the file is missing, or there is no key for the root.
        ConfigurationError: the policy is wrong; every fault is reported with its place.
        CannotLook: the file or the key cannot be read.
    """
    path, project = Path(path), project or Project()
    data = files.read_named(path, limits.RECORD_BYTES)
    read = policy.parse_policy(data, shown(path))
    gates.check(read)
    bundle = path.with_name(path.name + root.BUNDLE_SUFFIX)
    files.write_replacing(bundle, policy.sign_policy(data, _root_signer(project)))
    project.reporter.emit("Signed", f"{shown(path)}  {read.name}, version {read.version}, {read.profile}")
    return Result(
        command="policy sign",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), read.sha256),),
        outputs=(shown(bundle),),
        facts=PolicyFacts(version=read.version, profile=read.profile),
    )


def check(path: str | Path, *, unsigned: bool = False, project: Project | None = None) -> Result[PolicyFacts]:
    """What a policy would refuse that its author may not expect; the signature is checked too.

    With `unsigned`, it is not: an edit is judged before the root signs it.

    Raises:
        UsageError: the policy, its signature or the root's key is missing.
        Refused: no root signed these bytes, or the policy has expired.
        ConfigurationError: the root signed a policy that is wrong.
        CannotLook: one of the files cannot be read or understood.
    """
    path, project = Path(path), project or Project()
    if unsigned:
        read = policy.parse_policy(files.read_named(path, limits.RECORD_BYTES), shown(path))
    else:
        read = root.load_policy(path, root.find_root(project.root_option), now=project.now)
    gates.check(read)
    findings = (*review.weaknesses(read, now=project.now), *_missing_suites(read))
    project.reporter.emit("Checked", f"{shown(path)}  {read.name}, version {read.version}, {read.profile}")
    return Result(
        command="policy check",
        verdict=judge(findings, (), REFUSING),
        subjects=(Subject(shown(path), read.sha256),),
        findings=findings,
        facts=PolicyFacts(version=read.version, profile=read.profile),
        notes=((_NOT_CHECKED,) if unsigned else ()) + review.warnings(read, now=project.now),
    )


_NOT_CHECKED = "the signature was not checked: tuneguard policy check"


def _missing_suites(read: policy.Policy) -> Iterator[Finding]:
    """What a policy asks an evaluation to measure and this Tuneguard cannot."""
    for name, model in read.models.items():
        if model.evaluation is not None:
            try:
                wanted(model.evaluation.suites)
            except UsageError as error:
                why, rule = review.WEAKNESSES["P-SUITE"], "P-SUITE"
                yield Finding(
                    rule, Severity.HIGH, f"{name}: {error}", Location(read.file), why, error.help or None
                )


def explain(path: str | Path, *, project: Project | None = None) -> Result[PolicyTextFacts]:
    """A policy in plain words. Its signature is not asked for: this shows what it would mean.

    Raises:
        UsageError: the file is missing.
        ConfigurationError: the policy is wrong; every fault is reported with its place.
        CannotLook: the file cannot be read.
    """
    path, project = Path(path), project or Project()
    read = policy.parse_policy(files.read_named(path, limits.RECORD_BYTES), shown(path))
    words = review.explain(read)
    first, *rest = words.rstrip("\n").split("\n")
    project.reporter.emit("Policy", first, *rest)
    return Result(
        command="policy explain",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), read.sha256),),
        facts=PolicyTextFacts(text=words),
        notes=(_NOT_CHECKED,),
    )


def migrate(path: str | Path, *, project: Project | None = None) -> Result[MigrateFacts]:
    """A policy of an earlier version as one of today, for the root to read and sign. Nothing is written.

    The new file is ``facts.document``, and what differs from the old one ``facts.difference``. Where a
    signature lies beside the old file, the root must have made it over exactly these bytes: what is compared
    is then what the root has read before.

    Raises:
        UsageError: the file is missing, or is not of an earlier version.
        Refused: the signature beside it is not the root's over these bytes.
        ConfigurationError: the policy is wrong; every fault is reported with its place.
        CannotLook: one of the files cannot be read or understood.
    """
    path, project = Path(path), project or Project()
    data = files.read_named(path, limits.RECORD_BYTES)
    bundle = path.with_name(path.name + root.BUNDLE_SUFFIX)
    signed = os.path.lexists(bundle)
    if signed:
        signature = files.read_named(bundle, limits.BUNDLE_BYTES)
        roots = root.find_root(project.root_option)
        try:
            policy.verified(data, signature, roots, file=str(path))
        except Refused as error:  # an earlier policy cannot be signed again, as the help has it
            help = "restore what the root signed, or move the signature away and read the whole file"
            raise Refused(error.what, where=shown(path), help=help) from error
    after, read = migration.migrate(data, shown(path))
    gates.check(read)
    text = after.decode("utf-8")
    names = {"fromfile": shown(path), "tofile": f"{shown(path)} (migrated)"}
    difference = tuple(
        difflib.unified_diff(data.decode("utf-8").splitlines(), text.splitlines(), lineterm="", n=0, **names)
    )
    project.reporter.emit("Migrated", f"{shown(path)}  {read.name}, version {read.version}", *difference)
    unsigned = "no signature lies beside it: read the whole file and not the difference alone"
    return Result(
        command="policy migrate",
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), hashlib.sha256(data).hexdigest()),),
        facts=MigrateFacts(
            version=read.version,
            signed=signed,
            document=text,
            difference="".join(f"{line}\n" for line in difference),
        ),
        notes=() if signed else (unsigned,),
        next=paste.after(
            "put it in that file's place, read it, and if every word is meant", "policy", "sign", path
        ),
    )


def set_model(
    path: str | Path,
    name: str,
    *,
    base: str | Path | None = None,
    evaluation: str | Path | None = None,
    classifier: str | Path | None = None,
    code: str | Path | None = None,
    config: str | Path | None = None,
    command: bool = False,
    project: Project | None = None,
) -> Result[PolicyEditFacts]:
    """Fill in what a model is made from, raise the version, sign again as the root.

    `base`, `evaluation`, `classifier` and `code` are folders, named by their tree digests, and `config` a
    file. `command` takes the command and the environment of the pipeline file, which the signer has read:
    they are reported.

    Raises:
        UsageError: nothing is named, or the policy has no such model.
        Refused: the policy is not, byte for byte, the one that this root signed last.
    """
    path, project = Path(path), project or Project()
    trees = {"base": base, "evaluation": evaluation, "classifier": classifier, "code": code}
    named = {what: Path(tree) for what, tree in trees.items() if tree is not None}
    if not named and config is None and not command:
        raise UsageError(
            "nothing to set",
            help="name --base, --evaluation, --classifier, --code or --config; or take the --command",
        )
    train = project.pipeline.train if command else None
    signer = _root_signer(project)
    digests = {}
    for what, tree in named.items():
        manifest = hashing.hash_tree(tree, reporter=project.reporter)
        digests[what] = (manifest if what == "code" else subject_of(tree, manifest)).digest
        project.reporter.emit("Hashed", f"{what}  {shown(tree)}", f"tree {short(digests[what])}")
    if config is not None:
        config = Path(config)
        digests["config"] = hashlib.sha256(files.read_named(config, limits.RECORD_BYTES)).hexdigest()
        project.reporter.emit("Hashed", f"config  {shown(config)}", f"file {short(digests['config'])}")
    if train is not None:
        project.reporter.emit("Fixed", "command", *map(files.printable, train.command))
        variables = [f"{key}={files.printable(value)}" for key, value in train.env.items()]
        project.reporter.emit("Fixed", "environment" if variables else "environment  none", *variables)
    change = partial(
        edit.set_model,
        name=name,
        base=digests.get("base"),
        evaluation=digests.get("evaluation"),
        classifier=digests.get("classifier"),
        code=digests.get("code"),
        config=digests.get("config"),
        command=None if train is None else train.command,
        env=None if train is None else train.env,
    )
    done = _edited("policy set-model", path, change, signer, project)
    facts = PolicyEditFacts(
        version=done.facts.version,
        command=None if train is None else tuple(train.command),
        env=None if train is None else dict(train.env),
        **digests,
    )
    return replace(done, facts=facts, next="tuneguard run")


def revoke(
    path: str | Path, name: str, *, reason: str = "compromise", project: Project | None = None
) -> Result[PolicyEditFacts]:
    """Mark an identity's key as revoked, raise the version, sign again as the root.

    Raises:
        UsageError: the policy has no such identity.
        Refused: the policy is not, byte for byte, the one that this root signed last.
    """
    path, project = Path(path), project or Project()
    change = partial(edit.revoke, name=name, reason=reason, at=project.now)
    done = _edited("policy revoke", path, change, _root_signer(project), project)
    retired = reason in policy.RETIRED
    what = "what it signed before still counts for loading" if retired else _ENDED
    return replace(done, notes=(*done.notes, f"{name} is revoked, {reason}: {what}"))


_ENDED = (
    "nothing that it signed counts, and no model is loaded whose promotion relied on it; "
    "find out what the key was used for"
)


def rotate(
    path: str | Path,
    name: str,
    *,
    public_key: str | Path,
    new: str | None = None,
    project: Project | None = None,
) -> Result[PolicyEditFacts]:
    """Let a new key follow an identity's, raise the version, sign again as the root.

    Raises:
        UsageError: the policy has no such identity, or the key's file is not a public key.
        Refused: the policy is not, byte for byte, the one that this root signed last.
    """
    path, project = Path(path), project or Project()
    change = partial(edit.rotate, name=name, key=read_public(Path(public_key)), new=new, at=project.now)
    done = _edited("policy rotate", path, change, _root_signer(project), project)
    note = (
        f"{name} makes no new evidence from now on; it stays listed, so that what it signed before is loaded"
    )
    return replace(done, notes=(*done.notes, note))


def _edited(
    command: str, path: Path, change: Callable[..., bytes], signer: Signer, project: Project
) -> Result[PolicyEditFacts]:
    """Make one change in the policy that this root signed last, and sign it."""
    before = files.read_named(path, limits.RECORD_BYTES)
    signed = _signed(path, signer)
    after = change(signed, file=shown(path))
    if before not in (signed, after):  # after: this very edit was killed before its signature was written
        raise Refused("is not the policy that this root signed last", where=shown(path), help=_READ_AND_SIGN)
    gates.check(policy.parse_policy(after, shown(path)))
    signature = policy.sign_policy(after, signer)
    files.write_replacing(path.resolve(), after)
    bundle = path.with_name(path.name + root.BUNDLE_SUFFIX)
    files.write_replacing(bundle, signature)
    read = policy.parse_policy(after, shown(path))
    project.reporter.emit("Signed", f"{shown(path)}  {read.name}, version {read.version}, {read.profile}")
    return Result(
        command=command,
        verdict=Verdict.PASSED,
        subjects=(Subject(shown(path), read.sha256),),
        outputs=(shown(path), shown(bundle)),
        facts=PolicyEditFacts(version=read.version),
    )


def _signed(path: Path, signer: Signer) -> bytes:
    """The policy that this root signed last, whether or not it expired: only that is edited.

    Otherwise anyone who can write the file adds a key of their own, and the owner's next edit of something
    else signs it for them.

    Raises:
        Refused: the root signed none.
    """
    bundle = path.with_name(path.name + root.BUNDLE_SUFFIX)
    if not bundle.is_file():
        raise Refused("the policy has no signature", where=shown(bundle), help=_READ_AND_SIGN)
    found = read_bundle(files.read_named(bundle, limits.BUNDLE_BYTES), shown(bundle))
    if found.payload_type != policy.POLICY_PAYLOAD_TYPE or not found.signed_by(signer.public_key):
        raise Refused("is not the policy that this root signed last", where=shown(path), help=_READ_AND_SIGN)
    return found.payload


def _root_signer(project: Project) -> Signer:
    """The root's key: named, or the development root of this home."""
    for role in ("root", ""):
        if role in project.key_options:
            return open_signer(project.key_options[role], project.passphrase)
    default = root.home() / "root.key"
    if not default.is_file():
        raise UsageError("no key for the root", help="name it: --key root=URI")
    return open_signer(str(default), project.passphrase)
