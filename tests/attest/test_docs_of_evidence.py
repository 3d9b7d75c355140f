"""The page about evidence: its example is read, its commands run, and no kind or field is left out."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.attest.predicate import body_of, predicates_by_type
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import PAYLOAD_TYPE, Statement
from tuneguard.signing.bundle import make_bundle
from tuneguard.signing.key import make_pair
from tuneguard.signing.signer import open_signer
from tuneguard.typed import written
from world.bodies import PROVENANCE
from world.keys import no_passphrase

PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def shell(command, folder, **variables):
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_example_is_evidence_that_we_read():
    (example,) = blocks("json")

    assert body_of(Statement.decode(example.encode(), "docs"), "docs")[0] == "scan"


def test_every_kind_is_in_the_table_with_its_type_and_its_schema():
    rows = re.findall(r"^\| `([a-z]+)` \| `([^`]+)` \|.*\|$", PAGE, re.MULTILINE)

    assert {(kind.id, kind.type) for kind in predicates_by_type().values()} == set(rows)


def test_every_field_of_the_build_type_is_explained():
    predicate = written(PROVENANCE)
    build, metadata = predicate["buildDefinition"], predicate["runDetails"]["metadata"]
    fields = [*build, *build["externalParameters"], *build["internalParameters"], *metadata]
    table = PAGE.partition("## The build type")[2].partition("## Check")[0]

    assert [field for field in fields if f"`{field}`" not in table and field != "buildType"] == []
    assert provenance.BUILD_TYPE in table


@pytest.fixture
def signed(tmp_path):
    """A tree, a key, and the tree's provenance in its evidence folder."""
    tree = tmp_path / "run-042"
    (tree / "weights").mkdir(parents=True)
    (tree / "weights" / "a file.bin").write_bytes(b"weights")
    (tree / "weights-index.json").write_bytes(b"{}")
    make_pair(tmp_path / "builder.key", passphrase=None)
    signer = open_signer(str(tmp_path / "builder.key"), no_passphrase)
    statement = provenance.PREDICATE.statement("run-042", hash_tree(tree).digest, PROVENANCE)
    return tree, evidence.write(
        evidence.folder_of(tree), "provenance", make_bundle(signer, PAYLOAD_TYPE, statement.encode())
    )


@pytest.mark.needs("openssl")
def test_the_commands_of_the_page_find_our_tree_digest_and_verify_our_evidence(signed, tmp_path):
    tree, bundle = signed
    digest, verify = blocks("sh")

    assert shell(digest, tmp_path, tree=tree).stdout.split()[0] == hash_tree(tree).digest
    done = shell(verify, tmp_path, bundle=bundle, key=tmp_path / "builder.pub")
    assert "Verified OK" in done.stdout
    assert json.loads((tmp_path / "payload.json").read_bytes())["subject"][0]["digest"] == {
        "dirHash": hash_tree(tree).digest
    }

    make_pair(tmp_path / "other.key", passphrase=None)
    assert shell(verify, tmp_path, bundle=bundle, key=tmp_path / "other.pub").returncode != 0


def test_the_files_name_begins_with_its_digest_as_the_page_says(signed):
    _, bundle = signed

    assert bundle.name == f"provenance-{hashlib.sha256(bundle.read_bytes()).hexdigest()[:16]}.sigstore.json"
