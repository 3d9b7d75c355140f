"""What a command found out beside its verdict: a class for each command, the ``facts`` of its `Result`.

A field without a default is always in a result's JSON. One with a default is there where it is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import field

from tuneguard.attest.predicates.provenance import Control, Git
from tuneguard.display import figure
from tuneguard.findings import Verdict
from tuneguard.sandbox.state import ControlState

if TYPE_CHECKING:
    from collections.abc import Mapping


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The facts of a command. They are shown and handed on, and nothing passes because of them."""


class NoFacts(Facts, frozen=True):
    """``sign`` and ``sign-scan``: there is nothing to report but what was made."""


class Sized(Facts, frozen=True, kw_only=True):
    """How much was looked at."""

    files: int
    bytes: int


class DigestFacts(Sized, frozen=True):
    """``digest``: how much was hashed."""


class ScanFacts(Sized, frozen=True, kw_only=True):
    """``scan``: how much was looked at; ``rules`` is the digest of the rule set.

    ``statement`` is the SHA-256 of the unsigned statement, where one was asked for.
    """

    rules: str
    statement: str | None = None


# --- A project -------------------------------------------------------------------------------------


class InitFacts(Facts, frozen=True, kw_only=True):
    """``init``: the roles that got a key, and what the policy demands of each isolation control."""

    roles: tuple[str, ...]
    controls: dict[str, ControlState] = field(name="walls")


class KeyFacts(Facts, frozen=True, kw_only=True):
    """``keygen`` and ``public-key``: the type of the key and its id."""

    type: str
    keyid: str


class CheckFacts(Facts, frozen=True, kw_only=True):
    """One check of ``doctor``: how it ended, what it found and how to fix it."""

    check: str
    state: str
    found: str
    mend: str | None


class DoctorFacts(Facts, frozen=True, kw_only=True):
    """``doctor``: every check."""

    checks: tuple[CheckFacts, ...]


class ExplainFacts(Facts, frozen=True, kw_only=True):
    """``explain``: the id of the rule and its text."""

    id: str
    text: str


class SignerFacts(Facts, frozen=True, kw_only=True):
    """``signer``: how many statements it signed, and where it listened."""

    signed: int
    socket: str


# --- Policies --------------------------------------------------------------------------------------


class PolicyFacts(Facts, frozen=True, kw_only=True):
    """``policy sign`` and ``policy check``: the policy's version and profile."""

    version: int
    profile: str


class PolicyTextFacts(Facts, frozen=True, kw_only=True):
    """``policy explain``: the policy in plain words."""

    text: str


class MigrateFacts(Facts, frozen=True, kw_only=True):
    """``policy migrate``: the new file, and what differs from the old one, which may have been signed."""

    version: int
    signed: bool
    document: str
    difference: str


class PolicyEditFacts(Facts, frozen=True, kw_only=True):
    """``policy set-model``, ``revoke`` and ``rotate``: the new version, and the digests that were set."""

    version: int
    base: str | None = None
    evaluation: str | None = None
    classifier: str | None = None
    code: str | None = None
    config: str | None = None
    command: tuple[str, ...] | None = None
    env: dict[str, str] | None = None


# --- Data and training -----------------------------------------------------------------------------


class StageFacts(Sized, frozen=True, kw_only=True):
    """``stage``: what was copied, and from what: a ``folder``, a ``snapshot`` or an ``archive``.

    A snapshot in the Hugging Face Hub's cache is one of a repository, by its commit.
    """

    source: str
    repository: str | None = None
    revision: str | None = None


class SealFacts(Facts, frozen=True, kw_only=True):
    """``seal``: what was sealed; ``rows`` is None for a base model."""

    kind: str
    name: str
    version: str
    rows: int | None


class ControlFacts(Facts, frozen=True, kw_only=True):
    """How an isolation control held in a run, and how that was found out."""

    state: ControlState
    how: str


class TrainFacts(Facts, frozen=True, kw_only=True):
    """``run`` and ``train``: the run, its checkpoint's tree, and the isolation controls by name.

    ``kind`` is ``final``, or how the run was stopped before its end. ``scan`` is the verdict of
    ``run``'s scan of the checkpoint, None where none was made.
    """

    run: str
    tree: str
    kind: str = field(name="class")
    seconds: float
    controls: dict[str, ControlFacts] = field(name="walls")
    scan: str | None = None


class RehearseFacts(Facts, frozen=True, kw_only=True):
    """``run --rehearse``: seconds, and the bytes of memory in use at most, None where they are not counted.

    ``files`` and ``size`` (bytes) are what the training wrote.
    """

    seconds: float
    memory: int | None
    files: int
    size: int


class RunFacts(Facts, frozen=True, kw_only=True):
    """One run of ``runs``.

    ``state`` is preparing, running, signed, stopped, failed, unsigned, refused, killed or ended. ``loss`` is
    the newest; one that JSON cannot write is a text. ``exit`` and ``signal`` are how it ended.
    """

    run: str
    model: str
    state: str
    kind: str | None = field(name="class", default=None)
    started: str | None = None
    seconds: float | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | str | None = None
    exit: int | None = None
    signal: int | None = None
    tree: str | None = None


