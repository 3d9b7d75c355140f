"""Registries and their tools: what we push they pull, what a server lacks we make up for."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path

import pytest
from stack.processes import free_port, server

from conftest import need
from tuneguard.errors import CannotLook, UsageError
from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from tuneguard.oci.http import Timing, Transport
from tuneguard.oci.server import Server
from world.layouts import EVIDENCE, FILES, MODEL
from world.services import tls_of


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


# --- TLS and passwords -------------------------------------------------------------------------------

HASH = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"
"""bcrypt of ``correct horse``, for a registry that lives as long as a test."""


@pytest.fixture
def secured(tmp_path, monkeypatch):
    """CNCF distribution over TLS with its own certificate, for one user: host, certificate, configuration."""
    port = free_port()
    _, authority = tls_of(tmp_path)
    (tmp_path / "htpasswd").write_text(f"builder:{HASH}\n")
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\nlog: {{level: error}}\n"
        f"http: {{addr: '127.0.0.1:{port}', "
        f"tls: {{certificate: {tmp_path}/tls.pem, key: {tmp_path}/tls-key.pem}}}}\n"
        f"auth: {{htpasswd: {{realm: models, path: {tmp_path}/htpasswd}}}}\n"
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    command = [str(need("distribution")), "serve", str(tmp_path / "config.yml")]
    with server(command, log=tmp_path / "log", ready=f"tcp://127.0.0.1:{port}"):
        yield f"127.0.0.1:{port}", Path(authority), tmp_path / "config.json"


def logged_in(config, host, password="correct horse"):
    auth = base64.b64encode(f"builder:{password}".encode()).decode()
    config.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def over_tls(host, ca):
    """Who names authorities means TLS, on loopback too."""
    return Server(Transport(host, timing=Timing(tries=1), ca=ca), "models/demo")


def test_a_registry_with_a_certificate_of_its_own_and_a_password(secured, proves):
    host, ca, config = secured
    logged_in(config, host)

    push(over_tls(host, ca))
    assert over_tls(host, ca).resolve("v1") == MODEL.digest
    proves("distribution", "reads", "a model pushed over TLS with an own authority and a password")


def test_a_wrong_password_or_none_is_said_and_a_strange_certificate_gets_no_password(
    secured, tmp_path_factory
):
    host, ca, config = secured
    with pytest.raises(UsageError, match="does not let us in") as caught:
        over_tls(host, ca).resolve("v1")
    assert "docker login" in caught.value.help
    logged_in(config, host, "swordfish")
    with pytest.raises(UsageError, match="does not let us in") as caught:
        over_tls(host, ca).resolve("v1")
    assert "swordfish" not in str(caught.value)
    _, other = tls_of(tmp_path_factory.mktemp("other"))
    with pytest.raises(CannotLook, match="TLS certificate is not believed"):
        over_tls(host, Path(other)).resolve("v1")


def test_a_credential_helper_is_asked(secured, monkeypatch):
    host, ca, config = secured
    helper = config.with_name("docker-credential-tests")
    helper.write_text(
        "#!/bin/sh\nread host\n"
        '[ "$1" = get ] && echo \'{"Username": "builder", "Secret": "correct horse"}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{config.parent}:{os.environ['PATH']}")
    config.write_text(json.dumps({"credHelpers": {host: "tests"}}))

    assert over_tls(host, ca).resolve("v1") is None
