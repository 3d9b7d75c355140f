"""Keys and signatures in cosign's and openssl's own forms, both ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from world.needs import need

PASSWORD = {"COSIGN_PASSWORD": "correct horse"}
DETACHED = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")


@pytest.fixture
def model(tmp_path):
    """A small model."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(1000))
    (folder / "sub" / "config.json").write_text("{}\n")
    return folder


@pytest.fixture
def tuneguard(tmp_path):
    """Our command."""

    def run(*arguments, code=0, passphrase=PASSWORD["COSIGN_PASSWORD"]):
        done = subprocess.run(
            [sys.executable, "-m", "tuneguard", *map(str, arguments)],
            env={**os.environ, "TUNEGUARD_HOME": str(tmp_path / "own"), "PASSPHRASE": passphrase},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def pair(cosign, tmp_path):
    """A pair of cosign's own."""
    cosign("generate-key-pair", "--output-key-prefix", tmp_path / "cosign", env=PASSWORD)
    return tmp_path / "cosign.key"


@pytest.fixture
def signed(model, pair, tuneguard):
    """The model, signed by us with cosign's key in cosign's form."""
    tuneguard("sign", model, "--form", "cosign", "--key", pair, "--passphrase-env", "PASSPHRASE")
    return model


def believed_by_cosign(cosign, model, public, *, ok=True):
    return cosign(
        "verify-blob", "--key", public, "--signature", model / "manifest.json.sig",
        "--insecure-ignore-tlog", "--private-infrastructure", model / "manifest.json", ok=ok,
    )  # fmt: skip


def believed_by_openssl(model, public):
    command = [
        need("openssl"),
        "dgst",
        "-sha256",
        "-verify",
        public,
        "-signature",
        model / "manifest.json.sig",
    ]
    return (
        subprocess.run([*command, model / "manifest.json"], capture_output=True, check=False).returncode == 0
    )


def test_cosign_and_openssl_verify_what_we_sign_with_cosigns_own_key(signed, cosign, pair, proves):
    public = pair.with_suffix(".pub")

    believed_by_cosign(cosign, signed, public)
    assert believed_by_openssl(signed, public)
    listing = signed / "manifest.json"
    listing.write_bytes(listing.read_bytes() + b" ")
    assert believed_by_cosign(cosign, signed, public, ok=False).returncode != 0
    assert not believed_by_openssl(signed, public)
    proves("cosign", "reads", "`sign --form cosign`: manifest.json and its signature")
    proves("openssl", "reads", "`sign --form cosign`: manifest.json and its signature")
    proves("cosign", "writes", "encrypted private keys")


def test_the_seeds_own_check_of_the_files_passes(signed):
    listed = json.loads((signed / "manifest.json").read_text())["files"]
    lines = "".join(f"{digest}  {path}\n" for path, digest in listed.items())

    subprocess.run(
        ["sha256sum", "-c", "--strict"], cwd=signed, input=lines.encode(), check=True, capture_output=True
    )


def by_seeds_script(model):
    """manifest.json as the plain script's `compute_checkpoint_manifest` makes it."""
    import hashlib

    files = {
        str(path.relative_to(model)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(model.rglob("*"))
        if path.is_file()
    }
    (model / "manifest.json").write_text(json.dumps({"files": files, "metadata": {}}, indent=2))


@pytest.mark.parametrize(
    ("options", "form"),
    [
        (("--bundle", "manifest.json.sig", *DETACHED[1:]), "a bundle"),
        (("--output-signature", "manifest.json.sig", *DETACHED), "a detached signature"),
        (("--bundle", "manifest.json.sig", *DETACHED), "cosign 2's bundle"),
    ],
)
def test_we_verify_what_cosign_signs(model, cosign, pair, tuneguard, proves, options, form):
    by_seeds_script(model)
    cosign("sign-blob", "--yes", "--key", pair, *options, "manifest.json", env=PASSWORD, cwd=model)
    public = pair.with_suffix(".pub")
    ask = ("verify", model, "--signature", model / "manifest.json.sig", "--public-key", public)

    assert "integrity only" in tuneguard(*ask, code=4).stdout
    (model / "sub" / "config.json").write_text("[]\n")
    assert "S-CHANGED" in tuneguard(*ask, code=1).stdout
    proves("cosign", "writes", f"a signature over manifest.json: {form}")


def test_we_verify_what_cosign_signs_keyless(model, cosign, sigstore, tuneguard, proves):
    by_seeds_script(model)
    cosign(
        "sign-blob", "--yes", "--bundle", "manifest.json.sig",
        "--identity-token", sigstore.token("alice@private.test"), "--signing-config", sigstore.signing_config,
        "--trusted-root", sigstore.trusted_root, "manifest.json", cwd=model,
    )  # fmt: skip
    ask = (
        "verify", model, "--signature", model / "manifest.json.sig", "--trusted-root", sigstore.trusted_root,
        "--certificate-oidc-issuer", sigstore.issuer.url, "--certificate-identity",
    )  # fmt: skip

    assert "integrity only" in tuneguard(*ask, "alice@private.test", code=4).stdout
    assert "S-CERTIFICATE" in tuneguard(*ask, "mallory@private.test", code=1).stdout
    listing = model / "manifest.json"
    listing.write_bytes(listing.read_bytes() + b" ")
    assert "S-BYTES" in tuneguard(*ask, "alice@private.test", code=1).stdout
    proves("cosign", "writes", "a signature over manifest.json: keyless")


def imported(cosign, tmp_path, kind):
    """A pair of another type, made by openssl and encrypted by cosign."""
    plain = tmp_path / "plain.pem"
    curve = () if kind == "ED25519" else ("-pkeyopt", f"ec_paramgen_curve:{kind}")
    algorithm = "ED25519" if kind == "ED25519" else "EC"
    subprocess.run(
        [need("openssl"), "genpkey", "-algorithm", algorithm, *curve, "-out", plain],
        check=True,
        capture_output=True,
    )
    cosign("import-key-pair", "--key", plain, "--output-key-prefix", tmp_path / "imported", env=PASSWORD)
    return tmp_path / "imported.key"


@pytest.mark.parametrize("kind", ["P-256", "P-384", "ED25519"])
def test_keys_that_cosign_imported_are_read(cosign, tuneguard, tmp_path, kind):
    key = imported(cosign, tmp_path, kind)

    tuneguard("public-key", tmp_path / "ours.pub", "--key", key, "--passphrase-env", "PASSPHRASE")

    assert (tmp_path / "ours.pub").read_text().strip() == key.with_suffix(".pub").read_text().strip()


@pytest.mark.parametrize("kind", ["P-384", "ED25519"])
@pytest.mark.parametrize("options", [("--bundle", *DETACHED[1:]), ("--output-signature", *DETACHED)])
def test_we_verify_what_cosign_signs_with_keys_of_other_types(
    model, cosign, tuneguard, tmp_path, proves, kind, options
):
    key = imported(cosign, tmp_path, kind)
    by_seeds_script(model)
    option, *more = options
    cosign(
        "sign-blob", "--yes", "--key", key, option, "manifest.json.sig", *more, "manifest.json",
        env=PASSWORD, cwd=model,
    )  # fmt: skip
    ask = (
        "verify", model, "--signature", model / "manifest.json.sig", "--public-key", key.with_suffix(".pub")
    )  # fmt: skip

    assert "integrity only" in tuneguard(*ask, code=4).stdout
    listing = model / "manifest.json"
    listing.write_bytes(listing.read_bytes() + b" ")
    told = option == "--bundle" and kind != "ED25519"  # only such a bundle names the bytes that were signed
    assert ("S-BYTES" if told else "S-KEY") in tuneguard(*ask, code=1).stdout
    proves("cosign", "writes", f"a signature over manifest.json: by a key of type {kind}")


def test_a_wrong_passphrase_for_cosigns_key_is_said(pair, model, tuneguard):
    done = tuneguard(
        "sign",
        model,
        "--form",
        "cosign",
        "--key",
        pair,
        "--passphrase-env",
        "PASSPHRASE",
        passphrase="no",
        code=2,
    )

    assert "does not open the key" in done.stderr
    assert not (model / "manifest.json").exists()


def test_openssl_verifies_what_a_token_signed_for_us(tuneguard, model, proves):
    from world.signers import pkcs11 as token

    uri = token.uri("p256")
    tuneguard(
        "sign", model, "--form", "cosign", "--key", uri, "--passphrase-env", "PASSPHRASE",
        passphrase=token.PASSPHRASE.decode(),
    )  # fmt: skip
    tuneguard(
        "public-key", model.parent / "token.pub", "--key", uri, "--passphrase-env", "PASSPHRASE",
        passphrase=token.PASSPHRASE.decode(),
    )  # fmt: skip

    assert believed_by_openssl(model, model.parent / "token.pub")
    proves("SoftHSM2", "writes", "signatures with keys that never leave the token")
