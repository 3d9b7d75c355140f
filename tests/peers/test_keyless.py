"""Keyless and certificate signatures, both ways with the real tools, verified where there is no network."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from world.certificates import DAY, EMAIL, authority, leaf

ALICE = "alice@private.test"
PYTHON = sys.executable
VERIFY = """
import sys
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy
bundle, root, who, issuer = sys.argv[1:]
verifier = Verifier(trusted_root=TrustedRoot.from_file(root))
verifier.verify_dsse(Bundle.from_json(open(bundle).read()), policy.Identity(identity=who, issuer=issuer))
"""


def call(home, *command, env=None, code=None):
    """Run a command with a home of its own."""
    done = subprocess.run(
        [*map(str, command)],
        env={"HOME": str(home), "TUNEGUARD_HOME": f"{home}/own", "PATH": os.environ["PATH"], **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A small model."""
    folder = tmp_path_factory.mktemp("original") / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(bytes(1000))
    (folder / "config.json").write_text("{}\n")
    return folder


@pytest.fixture(scope="module")
def ours(sigstore, original):
    """A keyless signature of ours."""
    evidence = original.parent / "evidence"
    call(
        original.parent, PYTHON, "-m", "tuneguard", "sign", original,
        "--key", f"sigstore:{sigstore.trust_config}", "--evidence", evidence,
        env={"SIGSTORE_ID_TOKEN": sigstore.token(ALICE)}, code=0,
    )  # fmt: skip
    [bundle] = evidence.iterdir()
    return bundle


@pytest.fixture(scope="module")
def theirs(sigstore, original):
    """A keyless signature of model_signing's."""
    bundle = original.parent / "theirs.sig"
    call(
        original.parent, PYTHON, "-m", "model_signing", "sign", "sigstore",
        "--trust_config", sigstore.trust_config, "--identity_token", sigstore.token(ALICE),
        "--signature", bundle, original, code=0,
    )  # fmt: skip
    return bundle


@pytest.fixture
def model(original, tmp_path):
    """The model, to be changed."""
    return Path(shutil.copytree(original, tmp_path / "model"))


@pytest.fixture
def run(tmp_path):
    """Run a command."""
    return functools.partial(call, tmp_path)


@pytest.fixture
def tuneguard(run):
    """Our command."""
    return functools.partial(run, PYTHON, "-m", "tuneguard")


@pytest.fixture
def verify(run, sigstore, without_network, model):
    """Our verification of a keyless signature, without network."""

    def verified(bundle, *, identity=ALICE, issuer=None, root=None, code=None):
        return run(
            *without_network, PYTHON, "-m", "tuneguard", "verify", model, "--signature", bundle,
            "--trusted-root", root or sigstore.trusted_root, "--certificate-identity", identity,
            "--certificate-oidc-issuer", issuer or sigstore.issuer.url, code=code,
        )  # fmt: skip

    return verified


def test_cosign_and_model_signing_believe_our_keyless_signature(
    ours, run, cosign, sigstore, without_network, model, proves
):
    run(
        *without_network, PYTHON, "-m", "model_signing", "verify", "sigstore", "--trust_config",
        sigstore.trust_config, "--signature", ours, "--identity", ALICE,
        "--identity_provider", sigstore.issuer.url, model, code=0,
    )  # fmt: skip
    cosign(
        "verify-blob-attestation", "--bundle", ours, "--type", "https://model_signing/signature/v1.0",
        "--check-claims=false", "--trusted-root", sigstore.trusted_root, "--certificate-identity", ALICE,
        "--certificate-oidc-issuer", sigstore.issuer.url, model / "config.json",
    )  # fmt: skip
    for peer in ("model_signing", "cosign", "Fulcio", "Rekor", "timestamp-authority"):
        proves(peer, "reads", "a keyless OMS signature")


def test_sigstore_python_believes_our_keyless_signature(ours, run, sigstore, without_network, proves):
    arguments = (ours, sigstore.trusted_root, ALICE, sigstore.issuer.url)

    run(*without_network, PYTHON, "-c", VERIFY, *arguments, code=0)
    proves("sigstore-python", "reads", "a keyless OMS signature")


def test_we_believe_our_own_and_model_signings_keyless_signature(ours, theirs, verify, proves):
    for bundle in (ours, theirs):
        done = verify(bundle, code=4)
        assert "integrity only" in done.stdout
    proves("model_signing", "writes", "a keyless OMS signature")


def test_a_changed_file_is_refused(theirs, verify, model):
    (model / "config.json").write_text("[]\n")

    assert "S-CHANGED" in verify(theirs, code=1).stdout


