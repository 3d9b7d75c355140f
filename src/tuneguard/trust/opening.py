"""From a file of evidence to a statement by a signer who is allowed to make it: steps V02 to V05.

The order is the point. Nothing in a piece is decoded before its signature has been checked
by a key of the policy, and that key's owner has been found to be believable now.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.predicate import predicates_by_type
from tuneguard.attest.predicates.oms import Signature
from tuneguard.attest.predicates.provenance import Provenance
from tuneguard.attest.predicates.seal import Seal
from tuneguard.attest.statement import PAYLOAD_TYPE, Statement
from tuneguard.errors import TuneguardError
from tuneguard.files import printable
from tuneguard.signing.bundle import Bundle, read_bundle
from tuneguard.trust.request import Fault, Question, Stop

if TYPE_CHECKING:
    from tuneguard.artifact.manifest import Difference
    from tuneguard.attest.evidence import Piece
    from tuneguard.trust.policy import Identity, Policy, Role
    from tuneguard.typed import JsonStruct


@dataclass(frozen=True)
class Opened:
    """A piece whose signer may sign this kind of evidence; its content is still to be checked."""

    question: Question
    piece: Piece
    payload: bytes
    identity: Identity
    roles: tuple[Role, ...]
    statement: Statement
    kind: str
    body: JsonStruct

    @cached_property
    def listed(self) -> Manifest | None:
        """The files that it lists, for the kinds that do (of an OMS signature without sizes).

        Raises:
            Stop: it lists something that is no tree, or byte ranges in place of files.
        """
        match self.body:
            case Seal():
                return self.body.manifest
            case Signature():
                return _listed_by(self.body)
            case _:
                return None

    @property
    def about(self) -> str | None:
        """The tree digest that it is about; of a list of files, the list's own."""
        return self.statement.tree if self.listed is None else self.listed.digest

    @property
    def of_part(self) -> bool:
        """Whether it is about a whole run, of which the tree is a part that the policy allows."""
        return isinstance(self.body, Signature | Provenance) and self.about in self.question.parts

    @cached_property
    def difference(self) -> Difference | None:
        """What the tree has that differs from the files listed; None where that cannot be asked."""
        if self.listed is None or self.question.manifest is None or self.of_part:
            return None
        return self.listed.compare(self.question.manifest)


def _listed_by(signature: Signature) -> Manifest:
    if signature.serialization.method != "files":
        raise Stop(
            Fault(
                "V06",
                f"lists {signature.serialization.method}, not whole files",
                fix="sign the tree with `tuneguard sign`",
            )
        )
    try:
        return Manifest(tuple(File(path, 0, sha256) for path, sha256 in sorted(signature.files)))
    except TuneguardError as error:
        raise Stop(Fault("V06", f"lists files that are no tree: {error}")) from error


def open_bundle(piece: Piece) -> Bundle:
    """A piece of evidence is a Sigstore bundle with one DSSE signature over an in-toto statement.

    Any other entry of the evidence folder counts for nothing: a file that does not parse, a link, an
    envelope of another payload type (for example a policy's signature). It is listed, and it can
    neither pass nor refuse a tree.
    """
    if piece.fault is not None:
        raise Stop(Fault("V02", piece.fault))
    try:
        bundle = read_bundle(piece.data, printable(piece.name))
    except TuneguardError as error:
        raise Stop(Fault("V02", f"is not a bundle: {error.what}")) from error
    if bundle.payload_type != PAYLOAD_TYPE:
        raise Stop(
            Fault("V02", f"is no statement: its payload type is {printable(bundle.payload_type[:80])}")
        )
    return bundle


def find_signer(bundle: Bundle, policy: Policy) -> Identity:
    """The signature is by the key of an identity that the policy names.

    Each key of the policy is tried over the exact bytes. The key id and the hint in the bundle are
    claims of the bundle's author and choose nothing. A piece that fails here was changed after it was
    signed, or its signer is not in the policy: `tuneguard policy explain` lists the signers that are.
    """
    for identity in policy.identities.values():
        if bundle.signed_by(identity.key):
            return identity
    raise Stop(
        Fault(
            "V03",
            "is signed by no key that the policy names",
            why="the bundle was changed after it was signed, or another key signed it",
        )
    )


def open_statement(bundle: Bundle, identity: Identity, piece: Piece, question: Question) -> Opened:
    """A role lets the signer sign this kind of evidence about this model.

    The signed payload is decoded at this step: an in-toto statement whose predicate is of a kind that
    Tuneguard reads. The signer must be in a role whose `evidence` names this kind and whose `models`
    name the expected model. An honest key in another role, or for another model, counts for nothing
    here. The predicate is then read strictly; unknown fields are ignored.
    """
    where = printable(piece.name)
    try:
        statement = Statement.decode(bundle.payload, where)
    except TuneguardError as error:
        raise Stop(Fault("V05", f"is signed by {identity.name} but is no statement: {error.what}")) from error
    predicate = predicates_by_type().get(statement.predicate_type)
    if predicate is None:
        type_ = printable(statement.predicate_type[:120])
        raise Stop(Fault("V05", f"is about something that does not count here: {type_}", aside=True))
    roles = question.roles_of(identity, predicate.id)
    if not roles:
        about = "" if question.integrity_only else f" about {question.expectation.model}"
        raise Stop(
            Fault(
                "V05",
                f"no role lets {identity.name} ({identity.custodian}) sign {predicate.id}{about}",
                fix="have it signed by somebody whom the policy believes about this",
            )
        )
    try:
        body = predicate.read(statement, where)
    except TuneguardError as error:
        raise Stop(Fault("V05", f"is signed by {identity.name} but cannot be read: {error.what}")) from error
    return Opened(question, piece, bundle.payload, identity, roles, statement, predicate.id, body)
