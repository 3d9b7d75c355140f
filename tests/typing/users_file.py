"""A user's file that `mypy --strict` accepts; each `reveal_type` is compared with what must be seen."""

from pathlib import Path
from typing import reveal_type

import tuneguard
from tuneguard import Finding, Location, Refused, Severity, TuneguardError, Verdict
from tuneguard.facts import Facts


def promoted(checkpoint: Path) -> bool:
    try:
        result = tuneguard.promote(checkpoint, to="oci:registry:v1", run="042")
    except Refused as error:
        return error.exit_code == 0 and error.help is None
    except TuneguardError:
        raise
    return result.verdict is Verdict.PASSED


def worst(result: tuneguard.Result[Facts]) -> tuple[Severity | None, Location | None]:
    findings: tuple[Finding, ...] = result.findings
    return (findings[0].severity, findings[0].location) if findings else (None, None)


reveal_type(tuneguard.digest)
reveal_type(tuneguard.ledger_verify(head=None))
reveal_type(tuneguard.policy_rotate)
reveal_type(tuneguard.scan("model").facts.files)
