"""Intact is an answer of its own: 4. What is named as a key and is none is 2; 3 is "could not look".

A script that lets an intact base model through must not let one through that nobody looked at. And what is
only intact passes no step and stands in no evidence.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.attest.predicates import scan as scans
from tuneguard.cli.app import run
from tuneguard.engines.engine import Outcome, state_of
from tuneguard.errors import NotUnderstood
from tuneguard.findings import Verdict
from tuneguard.plan.step import Plan, Step
from tuneguard.progress import SILENT
from tuneguard.signing.key import make_pair
from tuneguard.typed import read
from world.certificates import authority, leaf
from world.engines import Scripted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


DIGEST = "sha256:" + "0" * 64
DOWN = f"127.0.0.1:1/models/base@{DIGEST}"
"""A registry where nobody listens."""

JUNK = {
    "empty": b"",
    "line end": b"\n",
    "cut": b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n",
    "frame": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "cut private": b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n",
    "cut certificate": b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUT0\n-----END CERTIFICATE-----\n",
    "page": b"<!DOCTYPE html><title>Sign in</title>",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "binary": bytes(range(256)),
    "zeros": bytes(4096),
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed model, its key, and nothing of this machine's own configuration."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "SIGSTORE_ID_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    make_pair(tmp_path / "k.key", passphrase=None)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    assert run(["sign", str(tmp_path / "model"), "--key", str(tmp_path / "k.key"), "--quiet"]) == 0
    [made] = (tmp_path / "model.evidence").iterdir()
    made.rename(tmp_path / "model.sig")
    return tmp_path


def verify(world: Path, *signer: str) -> list[str]:
    return ["verify", str(world / "model"), "--signature", str(world / "model.sig"), *signer]


def pull(world: Path, *signer: str) -> list[str]:
    return ["pull", DOWN, str(world / "served"), *signer]


def signing(world: Path, *more: str) -> list[str]:
    return ["sign", str(world / "model"), "--evidence", str(world / "new"), *more]


def keyless(file: str) -> tuple[str, ...]:
    return "--trusted-root", file, "--certificate-identity", "a@b", "--certificate-oidc-issuer", "https://i"


NAMED: dict[str, Callable[[Path, str], list[str]]] = {
    "verify --public-key": lambda world, file: verify(world, "--public-key", file),
    "verify --certificate-root": lambda world, file: verify(world, "--certificate-root", file),
    "verify --trusted-root": lambda world, file: verify(world, *keyless(file)),
    "verify --trusted-root for time": lambda world, file: verify(
        world, "--certificate-root", str(world / "root.pem"), "--trusted-root", file
    ),
    "pull --public-key": lambda world, file: pull(world, "--public-key", file),
    "pull --certificate-root": lambda world, file: pull(world, "--certificate-root", file),
    "pull --trusted-root": lambda world, file: pull(world, *keyless(file)),
    "pull --registry-ca": lambda world, file: pull(
        world, "--public-key", str(world / "k.pub"), "--registry-ca", file
    ),
    "sign --key": lambda world, file: signing(world, "--key", file),
    "sign --key file:": lambda world, file: signing(world, "--key", f"file:{file}"),
    "sign --key sigstore:": lambda world, file: signing(world, "--key", f"sigstore:{file}"),
    "sign --certificate": lambda world, file: signing(
        world, "--key", str(world / "k.key"), "--certificate", file
    ),
    "sign --certificate-chain": lambda world, file: signing(
        world,
        *("--key", str(world / "leaf.key"), "--certificate", str(world / "leaf.pem")),
        *("--certificate-chain", file),
    ),
    "public-key --key": lambda world, file: ["public-key", str(world / "out.pub"), "--key", file],
    "verify --root": lambda world, file: [
        *("verify", str(world / "model"), "--root", file, "--policy", str(world / "policy.yaml")),
    ],
}


@pytest.mark.parametrize("content", JUNK)
@pytest.mark.parametrize("option", NAMED)
def test_attack_a_file_that_is_no_key_is_a_usage_error(
    world: Path, option: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2, and not 3 nor 4: nobody could take it for an intact model, or for a registry that is down."""
    if "sigstore:" in option or "trusted-root" in option:
        pytest.importorskip("sigstore")
    root = authority("root")
    root.write(world, "root")
    leaf(root).write(world, "leaf")
    (world / "policy.yaml").write_text("kind: Policy\n")
    (world / "policy.yaml.sigstore.json").write_text("{}")
    (world / "named").write_bytes(JUNK[content])
    capsys.readouterr()

    assert run(NAMED[option](world, str(world / "named"))) == 2

    said = capsys.readouterr().err
    assert said.count("error: ") == 1
    assert "named" in said
    assert not (world / "served").exists()
    assert not (world / "new").exists()