@pytest.mark.parametrize(
    "wrong",
    [{"identity": "mallory@private.test"}, {"issuer": "http://127.0.0.1:9"}],
    ids=["identity", "issuer"],
)
def test_attack_another_identity_or_issuer(ours, verify, wrong):
    assert "S-CERTIFICATE" in verify(ours, **wrong, code=1).stdout


def without_timestamp(material, _):
    del material["timestampVerificationData"]


def without_entry(material, _):
    del material["tlogEntries"]


def foreign_timestamp(material, other):
    material["timestampVerificationData"] = other["timestampVerificationData"]


def foreign_entry(material, other):
    material["tlogEntries"] = other["tlogEntries"]


def foreign_certificate(material, other):
    material["certificate"] = other["certificate"]


def changed_checkpoint(material, _):
    proof = material["tlogEntries"][0]["inclusionProof"]
    proof["checkpoint"]["envelope"] = proof["checkpoint"]["envelope"].replace("\n", "\n1", 1)


def changed_root_hash(material, _):
    material["tlogEntries"][0]["inclusionProof"]["rootHash"] = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "mangle",
    [
        without_timestamp, without_entry, foreign_timestamp, foreign_entry, foreign_certificate,
        changed_checkpoint, changed_root_hash,
    ],
    ids=lambda mangle: mangle.__name__,
)  # fmt: skip
def test_attack_a_bundle_with_a_part_missing_or_of_another(ours, theirs, verify, mangle, tmp_path):
    document = json.loads(ours.read_text())
    mangle(document["verificationMaterial"], json.loads(theirs.read_text())["verificationMaterial"])
    (tmp_path / "mangled.sig").write_text(json.dumps(document))

    assert "S-CERTIFICATE" in verify(tmp_path / "mangled.sig", code=1).stdout


@pytest.mark.parametrize("part", ["certificateAuthorities", "tlogs", "ctlogs", "timestampAuthorities"])
def test_attack_authorities_that_were_not_named_are_not_believed(ours, verify, sigstore, part, tmp_path):
    """CA, log, SCT and clock, each without its authority."""
    root = json.loads(sigstore.trusted_root.read_text())
    root[part] = []
    (tmp_path / "root.json").write_text(json.dumps(root))

    assert "S-CERTIFICATE" in verify(ours, root=tmp_path / "root.json", code=1).stdout


def test_the_logs_first_entry_is_believed_although_its_writer_leaves_the_zeros_out(sigstore, proves):
    """cosign leaves the zeros of entry 0 out, since protojson writes none; sigstore-python wants them."""
    from sigstore.models import Bundle, InvalidBundle

    from tuneguard.signing import keyless
    from tuneguard.signing.bundle import read_bundle

    data = sigstore.first.read_bytes()
    with pytest.raises(InvalidBundle, match="logIndex"):
        Bundle.from_json(data)
    root, issuer = keyless.read_trusted_root(sigstore.trusted_root), sigstore.issuer.url
    bundle = read_bundle(data, "first")

    assert keyless.vouches(root, identity="first@private.test", issuer=issuer)(bundle) is None
    assert keyless.vouches(root, identity=ALICE, issuer=issuer)(bundle)
    proves("cosign", "writes", "a keyless attestation, and the log's entry 0 in its odd form")


def test_without_a_token_or_with_a_bad_one_nothing_is_signed(tuneguard, sigstore, model, tmp_path):
    key = ("--key", f"sigstore:{sigstore.trust_config}", "--evidence", tmp_path / "evidence")

    assert "no identity token" in tuneguard("sign", model, *key, code=2).stderr
    stale = tuneguard("sign", model, *key, env={"SIGSTORE_ID_TOKEN": sigstore.token(ALICE, exp=1)}, code=2)
    assert "malformed or has expired" in stale.stderr
    for changed in ({"iss": "http://127.0.0.1:9"}, {"email_verified": False}):
        token = sigstore.token(ALICE, **changed)
        done = tuneguard("sign", model, *key, env={"SIGSTORE_ID_TOKEN": token}, code=3)
        assert "Sigstore did not sign" in done.stderr
        assert token not in done.stdout + done.stderr
    assert not (tmp_path / "evidence").exists()


def test_evidence_that_a_policy_counts_is_not_signed_keyless(tuneguard, sigstore, tmp_path):
    done = tuneguard(
        "public-key", tmp_path / "new.pub", "--key", f"sigstore:{sigstore.trust_config}",
        env={"SIGSTORE_ID_TOKEN": sigstore.token(ALICE)}, code=2,
    )  # fmt: skip
    assert "no key that a policy could list" in done.stderr


# --- certificates ------------------------------------------------------------------------------------


