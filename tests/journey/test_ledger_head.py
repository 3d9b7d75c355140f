"""A signed head that lies beside the ledger is compared, and nobody calls the ledger anchored for it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.ledger.checkpoint import checkpoint
from tuneguard.ledger.store import SqliteStore
from tuneguard.signing.key import KeyType
from world.keys import signer

if TYPE_CHECKING:
    from projects import ProjectFolder


def kept(project: ProjectFolder) -> SqliteStore:
    """The project's ledger, its head signed and laid beside it as `promote` does."""
    store = SqliteStore(project.path / ".tuneguard/ledger.db")
    store.head_file.write_bytes(checkpoint("tuneguard.dev/demo", store.head(), signer(KeyType.ED25519)))
    return store


def looked(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = project("ledger", "verify", "--json", *more)
    return code, json.loads(capsys.readouterr().out)


def rewritten(store: SqliteStore, statement: str) -> None:
    with closing(sqlite3.connect(store.path)) as ledger, ledger:
        ledger.execute(statement)


CUT = "DELETE FROM entries WHERE sequence = (SELECT max(sequence) FROM entries)"
OTHER = (
    "UPDATE entries SET leaf = CAST(replace(CAST(leaf AS TEXT), 'seal', 'scan') AS BLOB) WHERE sequence = 0"
)


def test_a_head_beside_the_ledger_that_agrees_is_named_and_anchors_nothing(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(project)

    code, result = looked(project, capsys)

    assert code == 0
    assert result["facts"]["anchored"] is False
    assert result["facts"]["beside"] == "ledger.head"
    assert result["facts"]["summary"] == (
        "internally consistent, not anchored; consistent with ledger.head beside it"
    )
    assert any("can rewrite both" in note for note in result["notes"])


def test_an_older_head_beside_the_ledger_agrees(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kept(project)
    store.append(event="begun", command="run")

    assert looked(project, capsys)[0] == 0


@pytest.mark.parametrize(("statement", "rule"), [(CUT, "L03"), (OTHER, "L04")])
@pytest.mark.parametrize("given", [False, True])
def test_attack_a_ledger_changed_by_somebody_who_left_the_head_beside_it(
    project: ProjectFolder, statement: str, rule: str, given: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kept(project)
    rewritten(store, statement)
    head = ("--head", str(store.head())) if given else ()

    code, result = looked(project, capsys, *head)

    assert code == 1
    assert rule in [finding["rule"] for finding in result["findings"]]
    assert "ledger.head beside it" in result["findings"][-1]["message"]
    assert result["facts"]["anchored"] is False
    assert result["facts"]["summary"] == "not consistent"


@pytest.mark.parametrize(
    "held", [b"", b"not a note\n", b"tuneguard.dev/x\n1\nAAAA\n\n\xe2\x80\x94 a AAAAAAA=\n"]
)
def test_a_head_beside_the_ledger_that_is_none_refuses(
    project: ProjectFolder, held: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(project).head_file.write_bytes(held)

    code, result = looked(project, capsys)

    assert code == 1
    assert [finding["rule"] for finding in result["findings"]] == ["L05"]


def test_attack_a_link_in_place_of_the_head(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kept(project).head_file
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")

    assert looked(project, capsys)[0] == 1


def test_a_head_that_was_kept_elsewhere_anchors_as_before(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    store = kept(project)

    code, result = looked(project, capsys, "--head", str(store.head()))

    assert (code, result["facts"]["anchored"]) == (0, True)


def test_each_ledger_has_a_head_of_its_own(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(project)
    other = SqliteStore(project.path / ".tuneguard/other.db")
    other.append(event="begun", command="run")

    code, result = looked(project, capsys, "--ledger", ".tuneguard/other.db")

    assert (code, result["facts"]["beside"]) == (0, None)
