"""Other people's tools and our layouts, where a tool happens to be installed."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from world.layouts import FILES, MODEL, push

oras = pytest.mark.skipif(shutil.which("oras") is None, reason="oras is not installed")


def run(*arguments, folder):
    return subprocess.run(arguments, cwd=folder, check=True, capture_output=True, text=True).stdout


@oras
def test_oras_pulls_every_file_that_we_pushed(tmp_path):
    push(tmp_path / "registry")

    run("oras", "pull", "--oci-layout", "registry:v1", "-o", "out", folder=tmp_path)

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == FILES


@oras
def test_oras_finds_the_evidence_that_we_attached(tmp_path):
    push(tmp_path / "registry")

    found = json.loads(
        run("oras", "discover", "--oci-layout", "--format", "json", "registry:v1", folder=tmp_path)
    )

    kinds = [each["artifactType"] for each in found.get("referrers", found.get("manifests"))]
    assert kinds == [oci.BUNDLE_TYPE] * 2


@oras
def test_we_find_what_oras_attached_and_write_on_after_it(tmp_path):
    layout = push(tmp_path / "registry")
    (tmp_path / "third.json").write_text('{"piece":3}')
    attach = ("oras", "attach", "--oci-layout", "--artifact-type", oci.BUNDLE_TYPE, "registry:v1")
    run(*attach, f"third.json:{oci.BUNDLE_TYPE}", folder=tmp_path)

    layout.tag("v2", MODEL.digest)

    pieces = list(client.bundles(layout, MODEL.digest, files=10, limit=1000))
    assert sorted(pieces) == [b'{"piece":1}', b'{"piece":2}', b'{"piece":3}']
    assert run("oras", "repo", "tags", "--oci-layout", "registry", folder=tmp_path).split() == ["v1", "v2"]