@pytest.fixture
def certificates(tmp_path):
    """A root, an authority below it, and a leaf, as files, valid today."""
    import datetime as dt

    valid = {"starts": dt.datetime.now(dt.UTC) - DAY, "ends": dt.datetime.now(dt.UTC) + 30 * DAY}
    root = authority("Root", **valid)
    between = authority("Between", root, **valid)
    signer = leaf(between, **valid)
    root.write(tmp_path, "root")
    between.write(tmp_path, "between")
    signer.write(tmp_path, "leaf")
    return tmp_path


def test_model_signing_believes_what_we_signed_by_a_certificate(certificates, tuneguard, run, model, proves):
    tuneguard(
        "sign", model, "--key", certificates / "leaf.key", "--certificate", certificates / "leaf.pem",
        "--certificate-chain", certificates / "between.pem", "--evidence", certificates / "evidence", code=0,
    )  # fmt: skip
    [bundle] = (certificates / "evidence").iterdir()

    run(
        PYTHON, "-m", "model_signing", "verify", "certificate", "--signature", bundle,
        "--certificate_chain", certificates / "root.pem", model, code=0,
    )  # fmt: skip
    tuneguard("verify", model, "--signature", bundle, "--certificate-root", certificates / "root.pem", code=4)
    proves("model_signing", "reads", "an OMS signature by a certificate")


def test_we_believe_what_model_signing_signed_by_a_certificate(
    certificates, run, without_network, model, proves
):
    bundle = certificates / "theirs.sig"
    run(
        PYTHON, "-m", "model_signing", "sign", "certificate", "--private_key", certificates / "leaf.key",
        "--signing_certificate", certificates / "leaf.pem",
        "--certificate_chain", certificates / "between.pem", "--signature", bundle, model, code=0,
    )  # fmt: skip

    def verify(*more, code, root="root.pem"):
        command = (PYTHON, "-m", "tuneguard", "verify", model, "--signature", bundle)
        return run(*without_network, *command, "--certificate-root", certificates / root, *more, code=code)

    assert "integrity only" in verify(code=4).stdout
    assert EMAIL in verify("--certificate-identity", EMAIL, code=4).stdout
    assert "S-CERTIFICATE" in verify("--certificate-identity", "mallory@models.example", code=1).stdout
    authority("Root").write(certificates, "other")
    assert "S-CERTIFICATE" in verify(code=1, root="other.pem").stdout
    proves("model_signing", "writes", "an OMS signature by a certificate")


def test_an_expired_certificate_is_believed_only_with_a_timestamp_of_a_named_clock(
    certificates, sigstore, tuneguard, model, tmp_path
):
    """The clock is the real timestamp authority; the leaf expires a second after it has signed."""
    import datetime as dt

    from tuneguard.signing import certificate, keyless
    from tuneguard.signing.bundle import make_bundle, read_bundle

    now = dt.datetime.now(dt.UTC)
    root = authority("Root", starts=now - 400 * DAY, ends=now + 400 * DAY)
    short = leaf(root, starts=now - DAY, ends=now + DAY)
    document = json.loads(make_bundle(short.signer, "text/plain", b"hello", certificates=[short.der]))
    signature = base64.b64decode(document["dsseEnvelope"]["signatures"][0]["sig"])
    document["verificationMaterial"]["timestampVerificationData"] = {
        "rfc3161Timestamps": [{"signedTimestamp": base64.b64encode(stamped(sigstore, signature)).decode()}]
    }
    bundle = read_bundle(json.dumps(document).encode(), "b")
    clock = keyless.time_of(keyless.read_trusted_root(sigstore.trusted_root))
    later = now + 30 * DAY

    assert certificate.vouches([root.certificate], now=later, time_of=clock)(bundle) is None
    assert "no timestamp" in certificate.vouches([root.certificate], now=later)(bundle)
    other = json.loads(json.dumps(document))
    stamp = base64.b64encode(stamped(sigstore, b"another signature")).decode()
    other["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"] = (
        stamp
    )
    foreign = read_bundle(json.dumps(other).encode(), "b")
    assert "no timestamp" in certificate.vouches([root.certificate], now=later, time_of=clock)(foreign)


def stamped(sigstore, data):
    """The timestamp authority's response over `data`."""
    import urllib.request

    import rfc3161_client

    config = json.loads(sigstore.signing_config.read_text())
    request = rfc3161_client.TimestampRequestBuilder().data(data).build()
    sent = urllib.request.Request(
        config["tsaUrls"][0]["url"], request.as_bytes(), {"Content-Type": "application/timestamp-query"}
    )
    with urllib.request.urlopen(sent, timeout=30) as answer:
        return answer.read()
