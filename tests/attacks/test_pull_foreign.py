"""Pulling what another tool pushed: only by digest, only with cosign's signature, only plain files."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.attest.foreign import COSIGN_SIGN
from tuneguard.attest.statement import PAYLOAD_TYPE, Resource, Statement
from tuneguard.cli.app import run
from tuneguard.oci import client
from tuneguard.oci import manifest as oci
from tuneguard.oci.descriptor import (
    EMPTY_BLOB,
    EMPTY_TYPE,
    MANIFEST_TYPE,
    TITLE,
    Descriptor,
    digest_of,
    of_bytes,
)
from tuneguard.oci.layout import Layout
from tuneguard.records import to_json
from tuneguard.signing.bundle import make_bundle
from world.keys import signer
from world.layouts import content

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from projects import ProjectFolder

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 100_000, "sub/tokenizer.json": b"[]"}
SIGNER = signer()
LAYER = "application/vnd.oci.image.layer.v1.tar"
"""What ``oras push`` calls a plain file."""


def as_oras_does(files: Mapping[str, bytes], **changed: Any) -> bytes:
    """The manifest that ``oras push`` makes of files."""
    layers = [of_bytes(data, LAYER, annotations={TITLE: path}).to_plain() for path, data in files.items()]
    return to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": "application/vnd.unknown.artifact.v1",
            "config": of_bytes(EMPTY_BLOB, EMPTY_TYPE).to_plain(),
            "layers": layers,
            "annotations": {"org.opencontainers.image.created": "2026-11-24T16:09:58Z"},
            **changed,
        }
    )


def statement(digest: str, type: str = COSIGN_SIGN) -> bytes:
    """What ``cosign sign`` signs."""
    subject = Resource(None, {"sha256": digest.removeprefix("sha256:")})
    return Statement((subject,), type, {}).encode()


class World:
    """A layout with one manifest, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = Layout(folder / "registry")
        (folder / "cosign.pub").write_bytes(SIGNER.public_key.pem)

    def push(self, data: bytes, files: Mapping[str, bytes] = FILES) -> str:
        for each in (*files.values(), EMPTY_BLOB):
            self.registry.put_blob(digest_of(each), len(each), lambda each=each: io.BytesIO(each))  # type: ignore[misc]
        return self.registry.put_manifest(data)

    def sign(self, digest: str, payload: bytes | None = None, by: Any = SIGNER) -> None:
        data = make_bundle(by, PAYLOAD_TYPE, payload or statement(digest))
        size = len(self.registry.read_manifest(digest))
        client.attach(self.registry, oci.referrer(Descriptor(MANIFEST_TYPE, digest, size), data))

    def pull(self, digest: str, *more: str) -> int:
        return run(
            ["pull", f"oci:{self.folder}/registry@{digest}", f"{self.folder}/got",
             "--public-key", f"{self.folder}/cosign.pub", *more]
        )  # fmt: skip

    @property
    def left(self) -> list[str]:
        return [path.name for path in self.folder.iterdir() if "got" in path.name]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def test_what_oras_pushed_and_cosign_signed_is_pulled_as_integrity_only(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = world.push(as_oras_does(FILES))
    world.sign(digest)

    assert world.pull(digest) == 4
    assert content(world.folder / "got") == FILES
    assert "integrity only" in capsys.readouterr().out
    assert world.left == ["got"]


def test_its_json_says_integrity_and_nothing_of_a_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = world.push(as_oras_does(FILES))
    world.sign(digest, by=signer())
    world.sign(digest)

    assert world.pull(digest, "--json") == 4
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "integrity-only"
    assert told["facts"]["purpose"] == "integrity"
    assert told["facts"]["manifest"] == digest
    assert "run" not in told["facts"]


def refused(world: World, digest: str, capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """What is said of a pull that leaves nothing."""
    capsys.readouterr()
    assert world.pull(digest) == code
    assert world.left == []
    return capsys.readouterr().err


def test_attack_nobody_signed_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    digest = world.push(as_oras_does(FILES))

    assert "no bundle is attached" in refused(world, digest, capsys)


def test_attack_somebody_else_signed_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    digest = world.push(as_oras_does(FILES))
    world.sign(digest, by=signer())

    assert "is not signed by the key" in refused(world, digest, capsys)


def test_attack_the_signature_of_another_manifest_is_attached(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    good = world.push(as_oras_does(FILES))
    world.sign(good)
    files = {**FILES, "model.safetensors": b"trojan"}
    bad = world.push(as_oras_does(files), files)
    world.sign(bad, statement(good))

    assert "signs another manifest" in refused(world, bad, capsys)


def test_attack_another_statement_by_the_same_key_as_a_signature(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused scan, attested with the key that signs releases: cosign verify accepts it."""
    digest = world.push(as_oras_does(FILES))
    world.sign(digest, statement(digest, "https://example.com/scan/v1"))

    assert "not a signature by cosign" in refused(world, digest, capsys)


def test_attack_the_bytes_of_a_layer_were_swapped(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    digest = world.push(as_oras_does(FILES))
    world.sign(digest)
    blob = world.folder / "registry/blobs/sha256" / digest_of(FILES["model.safetensors"])[7:]
    blob.chmod(0o600)
    blob.write_bytes(b"x" * 100_000)

    assert "hashes to" in refused(world, digest, capsys)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//x"])
def test_attack_a_layer_that_would_leave_the_folder(
    world: World, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    files = {path: b"inert"}
    digest = world.push(as_oras_does(files), files)
    world.sign(digest)

    refused(world, digest, capsys)


def test_attack_two_names_for_one_layer(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    layer = of_bytes(b"{}", LAYER, annotations={TITLE: "a", oci.FILEPATH: "b"}).to_plain()
    digest = world.push(as_oras_does(FILES, layers=[layer]))
    world.sign(digest)

    assert "two names" in refused(world, digest, capsys)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (of_bytes(b"{}", LAYER, annotations={TITLE: "sub", oci.UNPACK: "true"}), "packed into one layer"),
        (of_bytes(b"{}", LAYER), "has no name"),
        (
            of_bytes(b"{}", "application/vnd.cncf.model.weight.v1.tar", annotations={TITLE: "sub"}),
            "lacks org.cncf.model.filepath",
        ),
    ],
    ids=["packed", "nameless", "model-tar"],
)
def test_a_layer_that_readers_would_unpack_or_leave_out_is_not_understood(
    world: World, capsys: pytest.CaptureFixture[str], layer: Descriptor, said: str
) -> None:
    digest = world.push(as_oras_does(FILES, layers=[layer.to_plain()]))
    world.sign(digest)

    assert said in refused(world, digest, capsys, 3)


def test_attack_a_tag_that_was_moved_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """An older manifest that was rightly signed: a tag is not believed without a release pointer."""
    digest = world.push(as_oras_does(FILES))
    world.sign(digest)
    world.registry.tag("v1", digest)

    reference = f"oci:{world.folder}/registry:v1"
    key = f"{world.folder}/cosign.pub"
    assert run(["pull", reference, f"{world.folder}/got", "--public-key", key]) == 2
    assert world.left == []
    assert f"the tag means {digest} now" in capsys.readouterr().err


def test_a_signer_and_a_model_or_half_a_signer_are_wrong_usage(world: World) -> None:
    digest = world.push(as_oras_does(FILES))
    world.sign(digest)
    assert world.pull(digest, "--model", "demo") == 2
    assert world.pull(digest, "--certificate-identity", "ann@example.com") == 2
    assert world.left == []


@pytest.mark.sandbox
def test_attack_a_model_of_ours_by_a_signature_that_is_not_its_verdict(
    pushed: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever holds a key and can push cannot have it pulled past the gates, where the policy is known."""
    text = (pushed.path / "policy.yaml").read_text()
    (model,) = [line for line in text.splitlines() if "repository:" in line]
    repository = model.partition("repository:")[2].strip()
    (pushed.path / "cosign.pub").write_bytes(SIGNER.public_key.pem)
    host, _, path = repository.partition("/")
    digest = "sha256:" + "0" * 64
    for name in (repository, f"{host.upper()}/{path}", f"{host}:443/{path}"):
        capsys.readouterr()
        assert pushed("pull", f"{name}@{digest}", "got", "--public-key", "cosign.pub") == 2
        assert "is the repository of the policy's model" in capsys.readouterr().err
    assert not (pushed.path / "got").exists()


def test_a_key_that_is_not_there_is_told_before_a_registry_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = "127.0.0.1:1/m@sha256:" + "0" * 64

    assert run(["pull", reference, f"{tmp_path}/got", "--public-key", f"{tmp_path}/missing.pub"]) == 2
    told = capsys.readouterr().err
    assert "missing.pub" in told
    assert "Retrying" not in told