class RunsFacts(Facts, frozen=True, kw_only=True):
    """``runs``: every run, the newest last."""

    runs: tuple[RunFacts, ...]


class ExportFacts(Facts, frozen=True, kw_only=True):
    """``export-metrics``: how many numbers were logged, under which run of MLflow's, with which tags."""

    run: str
    numbers: int
    mlflow_run: str = field(name="mlflowRun")
    tags: dict[str, str]


class LogsFacts(Facts, frozen=True, kw_only=True):
    """``logs``: the run, and how many lines of its log were printed."""

    run: str
    lines: int


# --- Verification ----------------------------------------------------------------------------------

Uncounted = tuple[tuple[str, str], ...]
"""Evidence that lies there and does not count: its file, and why."""


class VerifyFacts(Facts, frozen=True, kw_only=True):
    """``verify``: ``tree`` is None where the folder holds what a tree cannot."""

    tree: str | None
    purpose: str
    model: str | None
    uncounted: Uncounted


class VerifyForeignFacts(Facts, frozen=True, kw_only=True):
    """``verify --signature``: the purpose is always ``integrity``."""

    purpose: str


class VerifyDataFacts(Facts, frozen=True, kw_only=True):
    """``verify-data``: ``pinned`` is whether the caller named the version of the data."""

    pinned: bool
    tree: str | None
    uncounted: Uncounted


# --- A promotion -----------------------------------------------------------------------------------


class CopyFacts(Facts, frozen=True, kw_only=True):
    """``copy``: the tree, and the number of this attempt among all for the tree."""

    tree: str
    attempt: str
    number: int
    how: str


class Number(Facts, frozen=True, kw_only=True):
    """A measured share with its interval against a bound: ``accuracy 0.94 [0.898, 0.965] ≥ 0.85``.

    `op` is ``≥`` for a minimum (then `low` is judged) and ``≤`` for a maximum (then `high` is). `met` states
    whether that end of the interval keeps the bound.
    """

    label: str
    value: float
    low: float
    high: float
    bound: float
    op: str
    n: int
    count: int
    met: bool

    def __str__(self) -> str:
        interval = f"[{figure(self.low)}, {figure(self.high)}]"
        return f"{self.label} {figure(self.value)} {interval} {self.op} {self.bound:g}"


class GateFacts(Facts, frozen=True, kw_only=True):
    """What a gate needed and found, and by whom it was shown."""

    id: str
    verdict: Verdict
    needed: str
    found: str
    by: tuple[str, ...]
    numbers: tuple[Number, ...]

    def __str__(self) -> str:
        """All numbers on one line, with how many rows each was counted over."""
        if not self.numbers:
            return self.found
        counts = ", ".join(str(number.n) for number in self.numbers)
        return "   ".join(map(str, self.numbers)) + f"   n={counts}"


class EvaluateFacts(Facts, frozen=True, kw_only=True):
    """``evaluate`` and ``sign-evaluation``: the evaluation gate's result for the new counts.

    Where an unsigned statement was asked for, nothing is judged: ``statement`` is its SHA-256.
    """

    gate: GateFacts | None = None
    statement: str | None = None


class Ingredient(Facts, frozen=True, kw_only=True):
    """What a checkpoint was made from. ``listed`` is whether the policy lists it.

    It is None where the policy takes any, and UNSET where no policy was asked. ``git`` is the commit of code.
    """

    role: str
    name: str
    version: str | None
    digest: dict[str, str]
    listed: bool | msgspec.UnsetType | None = msgspec.UNSET
    git: Git | None = None


class Lineage(Facts, frozen=True, kw_only=True):
    """What a checkpoint was made from and by which run, as its provenance states."""

    run: str
    model: str
    kind: str = field(name="class")
    parent: str | None
    started: str
    finished: str
    command: tuple[str, ...]
    builder: str
    isolation: str
    level: str
    unsafe: tuple[str, ...]
    base_scan: dict[str, Any]
    made_from: tuple[Ingredient, ...] = field(name="from")


class Generation(Facts, frozen=True, kw_only=True):
    """An earlier checkpoint, which a later one began from: its tree, and what it was made from."""

    tree: str
    lineage: Lineage


class Decision(Facts, frozen=True, kw_only=True):
    """The signed verdict: its file, what it states, and whose key signed it, if the policy names it."""

    file: str
    result: str
    time: str
    by: str | None


class PolicyUsed(Facts, frozen=True, kw_only=True):
    """The policy that was decided under."""

    name: str
    version: int
    sha256: str
    profile: str
    file: str


class SealUsed(Facts, frozen=True, kw_only=True):
    """A seal that counts for the data of the run."""

    name: str
    version: str
    by: str
    custodian: str
    tree: str | None


class DecideFacts(Sized, frozen=True, kw_only=True):
    """``decide``: the verdict, and all that it rests on.

    ``attempts`` is how many the ledger knows for the tree, ``unreached`` the evidence that no step made,
    ``keys`` the keys of all who signed, in base64.
    """

    run: str
    evidence: str
    decided: Decision
    tree: str
    manifest: str
    attempt: str | None
    attempts: int
    gates: tuple[GateFacts, ...]
    unreached: tuple[str, ...]
    policy: PolicyUsed
    repository: str
    uncounted: Uncounted
    lineage: Lineage | None
    controls: tuple[Control, ...] = field(name="walls")
    seals: tuple[SealUsed, ...]
    keys: dict[str, str]


