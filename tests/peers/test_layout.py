"""oras and our image layouts: it pulls them, finds the evidence, and we read what it attaches."""

from __future__ import annotations

import json

from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from world.layouts import FILES, MODEL, push


def test_oras_pulls_every_file_that_we_pushed(oras, tmp_path, proves):
    push(tmp_path / "registry")

    oras("pull", "--oci-layout", "registry:v1", "-o", "out", cwd=tmp_path)

    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == FILES
    proves("oras", "reads", "a model in an image layout, with its evidence")


def test_oras_finds_the_evidence_that_we_attached(oras, tmp_path):
    push(tmp_path / "registry")

    found = json.loads(
        oras("discover", "--oci-layout", "--format", "json", "registry:v1", cwd=tmp_path).stdout
    )

    kinds = [each["artifactType"] for each in found.get("referrers", found.get("manifests"))]
    assert kinds == [oci.BUNDLE_TYPE] * 2


def test_we_find_what_oras_attached_and_write_on_after_it(oras, tmp_path, proves):
    layout = push(tmp_path / "registry")
    (tmp_path / "third.json").write_text('{"piece":3}')
    attach = ("attach", "--oci-layout", "--artifact-type", oci.BUNDLE_TYPE, "registry:v1")
    oras(*attach, f"third.json:{oci.BUNDLE_TYPE}", cwd=tmp_path)

    layout.tag("v2", MODEL.digest)

    pieces = list(client.bundles(layout, MODEL.digest, files=10, limit=1000))
    assert sorted(pieces) == [b'{"piece":1}', b'{"piece":2}', b'{"piece":3}']
    assert oras("repo", "tags", "--oci-layout", "registry", cwd=tmp_path).stdout.split() == ["v1", "v2"]
    proves("oras", "writes", "evidence attached to a model in an image layout")
