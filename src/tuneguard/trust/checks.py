"""Does an opened piece of evidence answer this question? Steps V06 to V16, each on one piece.

Every check looks at every piece and yields all that is wrong with it; a kind that a check does not
concern passes through it. A piece with a fault counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneguard import paste
from tuneguard.attest.predicates.evaluation import Evaluation
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.release import Release
from tuneguard.attest.predicates.scan import Scan
from tuneguard.attest.predicates.seal import Seal
from tuneguard.attest.predicates.verdict import Verdict, manifest_of
from tuneguard.files import printable
from tuneguard.trust.belief import moment_of, times_of
from tuneguard.trust.policy import Promoted, SealedBy, described
from tuneguard.trust.request import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from tuneguard.trust.claims import Released
    from tuneguard.trust.opening import Opened


def check_subject(opened: Opened) -> Iterator[Fault]:
    """The statement is about exactly this tree.

    Its subject is the tree digest that was computed here. A statement that lists the files (a
    signature, a seal) is compared file by file in the next three steps, so that the report names the
    files. Where only the tree's digest is known, the list's own digest is compared.

    Where the policy lists subsets for the model, signature and provenance may be about a whole run of which
    this tree is such a subset: each of its files is in the run's signed list, below one path that is taken
    off, and only files that the policy lets be left out are missing. All other evidence is about the tree.
    """
    named, digest = opened.about, opened.question.digest
    if named != digest and not opened.difference and not opened.of_part:
        yield Fault(
            "V06",
            f"is about another tree: {(named or 'none')[:12]}, here is {digest[:12]}",
            why=f"signed {named}, found {digest}",
            fix="find the evidence that belongs to this tree, or restore the tree that was signed",
            tree=named,
        )


def check_changed(opened: Opened) -> Iterator[Fault]:
    """Every listed file has its digest.

    A file whose bytes differ from the signed ones is reported with both digests: the signed one and the
    found one. A person or a failing disk changed it after the signature. Restore the file from the
    machine that made it, or train again under a new run id, and find out who can write to its folder.
    """
    if opened.difference:
        for path, signed, found in opened.difference.changed:
            yield Fault(
                "V07",
                f"changed: signed {signed[:12]}, found {found[:12]}",
                path,
                why=f"signed {signed}, found {found}",
                fix="restore it from the machine that made it, and find out who can write here",
                tree=opened.about,
            )


def check_missing(opened: Opened) -> Iterator[Fault]:
    """Every listed file is there.

    A tree without one of its files is another tree than the signed one, even if the rest loads. Restore
    the file; evidence is never reduced to fit a tree.
    """
    if opened.difference:
        for path in opened.difference.missing:
            yield Fault(
                "V08",
                "missing: it is signed and not there",
                path,
                fix="restore it from the machine that made it",
                tree=opened.about,
            )


def check_added(opened: Opened) -> Iterator[Fault]:
    """Every file that is there is listed.

    Every file counts. There is no list of ignored names, and files that a foreign signature declares as
    ignored count here. A file beside the weights can be code that a loader runs. Find out who put it
    there, and remove it.
    """
    if opened.difference:
        for path in opened.difference.added:
            yield Fault(
                "V09",
                "added: it is there and not signed",
                path,
                fix="find out who put it there, and remove it",
                tree=opened.about,
            )


def check_names(opened: Opened) -> Iterator[Fault]:
    """Provenance and verdict name the expected model, and the expected run.

    This step finds an old checkpoint that lies, with all its true evidence, in the place of a new
    run's: each file and each signature is right, and the checkpoint is another one than expected.
    """
    body, expected = opened.body, opened.question.expectation
    if not isinstance(body, Provenance | Verdict) or opened.question.integrity_only:
        return
    for what, said, wanted in (("model", body.model, expected.model), ("run", body.run, expected.run)):
        if wanted is not None and said != wanted:
            yield Fault(
                "V10",
                f"is about {what} {printable(said)}, expected is {what} {printable(wanted)}",
                why="evidence of one run or model is worth nothing for another",
            )


def check_class(opened: Opened) -> Iterator[Fault]:
    """Only a final checkpoint is promoted, and only one is the promoted base of another run.

    The checkpoint of a run that was stopped by its deadline or a signal, or that failed, may be signed as
    `intermediate`. A run can resume from it (`tuneguard run --resume`); a promotion refuses it.
    """
    if not isinstance(opened.body, Provenance) or opened.question.expectation.purpose not in (
        "promote",
        "base",
    ):
        return
    if opened.body.chosen.kind != "final":
        yield Fault(
            "V11",
            f"is of class {printable(opened.body.chosen.kind)}, and only a final checkpoint is promoted",
            fix="resume the run from it and let it end: tuneguard run --resume",
        )


def check_builder(opened: Opened) -> Iterator[Fault]:
    """Provenance is by a builder whom the policy lists for this very model."""
    model = opened.question.model
    if (
        isinstance(opened.body, Provenance)
        and model is not None
        and opened.identity.name not in model.builders
    ):
        yield Fault(
            "V12",
            f"is by {opened.identity.name}, whom the policy does not list as a builder of {model.name}",
            fix=f"list it under models.{model.name}.builder, or build with one that is listed",
        )


def check_seal(opened: Opened) -> Iterator[Fault]:
    """A seal makes the tree what it is to be used as.

    A data set has a name that the policy lists for the model, and one of the stewards listed for that
    name sealed it. An evaluation set, a base or a classifier is sealed as such, and the policy lists
    its tree digest; or the policy lists a name, and one of the stewards listed for it sealed the tree
    under that name. Empty lists allow nothing.
    """
    body, question = opened.body, opened.question
    model = question.model
    if not isinstance(body, Seal) or model is None or question.expectation.purpose != "train":
        return
    sealed = question.expectation.sealed
    kind = "base" if sealed == "classifier" else sealed
    if body.kind != kind:
        yield Fault(
            "V13", f"seals a tree of kind {body.kind}, expected is {kind}", fix=f"seal it --as {kind}"
        )
    elif sealed == "dataset":
        yield from _check_data(opened, body)
    else:
        yield from _check_listed(opened, body, sealed)


def _check_data(opened: Opened, body: Seal) -> Iterator[Fault]:
    model, expected = opened.question.model, opened.question.expectation
    assert model is not None
    shown = printable(f"{body.name}@{body.version}")
    if expected.data_name is not None and body.name != expected.data_name:
        yield Fault("V13", f"seals {shown}, expected is {printable(expected.data_name)}")
    if expected.data_version is not None and body.version != expected.data_version:
        yield Fault("V13", f"seals {shown}, expected is version {printable(expected.data_version)}")
    rule = next((rule for rule in model.data if rule.name == body.name), None)
    if rule is None:
        known = ", ".join(each.name for each in model.data) or "none"
        yield Fault(
            "V13",
            f"seals {shown}, and the policy lists no such data for {model.name}",
            fix=f"it lists: {known}",
        )
    elif opened.identity.name not in rule.stewards:
        yield Fault(
            "V13",
            f"seals {shown} by {opened.identity.name}, who is no steward of {rule.name}",
            fix=f"the policy's stewards of {rule.name}: {', '.join(rule.stewards) or 'none'}",
        )


def _check_listed(opened: Opened, body: Seal, sealed: str) -> Iterator[Fault]:
    model, tree = opened.question.model, opened.statement.tree
    assert model is not None
    rule = model.evaluation
    listed: tuple[str | SealedBy | Promoted, ...] = {
        "base": model.bases,
        "evaluation": () if rule is None else (rule.set,),
        "classifier": () if rule is None else (rule.classifier,),
    }[sealed]
    by, shown = opened.identity.name, printable(f"{body.name}@{body.version}")
    if tree not in listed and not any(
        isinstance(each, SealedBy) and each.covers(by, body.name) for each in listed
    ):
        yield Fault(
            "V13",
            f"the policy does not list this tree as {sealed} of {model.name}",
            why=f"found {tree}, sealed as {shown} by {by}; "
            f"listed: {', '.join(map(described, listed)) or 'none, and empty means no'}",
            fix=paste.after("have the policy's owner list it", "policy", "set-model", model.name),
        )


def check_attempt(opened: Opened) -> Iterator[Fault]:
    """A scan and an evaluation name the open promotion attempt.

    Results of earlier attempts are ignored: they count neither for nor against, so that nobody can
    choose the best of several results. One result of each kind counts for an attempt; two different
    ones refuse.
    """
    body, expected = opened.body, opened.question.expectation
    if (
        not isinstance(body, Scan | Evaluation)
        or expected.purpose != "promote"
        or opened.question.integrity_only
    ):
        return
    attempt = body.attempt
    if expected.attempt is None or attempt != expected.attempt:
        named = "no attempt" if attempt is None else f"attempt {printable(attempt)}"
        opened_ = "none is open" if expected.attempt is None else f"open is {printable(expected.attempt)}"
        yield Fault("V14", f"names {named}, {opened_}", aside=True)


def check_verdict(opened: Opened) -> Iterator[Fault]:
    """A verdict states that this tree passed, for this model's repository, as this very OCI manifest.

    The manifest's digest is computed from the tree and the repository is taken from the policy; the
    verdict must name both. For a base whose files are not at hand, only the tree's digest is compared.
    The verdict was made under a policy of the same name, of any version: it stays valid under a newer
    policy that still believes the signer and keeps the repository. A production policy refuses a
    verdict that was made under a development policy.
    """
    body, question = opened.body, opened.question
    if not isinstance(body, Verdict) or question.model is None:
        return
    if not body.passed:
        yield Fault("V15", f"is {body.result}: this tree was not promoted then")
        return
    wanted = question.expectation.manifest_digest
    named = manifest_of(opened.statement) or "none"
    if wanted is None and question.expectation.purpose != "base":
        yield Fault("V15", "is about a registry manifest, and the caller gave none to compare it with")
    elif wanted is not None and named != wanted:
        yield Fault(
            "V15",
            f"is about the manifest {named[:19]}, this tree makes {wanted[:19]}",
            why=f"signed {named}, found {wanted}",
        )
    if body.resource_uri != question.model.repository:
        yield Fault("V15", f"is for {printable(body.resource_uri)}, expected is {question.model.repository}")
    yield from _check_policy(opened, body)


def _check_policy(opened: Opened, body: Verdict) -> Iterator[Fault]:
    policy = opened.question.policy
    if body.decision.policy.name != policy.name:
        made_under = printable(body.decision.policy.name)
        yield Fault("V15", f"was made under the policy {made_under}, here is {policy.name}")
    if policy.profile not in ("development", body.profile):
        yield Fault(
            "V15",
            f"was made under a {body.profile} policy, and here a {policy.profile} policy decides",
            why="a development policy proves no isolation controls and keeps no custodians apart",
            fix="promote it again under the production policy",
        )


def check_part(opened: Opened) -> Iterator[Fault]:
    """A verdict about a part of a run counts where the tree is shown to be that part.

    Such a verdict names the run's tree and the folder that was promoted. The run's signature travels with it:
    its list of files shows that the tree is that part, without the run at hand, and the policy must still
    allow it.
    """
    body, question = opened.body, opened.question
    if not isinstance(body, Verdict) or body.decision.part is None or question.model is None:
        return
    part = body.decision.part
    found = question.parts.get(part.of.dir_hash)
    if found is None or found.path != part.path:
        yield Fault(
            "V23",
            f"is about {printable(part.path) or 'a part'} of the run with the tree {part.of.dir_hash[:12]}, "
            "and this tree is not shown to be that",
            why="the run's signature is not here, the files are not in its list, or the policy allows no "
            "such subset",
            fix="bring the signature of the run along, or have the policy's owner list the subset",
        )


def check_time(opened: Opened) -> Iterator[Fault]:
    """No date lies in the future.

    The date is the signer's own and prints as claimed. A date can make evidence too old for a
    requirement's `maxAge`; no date makes evidence valid.
    """
    now = opened.question.expectation.now
    for claimed in times_of(opened.body):
        if moment_of(claimed) > now:
            yield Fault(
                "V16",
                f"is dated in the future: {printable(claimed)}",
                fix="compare the clocks of the machine that signed and of this one",
            )


def check_release(opened: Opened) -> Iterator[Fault]:
    """A release states that this tag of this model's repository names this very OCI manifest, now.

    A tag alone proves nothing: anyone who writes to the registry can point it at an older model with
    all its true evidence. A release cannot be moved to another tag, repository or manifest. It expires
    at its own date or at the policy's `maxAge` after its issue, whichever is earlier, and `tuneguard
    renew` gives the tag a new one. A release that is older than the newest one known to this machine or
    its ledger does not count. Of two releases with one number and different content, the second one
    refuses.
    """
    body, question = opened.body, opened.question
    expected, model = question.expectation, question.model
    if not isinstance(body, Release) or model is None or expected.purpose not in ("release", "renew"):
        return
    for what, said, wanted in (
        ("the model", body.model, model.name),
        ("the repository", body.repository, model.repository),
        ("the tag", body.tag, str(expected.tag)),
        ("the manifest", body.manifest.oci, str(expected.manifest_digest)),
    ):
        if said != wanted:
            yield Fault(
                "V20",
                f"is a release of {what} {_cut(said)}, here is {_cut(wanted)}",
                why=f"signed {printable(said)}, found {printable(wanted)}",
            )
    yield from _check_newest(body, expected.released)
    if expected.purpose == "release":
        yield from _check_end(body, question.policy.release_lifetime, expected.now)


def _check_newest(body: Release, known: Released | None) -> Iterator[Fault]:
    if known is None:
        return
    if body.sequence < known.sequence:
        yield Fault(
            "V20",
            f"is release {body.sequence:,} of this tag, and {known.sequence:,} is known here: it went back",
            why=f"release {known.sequence:,} named {known.manifest}",
            fix="find out who moved the tag; to go back on purpose, the promoter pushes the old model again",
        )
    elif body.sequence == known.sequence and body.manifest.oci != known.manifest:
        yield Fault(
            "V20",
            f"is release {body.sequence:,} of this tag, and another of that number is known here",
            why=f"known {known.manifest}, found {body.manifest.oci}",
            fix="two promoters released at once: have one of them push again",
        )


def _check_end(body: Release, lifetime: timedelta, now: datetime) -> Iterator[Fault]:
    ends, issued = moment_of(body.not_after), moment_of(body.issued)
    if now >= ends or now - issued >= lifetime:  # no sum of dates: a signer may claim the year 9999
        by = "its own date" if now >= ends else "the policy's maxAge"
        yield Fault(
            "V20",
            f"ran out by {by}: issued {issued:%Y-%m-%d %H:%M}, good until {ends:%Y-%m-%d %H:%M} UTC",
            why="a tag that nobody renews may have been held back while newer releases were made",
            fix="have the promoter renew it: tuneguard renew",
        )


def _cut(text: str) -> str:
    return printable(text[:19] if text.startswith("sha256:") else text[:120])