class RecordFacts(Facts, frozen=True, kw_only=True):
    """``record``: the entry that closed the attempt, and the ledger's head, where there is a ledger."""

    tree: str
    sequence: int | None = None
    size: int | None = None
    root: str | None = None


class PromoteFacts(DecideFacts, frozen=True, kw_only=True):
    """``promote``: the decision, where it stopped, what was recorded, and the report's file."""

    model: str
    to: str
    stopped: str | None
    recorded: RecordFacts | None
    report: str | None = None


# --- Registries ------------------------------------------------------------------------------------


class Stored(Facts, frozen=True, kw_only=True):
    """A model in a registry: the digests of its manifest and its tree."""

    manifest: str
    tree: str


class PushFacts(Stored, frozen=True, kw_only=True):
    """``push``: the tag, how many blobs were sent, and the release that the tag names."""

    tag: str | None
    blobs: int
    release: int | None = None
    not_after: str | None = field(name="notAfter", default=None)


class PullFacts(Stored, frozen=True, kw_only=True):
    """``pull``: the run that made the model, and the release that the tag named."""

    run: str
    release: int | None = None
    not_after: str | None = field(name="notAfter", default=None)


class PullForeignFacts(Stored, frozen=True, kw_only=True):
    """``pull --public-key``: the purpose is always ``integrity``; why other signatures did not count."""

    purpose: str
    uncounted: tuple[str, ...]


class RenewFacts(Stored, frozen=True, kw_only=True):
    """``renew``: the release that the tag names now."""

    release: int
    not_after: str = field(name="notAfter")


# --- The ledger ------------------------------------------------------------------------------------


class EntryFacts(Facts, frozen=True, kw_only=True):
    """An entry of the ledger in one line."""

    sequence: int
    time: str
    event: str
    what: str


class LedgerFacts(Facts, frozen=True, kw_only=True):
    """``ledger list``: every entry, and the head."""

    entries: tuple[EntryFacts, ...]
    size: int
    root: str


class LedgerVerifyFacts(Facts, frozen=True, kw_only=True):
    """``ledger verify``: the head, and what it was compared with."""

    size: int
    root: str
    anchored: bool
    beside: str | None
    summary: str


class Derivation(Facts, frozen=True, kw_only=True):
    """What a sealed tree was made from, as its seal states: the data's name, the inputs, and the code."""

    tree: str
    name: str
    version: str
    made_from: tuple[Ingredient, ...] = field(name="from")


class Happened(Facts, frozen=True, kw_only=True):
    """An entry of the ledger about one tree."""

    sequence: int
    time: str
    event: str
    command: str
    run: str | None
    attempt: str | None
    result: str | None
    detail: dict[str, Any]


class TraceFacts(Facts, frozen=True, kw_only=True):
    """``trace``: what the tree was made from, in earlier generations too, and what the ledger knows of it."""

    tree: str
    lineage: Lineage | None
    history: tuple[Happened, ...]
    earlier: tuple[Generation, ...] = ()
    derived: tuple[Derivation, ...] = ()


OF: Mapping[str, tuple[type[Facts], ...]] = {
    "copy": (CopyFacts,),
    "decide": (DecideFacts,),
    "digest": (DigestFacts,),
    "doctor": (DoctorFacts,),
    "evaluate": (EvaluateFacts,),
    "explain": (ExplainFacts,),
    "export-metrics": (ExportFacts,),
    "init": (InitFacts,),
    "keygen": (KeyFacts,),
    "ledger": (LedgerFacts,),
    "ledger verify": (LedgerVerifyFacts,),
    "logs": (LogsFacts,),
    "policy check": (PolicyFacts,),
    "policy explain": (PolicyTextFacts,),
    "policy migrate": (MigrateFacts,),
    "policy revoke": (PolicyEditFacts,),
    "policy rotate": (PolicyEditFacts,),
    "policy set-model": (PolicyEditFacts,),
    "policy sign": (PolicyFacts,),
    "promote": (PromoteFacts,),
    "public-key": (KeyFacts,),
    "pull": (PullFacts, PullForeignFacts),
    "push": (PushFacts,),
    "record": (RecordFacts,),
    "renew": (RenewFacts,),
    "run": (TrainFacts, RehearseFacts),
    "runs": (RunsFacts,),
    "scan": (ScanFacts,),
    "stage": (StageFacts,),
    "seal": (SealFacts,),
    "sign": (NoFacts,),
    "sign-evaluation": (EvaluateFacts,),
    "sign-scan": (NoFacts,),
    "signer": (SignerFacts,),
    "trace": (TraceFacts,),
    "train": (TrainFacts,),
    "verify": (VerifyFacts, VerifyForeignFacts),
    "verify-data": (VerifyDataFacts,),
}
"""The facts of each command, by the name that its results bear."""
