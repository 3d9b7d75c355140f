"""Registries and their tools: what we push they pull, what a server lacks we make up for."""

from __future__ import annotations

import io
import json

import pytest

from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from tuneguard.oci.http import Timing, Transport
from tuneguard.oci.server import Server
from world.layouts import EVIDENCE, FILES, MODEL


def opened(host, **more):
    return Server(Transport(host, timing=Timing(tries=2)), "models/demo", **more)


def push(registry):
    """How many blobs were sent."""
    sent = sum(
        registry.put_blob(layer.digest, layer.size, lambda path=layer.path: io.BytesIO(FILES[path]))
        for layer in MODEL.layers
    )
    sent += registry.put_blob(
        MODEL.config_descriptor.digest, len(MODEL.config), lambda: io.BytesIO(MODEL.config)
    )
    registry.put_manifest(MODEL.data)
    for piece in EVIDENCE:
        client.attach(registry, oci.referrer(MODEL.descriptor, piece))
    registry.tag("v1", MODEL.digest)
    return sent


@pytest.fixture(params=["refreg", "distribution"])
def host(request):
    return request.getfixturevalue(request.param)


def test_what_we_push_oras_and_crane_pull(host, oras, crane, tmp_path, proves):
    push(opened(host, piece=500_000))
    name = f"{host}/models/demo:v1"
    oras("pull", "--plain-http", name, "-o", tmp_path / "got")
    assert {path.name: path.read_bytes() for path in (tmp_path / "got").iterdir()} == FILES
    assert crane("digest", "--insecure", name).stdout.strip() == MODEL.digest
    listed = json.loads(oras("discover", "--plain-http", "--format", "json", name).stdout)
    assert len(listed.get("referrers") or listed["manifests"]) == len(EVIDENCE)
    for peer in ("oras", "crane"):
        proves(peer, "reads", "a model that we pushed to a registry")


def test_we_pull_from_a_real_registry_what_we_pushed_and_send_nothing_twice(host):
    registry = opened(host)
    push(registry)
    assert push(registry) == 0
    for layer in MODEL.layers:
        assert b"".join(registry.read_blob(layer.digest, layer.size)) == FILES[layer.path]
    assert sorted(client.bundles(registry, MODEL.digest, files=9, limit=9999)) == sorted(EVIDENCE)
    assert registry.resolve("v1") == MODEL.digest


def test_a_blob_is_mounted_from_another_repository_of_a_real_registry(distribution):
    push(opened(distribution))
    other = Server(Transport(distribution, timing=Timing(tries=1)), "models/other", mount_from="models/demo")
    layer = max(MODEL.layers, key=lambda each: each.size)
    assert other.put_blob(layer.digest, layer.size, lambda: pytest.fail("was sent"))
    assert other.has_blob(layer.digest, layer.size)
