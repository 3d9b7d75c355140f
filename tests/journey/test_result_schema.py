"""What commands print with ``--json`` is what the published schema of results describes, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from world import result_schema

if TYPE_CHECKING:
    from projects import ProjectFolder

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "result.schema.json"
NEW = ("--passphrase-env", "TG_PASSPHRASE")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("digest", "data/train"), 0),
        (("digest", "missing"), 2),
        (("explain", "V07"), 0),
        (("keygen", "new.key", *NEW), 0),
        (("ledger", "list"), 0),
        (("ledger", "verify"), 0),
        (("policy", "check", "policy.yaml"), 0),
        (("policy", "explain", "policy.yaml"), 0),
        (("policy", "migrate", "policy.yaml"), 2),
        (("scan", "models/base"), 0),
        (("scan", "code"), 1),
        (("trace", "data/train"), 0),
        (("verify", "data/train"), 4),
        (("verify", "data/train", "--for", "train"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_the_json_of_a_command_is_as_the_schema_says(
    project: ProjectFolder, command: tuple[str, ...], code: int, capfd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TG_PASSPHRASE", "correct horse")

    assert project(*command, "--json") == code

    assert result_schema.faults(json.loads(SCHEMA.read_text()), json.loads(capfd.readouterr().out)) == []
