"""Tuneguard secures a fine-tuning pipeline, from the data to the served model.

The journey, each arrow leaving signed evidence::

    data ─seal→ sealed data ─verify→ train (sandboxed) ─sign→ checkpoint
         → verify → scan → evaluate → decide → push → registry → pull

The library does what the command line does, in the same words. Every function returns a `Result`: a
verdict (``passed``, ``refused``, ``not-understood``, ``integrity-only``), findings, and what was made.

    >>> import tempfile, pathlib, tuneguard
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "model"
    >>> folder.mkdir()
    >>> _ = (folder / "config.json").write_text("{}")
    >>> result = tuneguard.digest(folder)
    >>> result.verdict
    <Verdict.PASSED: 'passed'>
    >>> result.subjects[0].digest[:12]
    'f0c39c917b58'

Importing this package is cheap: each name is loaded when it is first used. `docs/library.md` lists them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneguard.errors import (
        CannotLook,
        ChangedWhileRead,
        ConfigurationError,
        ForbiddenTree,
        Interrupted,
        NotUnderstood,
        Problem,
        Refused,
        TuneguardError,
        UsageError,
    )
    from tuneguard.findings import EvidenceRef, Finding, Location, Result, Severity, Skipped, Subject, Verdict
    from tuneguard.journey.decide import decide
    from tuneguard.journey.digest import digest
    from tuneguard.journey.doctor import doctor
    from tuneguard.journey.evaluate import evaluate
    from tuneguard.journey.explain import explain
    from tuneguard.journey.export_metrics import export_metrics
    from tuneguard.journey.init import init
    from tuneguard.journey.keys import keygen, public_key
    from tuneguard.journey.ledgers import entries as ledger_list
    from tuneguard.journey.ledgers import verify as ledger_verify
    from tuneguard.journey.policies import check as policy_check
    from tuneguard.journey.policies import explain as policy_explain
    from tuneguard.journey.policies import migrate as policy_migrate
    from tuneguard.journey.policies import revoke as policy_revoke
    from tuneguard.journey.policies import rotate as policy_rotate
    from tuneguard.journey.policies import set_model as policy_set_model
    from tuneguard.journey.policies import sign as policy_sign
    from tuneguard.journey.promote import promote
    from tuneguard.journey.pull import pull
    from tuneguard.journey.pull_foreign import pull_foreign
    from tuneguard.journey.push import push
    from tuneguard.journey.rehearse import rehearse
    from tuneguard.journey.renew import renew
    from tuneguard.journey.run import run
    from tuneguard.journey.runs import logs, runs
    from tuneguard.journey.scan import scan
    from tuneguard.journey.seal import seal
    from tuneguard.journey.sign import sign
    from tuneguard.journey.stage import stage
    from tuneguard.journey.trace import trace
    from tuneguard.journey.verify import verify_data, verify_foreign
    from tuneguard.journey.verify import verify_tree as verify
    from tuneguard.project.project import Project

__version__ = "0.1.0"

__all__ = [
    "CannotLook",
    "ChangedWhileRead",
    "ConfigurationError",
    "EvidenceRef",
    "Finding",
    "ForbiddenTree",
    "Interrupted",
    "Location",
    "NotUnderstood",
    "Problem",
    "Project",
    "Refused",
    "Result",
    "Severity",
    "Skipped",
    "Subject",
    "TuneguardError",
    "UsageError",
    "Verdict",
    "__version__",
    "decide",
    "digest",
    "doctor",
    "evaluate",
    "explain",
    "export_metrics",
    "init",
    "keygen",
    "ledger_list",
    "ledger_verify",
    "logs",
    "policy_check",
    "policy_explain",
    "policy_migrate",
    "policy_revoke",
    "policy_rotate",
    "policy_set_model",
    "policy_sign",
    "promote",
    "public_key",
    "pull",
    "pull_foreign",
    "push",
    "rehearse",
    "renew",
    "run",
    "runs",
    "scan",
    "seal",
    "sign",
    "stage",
    "trace",
    "verify",
    "verify_data",
    "verify_foreign",
]

_WHERE = {
    "doctor": "tuneguard.journey.doctor:doctor",
    "init": "tuneguard.journey.init:init",
    "keygen": "tuneguard.journey.keys:keygen",
    "public_key": "tuneguard.journey.keys:public_key",
    "policy_sign": "tuneguard.journey.policies:sign",
    "policy_check": "tuneguard.journey.policies:check",
    "policy_explain": "tuneguard.journey.policies:explain",
    "policy_migrate": "tuneguard.journey.policies:migrate",
    "policy_set_model": "tuneguard.journey.policies:set_model",
    "policy_revoke": "tuneguard.journey.policies:revoke",
    "policy_rotate": "tuneguard.journey.policies:rotate",
    "digest": "tuneguard.journey.digest:digest",
    "stage": "tuneguard.journey.stage:stage",
    "seal": "tuneguard.journey.seal:seal",
    "sign": "tuneguard.journey.sign:sign",
    "verify": "tuneguard.journey.verify:verify_tree",
    "verify_data": "tuneguard.journey.verify:verify_data",
    "verify_foreign": "tuneguard.journey.verify:verify_foreign",
    "scan": "tuneguard.journey.scan:scan",
    "evaluate": "tuneguard.journey.evaluate:evaluate",
    "run": "tuneguard.journey.run:run",
    "runs": "tuneguard.journey.runs:runs",
    "logs": "tuneguard.journey.runs:logs",
    "export_metrics": "tuneguard.journey.export_metrics:export_metrics",
    "decide": "tuneguard.journey.decide:decide",
    "promote": "tuneguard.journey.promote:promote",
    "push": "tuneguard.journey.push:push",
    "pull": "tuneguard.journey.pull:pull",
    "pull_foreign": "tuneguard.journey.pull_foreign:pull_foreign",
    "rehearse": "tuneguard.journey.rehearse:rehearse",
    "renew": "tuneguard.journey.renew:renew",
    "trace": "tuneguard.journey.trace:trace",
    "ledger_list": "tuneguard.journey.ledgers:entries",
    "ledger_verify": "tuneguard.journey.ledgers:verify",
    "explain": "tuneguard.journey.explain:explain",
    "Project": "tuneguard.project.project:Project",
    "Result": "tuneguard.findings:Result",
    "Verdict": "tuneguard.findings:Verdict",
    "Finding": "tuneguard.findings:Finding",
    "Location": "tuneguard.findings:Location",
    "Severity": "tuneguard.findings:Severity",
    "Skipped": "tuneguard.findings:Skipped",
    "Subject": "tuneguard.findings:Subject",
    "EvidenceRef": "tuneguard.findings:EvidenceRef",
    "TuneguardError": "tuneguard.errors:TuneguardError",
    "Problem": "tuneguard.errors:Problem",
    "Refused": "tuneguard.errors:Refused",
    "ForbiddenTree": "tuneguard.errors:ForbiddenTree",
    "ChangedWhileRead": "tuneguard.errors:ChangedWhileRead",
    "UsageError": "tuneguard.errors:UsageError",
    "ConfigurationError": "tuneguard.errors:ConfigurationError",
    "CannotLook": "tuneguard.errors:CannotLook",
    "NotUnderstood": "tuneguard.errors:NotUnderstood",
    "Interrupted": "tuneguard.errors:Interrupted",
}

if not TYPE_CHECKING:  # a type checker would take a module with `__getattr__` to have every name

    def __getattr__(name: str) -> object:
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = _WHERE[name].partition(":")
        value = getattr(import_module(module), attribute)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
