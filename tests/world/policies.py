"""A policy file as its author writes it: YAML text with real keys, to be broken one line at a time."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tuneguard.signing.key import KeyType
from world.keys import signer

if TYPE_CHECKING:
    from tuneguard.signing.key import PublicKey
    from tuneguard.signing.signers.file import FileSigner

SET, CLASSIFIER, BASE = "5e" * 32, "c1" * 32, "ba" * 32

TEXT = """\
apiVersion: tuneguard.dev/v1alpha2
kind: Policy
metadata: {{name: support-llama, version: 1, expires: 2027-06-01T00:00:00Z}}
profile: production
identities:
  ci: {{key: {ci}, custodian: platform-team}}
  alice:
    {{key: {alice}, custodian: data-team, validFrom: 2026-01-01T00:00:00Z, validUntil: 2027-01-01T00:00:00Z}}
  pia: {{key: {pia}, custodian: release-team}}
  old: {{key: {old}, custodian: platform-team, revoked: {{at: 2026-05-01T00:00:00Z, reason: stolen}}}}
roles:
  data-steward: {{anyOf: [alice], threshold: 1, evidence: [seal], models: [support-llama]}}
  builder: {{anyOf: [ci, old], threshold: 1, evidence: [signature, provenance], models: [support-llama]}}
  promoter: {{anyOf: [pia], evidence: [scan, evaluation, verdict, release], models: [support-llama]}}
separationOfDuties: [[builder, promoter]]
log: {{key: {log}}}
timeAuthorities: []
models:
  support-llama:
    repository: registry.internal/models/support-llama
    builder: [ci]
    data: [{{name: tickets, steward: [alice]}}]
    base: [{base}]
    code: any
    evaluation:
      {{set: {set}, classifier: {classifier}, suites: {{accuracy: 1, toxicity: 1}}, minimumRows: 200}}
require:
  train: [{{seal: data-steward, maxAge: 90d}}]
  promote: [{{signature: builder}}, {{provenance: builder}}, {{scan: [scanner, promoter], maxAge: 1d}}]
  load: [{{verdict: promoter}}]
controls: all
gates:
  scan: {{refuse: [medium, high, critical]}}
"""


@functools.cache
def key(name: str) -> FileSigner:
    """The signing key behind a name, the same in every test of a session."""
    return signer(KeyType.ED25519 if name.startswith("log") else KeyType.P256)


def public(name: str) -> PublicKey:
    """The public key behind a name."""
    return key(name).public_key


def text(*changes: tuple[str, str]) -> str:
    """The policy's text, with each old part, which must be there, replaced by a new one."""
    written = TEXT.format(
        base=BASE,
        set=SET,
        classifier=CLASSIFIER,
        **{name: public(name).base64 for name in ("ci", "alice", "pia", "old", "log")},
    )
    for old, new in changes:
        assert old in written, f"nothing to replace: {old}"
        written = written.replace(old, new)
    return written
