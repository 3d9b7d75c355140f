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

Importing this package is cheap: each name is loaded when it is first touched.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "digest": "tuneguard.journey.digest:digest",
    "seal": "tuneguard.journey.seal:seal",
    "sign": "tuneguard.journey.sign:sign",
    "verify": "tuneguard.journey.verify:verify_tree",
    "verify_data": "tuneguard.journey.verify:verify_data",
    "verify_foreign": "tuneguard.journey.verify:verify_foreign",
    "scan": "tuneguard.journey.scan:scan",
    "evaluate": "tuneguard.journey.evaluate:evaluate",
    "run": "tuneguard.journey.run:run",
    "promote": "tuneguard.journey.promote:promote",
    "push": "tuneguard.journey.push:push",
    "pull": "tuneguard.journey.pull:pull",
    "renew": "tuneguard.journey.renew:renew",
    "trace": "tuneguard.journey.trace:trace",
    "Surroundings": "tuneguard.journey.surroundings:Surroundings",
    "Result": "tuneguard.findings:Result",
    "TuneguardError": "tuneguard.errors:TuneguardError",
    "Verdict": "tuneguard.findings:Verdict",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 (the names are strings)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