@pytest.mark.parametrize("content", ["empty", "page", "list", "binary"])
@pytest.mark.parametrize("place", ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"])
def test_attack_a_configuration_of_registries_that_is_none_is_a_usage_error(
    world: Path, place: str, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = {
        "DOCKER_CONFIG": world / "named/config.json",
        "REGISTRY_AUTH_FILE": world / "named/auth.json",
        "XDG_RUNTIME_DIR": world / "named/containers/auth.json",
    }[place]
    file.parent.mkdir(parents=True)
    file.write_bytes(JUNK[content])
    monkeypatch.setenv(place, str(file if place == "REGISTRY_AUTH_FILE" else world / "named"))
    from tuneguard.errors import UsageError
    from tuneguard.oci import auth

    with pytest.raises(UsageError):
        auth.find("registry.example")


def test_attack_an_empty_public_key_is_not_taken_for_an_intact_model(world: Path) -> None:
    """What a script sees: the intact tree, the emptied key, the registry that is down, the changed tree."""
    (world / "empty.pub").touch()

    assert run(verify(world, "--public-key", str(world / "k.pub"))) == 4
    assert run(verify(world, "--public-key", str(world / "empty.pub"))) == 2
    assert run(pull(world, "--public-key", str(world / "empty.pub"))) == 2
    assert run(pull(world, "--public-key", str(world / "k.pub"))) == 3
    (world / "model/config.json").write_text("[]")
    assert run(verify(world, "--public-key", str(world / "k.pub"))) == 1


def test_integrity_only_is_said_the_same_in_every_form(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = verify(world, "--public-key", str(world / "k.pub"))
    said = {}
    for form in ("text", "json", "sarif", "html"):
        capsys.readouterr()
        assert run([*command, "--format", form]) == 4
        said[form] = capsys.readouterr().out

    assert "integrity only, which does not pass" in said["text"]
    assert json.loads(said["json"])["verdict"] == "integrity-only"
    assert json.loads(said["sarif"])["runs"][0]["invocations"][0]["exitCode"] == 4
    assert "Integrity only" in said["html"]


def test_explain_knows_each_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    for verdict in Verdict:
        assert run(["explain", verdict.value]) == 0
        assert f"Exit code {verdict.exit_code}." in " ".join(capsys.readouterr().out.split())


# --- It passes no step and stands in no evidence -----------------------------------------------------


@pytest.mark.parametrize("weak", ["verify", "scan", "evaluate", "push"])
@pytest.mark.parametrize(
    ("code", "verdict"),
    [(4, "integrity-only"), (0, "integrity-only"), (4, "passed")],
    ids=["as it is", "with code 0", "called passed"],
)
def test_attack_a_step_that_answers_integrity_only_stops_the_plan(weak: str, code: int, verdict: str) -> None:
    order = ("copy", "verify", "scan", "evaluate", "push", "record")
    plan = Plan(tuple(Step(name, name, needs=order[:at]) for at, name in enumerate(order)))
    engine = Scripted({weak: Outcome(state_of(code, {"verdict": verdict}), code)})

    outcome = engine.run(plan, SILENT)

    assert outcome.stopped_at == weak
    assert tuple(engine.given) == order[: order.index(weak) + 1]


def test_attack_a_signed_scan_that_says_integrity_only_is_not_understood() -> None:
    said: dict[str, Any] = {
        "verdict": "integrity-only",
        "findings": [],
        "skipped": [],
        "files": 1,
        "bytes": 1,
        "scanner": {"version": "1", "rules": "0" * 64},
        "finished": "2026-01-01T00:00:00Z",
    }
    assert read(said | {"verdict": "passed"}, scans.Scan, "x").verdict == "passed"

    with pytest.raises(NotUnderstood):
        read(said, scans.Scan, "x")
