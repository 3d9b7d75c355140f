"""`policy migrate`: an earlier policy as one of today, for the root to read and to sign."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import tuneguard
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.signer import open_signer
from tuneguard.trust.policy import POLICY_PAYLOAD_TYPE

if TYPE_CHECKING:
    from conftest import ProjectFolder

WORDS = (
    ("v1alpha2\nkind: Policy", "v1alpha1\nkind: Policy"),
    ("separationOfDuties:", "apart:"),
    ("evidence:", "says:"),
    ("controls:", "walls:"),
)


def sign(project: ProjectFolder, data: str) -> None:
    """The root's signature over the policy, as an earlier version made it."""
    root = open_signer(str(project.path.parent / "home/root.key"), lambda _: b"")
    bundle = make_bundle(root, POLICY_PAYLOAD_TYPE, data.encode())
    (project.path / "policy.yaml.sigstore.json").write_bytes(bundle)


@pytest.fixture
def latest(project: ProjectFolder) -> str:
    """The project's policy as it was before its words changed; what it is to become."""
    now = (project.path / "policy.yaml").read_text()
    before = now
    for word, old in WORDS:
        assert word in before
        before = before.replace(word, old)
    project.write("policy.yaml", before)
    sign(project, before)
    return now.replace("version: 2,", "version: 3,")


def test_the_new_policy_is_printed_and_how_it_differs_beside_it(
    project: ProjectFolder, latest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project.path / "policy.yaml").read_bytes()

    assert project("policy", "migrate") == 0

    printed = capsys.readouterr()
    assert printed.out == latest
    assert "-walls: " in printed.err
    assert "+controls: " in printed.err
    assert (
        "next: put it in that file's place, read it, and if every word is meant: tuneguard policy sign"
        in (printed.err)
    )
    assert (project.path / "policy.yaml").read_bytes() == before


def test_it_is_written_where_output_says_signed_and_believed(
    project: ProjectFolder, latest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("policy", "check") == 2
    assert "not read any more" in (said := capsys.readouterr().err)
    assert "tuneguard policy migrate policy.yaml" in said

    assert project("policy", "migrate", "--output", "new.yaml") == 0
    assert "+controls: " in capsys.readouterr().out
    assert (project.path / "new.yaml").read_text() == latest
    (project.path / "new.yaml").rename(project.path / "policy.yaml")
    assert project("policy", "check", "--quiet") == 1

    assert project("policy", "sign") == 0
    assert project("policy", "check", "--quiet") == 0


def test_as_json_and_in_the_library_both_texts_are_facts(
    project: ProjectFolder, latest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("policy", "migrate", "--json") == 0
    facts = json.loads(capsys.readouterr().out)["facts"]

    result = tuneguard.policy_migrate(project.path / "policy.yaml")

    assert facts["document"] == result.facts.document == latest
    assert "\n+controls: " in facts["difference"]
    assert (facts["signed"], facts["version"]) == (True, 3)


def test_attack_an_edit_of_the_old_policy_is_hidden_in_its_migration(
    project: ProjectFolder, latest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The difference shows new words alone, so what it is compared with must be what the root read once."""
    del latest
    edited = (project.path / "policy.yaml").read_text().replace("min: 0.85", "min: 0.10")
    project.write("policy.yaml", edited)

    assert project("policy", "migrate") == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "its bytes were changed afterwards" in printed.err
    assert (
        "help: restore what the root signed, or move the signature away and read the whole file"
        in printed.err
    )


def test_where_no_signature_is_the_whole_file_is_to_be_read(
    project: ProjectFolder, latest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.path / "policy.yaml.sigstore.json").unlink()

    assert project("policy", "migrate") == 0

    printed = capsys.readouterr()
    assert printed.out == latest
    assert "no signature lies beside it: read the whole file" in printed.err


def test_a_policy_of_today_is_not_migrated(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project("policy", "migrate") == 2
    assert "is a policy of tuneguard.dev/v1alpha2 already" in capsys.readouterr().err
