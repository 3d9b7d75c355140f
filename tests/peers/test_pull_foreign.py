"""What `oras push` pushed and cosign signed is pulled here, by key and keyless, and nothing else of it."""

from __future__ import annotations

import pytest

from tuneguard.cli.app import run
from world.layouts import content

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 100_000, "sub/tokenizer.json": b"[]"}
ALICE = "alice@private.test"
NO_PASSWORD = {"COSIGN_PASSWORD": ""}


@pytest.fixture(params=["refreg", "distribution"])
def repository(request, tmp_path):
    host = request.getfixturevalue(request.param)
    return f"{host}/foreign/{tmp_path.name.replace('_', '-').strip('-').lower()}"


@pytest.fixture
def pushed(repository, oras, tmp_path):
    """The reference by digest, of files that oras pushed."""
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    oras("push", "--plain-http", f"{repository}:v1", *FILES, cwd=tmp_path)
    return f"{repository}@{oras('resolve', '--plain-http', f'{repository}:v1').stdout.strip()}"


@pytest.fixture
def key(cosign, tmp_path):
    """A pair of cosign's, and a configuration by which it asks no server."""
    cosign("generate-key-pair", env=NO_PASSWORD, cwd=tmp_path)
    cosign("signing-config", "create", "--out", "nowhere.json", cwd=tmp_path)
    cosign("trusted-root", "create", "--out", "nobody.json", cwd=tmp_path)
    return tmp_path / "cosign.pub"


def sign(cosign, reference, folder, command="sign", *more):
    done = cosign(
        command, "--key", folder / "cosign.key", "--yes", "--allow-http-registry", "--signing-config",
        folder / "nowhere.json", "--trusted-root", folder / "nobody.json", *more, reference,
        env=NO_PASSWORD,
    )  # fmt: skip
    assert "tuf" not in done.stderr.lower(), "cosign asked a server for authorities"


def test_by_key(pushed, cosign, key, tmp_path, proves, capsys):
    assert run(["pull", pushed, f"{tmp_path}/got", "--public-key", f"{key}"]) == 1
    assert not (tmp_path / "got").exists()
    sign(cosign, pushed, tmp_path)

    assert run(["pull", pushed, f"{tmp_path}/got", "--public-key", f"{key}"]) == 4
    assert "integrity only" in capsys.readouterr().out
    assert content(tmp_path / "got") == FILES
    proves("oras", "writes", "files in a registry, signed by cosign sign (integrity only)")
    proves("cosign", "writes", "a signature by key over what oras pushed (integrity only)")


def test_keyless(pushed, cosign, sigstore, tmp_path, proves):
    cosign(
        "sign", "--yes", "--allow-http-registry", "--identity-token", sigstore.token(ALICE),
        "--signing-config", sigstore.signing_config, "--trusted-root", sigstore.trusted_root, pushed,
    )  # fmt: skip

    def pull(identity=ALICE, issuer=sigstore.issuer.url):
        return run(
            ["pull", pushed, f"{tmp_path}/got", "--trusted-root", f"{sigstore.trusted_root}",
             "--certificate-identity", identity, "--certificate-oidc-issuer", issuer]
        )  # fmt: skip

    assert pull(identity="mallory@private.test") == 1
    assert pull(issuer="https://elsewhere.test") == 1
    assert not (tmp_path / "got").exists()
    assert pull() == 4
    assert content(tmp_path / "got") == FILES
    proves("cosign", "writes", "a keyless signature over what oras pushed (integrity only)")


def test_attack_an_attestation_by_the_same_key_is_no_signature(pushed, cosign, key, tmp_path, capsys):
    (tmp_path / "scan.json").write_text('{"verdict": "refused"}')
    sign(
        cosign, pushed, tmp_path, "attest", "--predicate", tmp_path / "scan.json", "--type",
        "https://example.com/scan",
    )  # fmt: skip

    assert run(["pull", pushed, f"{tmp_path}/got", "--public-key", f"{key}"]) == 1
    assert "is not signed by the key" in capsys.readouterr().err
    assert not (tmp_path / "got").exists()


def test_a_folder_that_oras_packed_is_not_understood(repository, oras, cosign, key, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/config.json").write_bytes(b"{}")
    oras("push", "--plain-http", f"{repository}:packed", "folder", cwd=tmp_path)
    reference = f"{repository}@{oras('resolve', '--plain-http', f'{repository}:packed').stdout.strip()}"
    sign(cosign, reference, tmp_path)

    assert run(["pull", reference, f"{tmp_path}/got", "--public-key", f"{key}"]) == 3
    assert "packed into one layer" in capsys.readouterr().err
    assert not (tmp_path / "got").exists()
