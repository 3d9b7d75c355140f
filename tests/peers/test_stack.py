"""The private Sigstore is a real one: clients that are not ours sign with it, and refuse as they must."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ALICE = "alice@private.test"


@pytest.fixture
def signed(sigstore, cosign, tmp_path):
    """A file and the bundle that cosign made for it."""
    file = tmp_path / "m.txt"
    file.write_text("hello\n")
    cosign(
        "sign-blob", "--yes", "--bundle", tmp_path / "c.json", "--identity-token", sigstore.token(ALICE),
        "--signing-config", sigstore.signing_config, "--trusted-root", sigstore.trusted_root, file,
    )  # fmt: skip
    return file, tmp_path / "c.json"


def believed_by_cosign(cosign, sigstore, file, bundle, *, identity=ALICE, issuer=None, ok=True):
    return cosign(
        "verify-blob", "--bundle", bundle, "--trusted-root", sigstore.trusted_root,
        "--certificate-identity", identity, "--certificate-oidc-issuer", issuer or sigstore.issuer.url, file,
        ok=ok,
    )  # fmt: skip


def test_cosign_believes_what_it_signed_and_only_for_that_identity_and_issuer(sigstore, cosign, signed):
    believed_by_cosign(cosign, sigstore, *signed)

    wrong = believed_by_cosign(cosign, sigstore, *signed, identity="mallory@private.test", ok=False)
    assert wrong.returncode != 0
    other = believed_by_cosign(cosign, sigstore, *signed, issuer="http://127.0.0.1:9", ok=False)
    assert other.returncode != 0


def test_sigstore_python_believes_what_cosign_signed_without_network(sigstore, signed, without_network):
    file, bundle = signed
    done = subprocess.run(
        [*without_network, sys.executable, "-m", "sigstore", "--trust-config", str(sigstore.trust_config),
         "verify", "identity", "--offline", "--bundle", str(bundle), "--cert-identity", ALICE,
         "--cert-oidc-issuer", sigstore.issuer.url, str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part", ["timestampVerificationData", "tlogEntries"])
def test_a_bundle_without_its_time_or_log_entry_is_refused(sigstore, cosign, signed, part):
    file, bundle = signed
    document = json.loads(bundle.read_text())
    del document["verificationMaterial"][part]
    bundle.write_text(json.dumps(document))

    assert believed_by_cosign(cosign, sigstore, file, bundle, ok=False).returncode != 0


@pytest.mark.parametrize("changed", [{"iss": "http://127.0.0.1:9"}, {"email_verified": False}, {"exp": 1}])
def test_fulcio_gives_no_certificate_for_a_token_that_is_not_good(sigstore, cosign, tmp_path, changed):
    file = tmp_path / "m.txt"
    file.write_text("hello\n")

    done = cosign(
        "sign-blob", "--yes", "--bundle", tmp_path / "c.json", "--identity-token",
        sigstore.token(ALICE, **changed), "--signing-config", sigstore.signing_config,
        "--trusted-root", sigstore.trusted_root, file, ok=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert not (tmp_path / "c.json").exists()
