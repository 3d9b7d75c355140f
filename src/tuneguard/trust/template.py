"""What `init` writes: a development policy and a pipeline, as texts that a person goes on editing.

The policy leaves bases and evaluation empty, and empty means no: `policy set-model` fills them in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneguard.errors import UsageError
from tuneguard.fields import is_name
from tuneguard.nodes import shown
from tuneguard.records import written
from tuneguard.sandbox.state import ControlState
from tuneguard.trust.policy import parse_policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tuneguard.signing.key import PublicKey

EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "data-steward": ("seal",),
    "builder": ("signature", "provenance"),
    "scanner": ("scan",),
    "evaluator": ("evaluation",),
    "approver": ("approval",),
    "promoter": ("scan", "evaluation", "verdict", "release"),
}
"""Which evidence each role gives in a new policy. Without other judges the promoter judges."""

DEVELOPMENT_ROLES = ("data-steward", "builder", "scanner", "evaluator", "promoter")
"""Whose keys `init` makes."""

_POLICY = """\
# Whom this project believes. In plain words: tuneguard policy explain policy.yaml
# A DEVELOPMENT policy: one person holds every key below, under a custodian's name for each role.
# It counts only with policy.yaml.sigstore.json beside it, the root's signature over these exact bytes:
# after an edit, raise the version and sign again: tuneguard policy sign policy.yaml --key root=URI
apiVersion: tuneguard.dev/v1alpha2
kind: Policy
metadata: {{name: {name}, version: 1, expires: {expires:%Y-%m-%dT%H:%M:%SZ}}}
profile: development

identities:
{identities}
roles:
{roles}
# Custodians, not only keys: nobody both builds and promotes.
separationOfDuties: [[builder, promoter]]
{log}
models:
  {name}:
    repository: {repository}
    builder: [{builder}]
    data: [{{name: {data}, steward: [{steward}]}}]
    # Base and evaluation, by their tree digests, are filled in by:
    #   tuneguard policy set-model {name} --base DIR --evaluation DIR --classifier DIR --key root=URI
    base: []
    # What may train it. Before production, fix them all: a free command runs what it likes beside any code.
    #   tuneguard policy set-model {name} --code DIR --config FILE --command --key root=URI
    code: any
    config: any
    command: any
    env: any

require:
  train: [{{seal: data-steward, maxAge: 90d}}]
  promote:
    - {{signature: builder}}
    - {{provenance: builder}}
    - {{scan: [scanner, promoter], maxAge: 1d}}
    - {{evaluation: [evaluator, promoter], maxAge: 7d}}
  load: [{{verdict: promoter}}]
  # What a tag names is believed for so long; then: tuneguard renew
  release: [{{release: promoter, maxAge: 30d}}]

# What this machine's sandbox must have shown of each isolation control, at least.
controls: {controls}

gates:
  scan: {{refuse: [medium, high, critical]}}
  evaluation: {{accuracy: {{min: 0.85}}, toxicity: {{max: 0.02}}, confidence: 0.95}}
"""

_PIPELINE = """\
# What is trained on what, and where it goes. Each key: docs/pipeline.md
apiVersion: tuneguard.dev/v1alpha1
kind: Pipeline
metadata: {{name: {name}}}

data:
  train: {{path: data/train}}        # sealed: tuneguard seal data/train --as dataset --name {data} …
  eval: {{path: data/eval}}          # sealed --as evaluation; never inside the training sandbox
base: {{path: models/base}}          # sealed --as base

train:
  code: {{path: code}}
  command:                         # a list, no shell; python is the interpreter that runs Tuneguard
    - python
    - "{{code}}/train.py"
    - "--config={{config}}"
    - "--data-dir={{data}}"
    - "--base={{base}}"
    - "--output-dir={{checkpoint}}"
    - "--run-id={{run}}"
  config: train-config.yaml
  expectedDuration: 1h             # stopped after half as long again
  scratch: 2Gi                     # intermediate files: {{scratch}}

checkpoint: {{path: "runs/{{run}}"}}
evaluation: {{classifier: {{path: models/toxicity}}}}       # sealed --as base
registry: {{push: {repository}, tag: "ft-{{run}}"}}         # oci:FOLDER, which oras and skopeo read
"""


DEFAULT_REGISTRY = "oci:registry"


def development_policy(
    name: str,
    keys: Mapping[str, PublicKey],
    *,
    log: PublicKey | None,
    controls: Mapping[str, ControlState],
    expires: datetime,
    repository: str | None = None,
    data: str | None = None,
) -> bytes:
    """The policy of a new project: one custodian ``dev-<role>`` for each role in `keys`.

    Args:
        controls: the least state of each isolation control, as this machine can prove them.
        expires: an aware moment.
        repository: by default ``registry.internal/models/<name>``.
        data: the name that the training data is sealed under, by default ``<name>-train``.

    Raises:
        UsageError: `name` is not a name.
    """
    _check_name(name)
    identities = "".join(
        f"  dev-{role}: {{key: {key.base64}, custodian: dev-{role}}}\n" for role, key in keys.items()
    )
    roles = "".join(
        f"  {role}: {{anyOf: [dev-{role}], threshold: 1, "
        f"evidence: [{', '.join(EVIDENCE[role])}], models: [{written(name)}]}}\n"
        for role in keys
    )
    text = _POLICY.format(
        name=written(name),
        expires=expires,
        identities=identities,
        roles=roles,
        log="" if log is None else f"log: {{key: {log.base64}}}\n",
        repository=written(repository or default_repository(name)),
        builder="dev-builder" if "builder" in keys else "",
        steward="dev-data-steward" if "data-steward" in keys else "",
        data=written(data or default_data(name)),
        controls=_controls(controls),
    )
    result = text.encode("utf-8")
    parse_policy(result, "policy.yaml")
    return result


def pipeline(name: str, *, repository: str | None = None, data: str | None = None) -> bytes:
    """The pipeline of a new project. The arguments are those of `development_policy`.

    Without a `repository` it pushes to a folder of the project, for which no server is needed.

    Raises:
        UsageError: `name` is not a name.
    """
    _check_name(name)
    text = _PIPELINE.format(
        name=written(name),
        data=written(data or default_data(name)),
        repository=written(repository or DEFAULT_REGISTRY),
    )
    return text.encode("utf-8")


def default_repository(name: str) -> str:
    """Where a model of that name lives by default.

    >>> default_repository("Support_Llama")
    'registry.internal/models/support-llama'
    """
    return f"registry.internal/models/{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"


def default_data(name: str) -> str:
    """What a model's training data is called by default."""
    return f"{name[:120]}-train"


def _controls(controls: Mapping[str, ControlState]) -> str:
    if set(controls.values()) <= {ControlState.PROVEN}:
        return "all"
    return "{" + ", ".join(f"{control}: {least}" for control, least in controls.items()) + "}"


def _check_name(name: str) -> None:
    if not is_name(name):
        raise UsageError(
            f"`{shown(name)}` is not a name",
            help="use letters, digits and . _ @ + -, beginning with a letter or digit, at most 128",
        )
