"""TRUST.md rule 22 against the real cosign: it verifies what a promotion passed, and nothing else of ours."""

from __future__ import annotations

import dataclasses

import pytest
from projects import ProjectFolder, made, made_trained, trained
from shipped import at_home_in, promoter, promotion

from tuneguard.artifact.digest import hash_tree
from tuneguard.attest import evidence
from tuneguard.attest.predicates import release
from tuneguard.attest.statement import PAYLOAD_TYPE, Resource, Statement
from tuneguard.oci import manifest as oci
from tuneguard.oci.client import attach
from tuneguard.oci.open import open_registry
from tuneguard.oci.reference import parse
from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.signing.signer import open_signer

__all__ = ["made", "made_trained", "trained"]
pytestmark = pytest.mark.sandbox


@pytest.fixture(params=["refreg", "distribution"])
def repository(request, trained: ProjectFolder) -> str:
    name = f"{request.param}/{trained.path.parent.name.replace('_', '-')}".lower().strip("-")
    return at_home_in(trained, request.getfixturevalue(request.param), name)


def verified(cosign, project: ProjectFolder, repository: str, digest: str) -> bool:
    """Whether cosign accepts the manifest under the promoter's key."""
    done = cosign(
        "verify", "--key", promoter(project), "--insecure-ignore-tlog=true", "--allow-http-registry",
        f"{repository}@{digest}", ok=False,
    )  # fmt: skip
    assert done.returncode == 0 or "no signatures found" in done.stderr or "no matching" in done.stderr, (
        done.stderr
    )
    return done.returncode == 0


def put(project: ProjectFolder, repository: str) -> tuple:
    """The manifest of the checkpoint in the registry, without any evidence, as whoever may write puts it."""
    import io

    folder = project.path / "runs/042"
    built = oci.build(hash_tree(folder))
    registry = open_registry(parse(f"{repository}:x"))
    for layer in built.layers:
        registry.put_blob(layer.digest, layer.size, lambda path=layer.path: (folder / path).open("rb"))
    registry.put_blob(built.config_descriptor.digest, len(built.config), lambda: io.BytesIO(built.config))
    registry.put_manifest(built.data)
    return registry, built


def test_after_a_passed_promotion_cosign_accepts_the_manifest(trained, repository, cosign, proves):
    done = promotion(trained, repository)
    done.passed()
    built = oci.build(hash_tree(trained.path / "runs/042"))

    assert verified(cosign, trained, repository, built.digest)
    proves("cosign", "reads", "a passed verdict in a registry, by key (cosign verify)")


def test_attack_a_refused_verdict_and_everything_before_it_attached(trained, repository, cosign, proves):
    done = promotion(trained, repository)
    assert done.copy() == 0
    assert done.scan() == 0
    done.evaluate(right=10)
    assert done.decide() == 1
    registry, built = put(trained, repository)
    pieces = evidence.read(trained.path / "runs/042.evidence")
    assert {"signature", "provenance", "scan", "evaluation", "verdict"} <= {each.kind for each in pieces}
    for piece in pieces:
        attach(registry, oci.referrer(built.descriptor, piece.data, name=piece.name))

    assert not verified(cosign, trained, repository, built.digest)
    proves("cosign", "refuses", "a manifest with a refused verdict and all other evidence attached")


def test_attack_a_pointer_without_its_verdict(trained, repository, cosign, proves):
    done = promotion(trained, repository)
    done.passed()
    registry, built = put(trained, at_home := repository + "-copy")
    source = open_registry(parse(f"{repository}:x"))
    copied = 0
    for descriptor in source.referrers(built.digest, oci.BUNDLE_TYPE):
        _, bundle = oci.read_referrer(source.read_manifest(descriptor.digest), "r")
        data = b"".join(source.read_blob(bundle.digest, bundle.size))
        if release.TYPE in read_bundle(data, "b").payload.decode():
            copied += 1
            attach(registry, oci.referrer(built.descriptor, data))

    assert copied == 1
    assert not verified(cosign, trained, at_home, built.digest)
    proves("cosign", "refuses", "a manifest with a release pointer and no verdict attached")


def test_cosign_accepts_any_statement_about_a_manifest_which_is_why_only_a_passed_verdict_names_one(
    trained, repository, cosign
):
    """What rule 22 is for: were any other evidence to name the manifest, this is what would happen."""
    registry, built = put(trained, repository)
    subject = Resource("m", {"sha256": built.digest.removeprefix("sha256:")})
    signer = open_signer(promoter(trained, "key"), lambda _: b"")
    other = Statement((subject,), "https://tuneguard.dev/scan/v1", {"verdict": "refused"})
    attach(registry, oci.referrer(built.descriptor, make_bundle(signer, PAYLOAD_TYPE, other.encode())))

    assert verified(cosign, trained, repository, built.digest)


@pytest.mark.parametrize("what", ["verdict", "signature"])
def test_keyless_cosign_accepts_a_passed_verdict_and_no_model_signature(
    trained, repository, cosign, sigstore, monkeypatch, proves, what
):
    """No policy lists a keyless promoter, and Sigstore's client signs no tree digest, so that the verdict
    here names the manifest alone; the model's signature is what `sign --key sigstore:` writes."""
    done = promotion(trained, repository)
    done.judged()
    assert done.decide() == 0
    registry, built = put(trained, repository)
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", sigstore.token("pia@private.test"))
    signer = open_signer(f"sigstore:{sigstore.trust_config}", lambda _: b"")
    pieces = evidence.read(trained.path / "runs/042.evidence")
    (piece,) = (each for each in pieces if each.kind == what)
    signed = Statement.decode(read_bundle(piece.data, what).payload, what)
    if what == "verdict":
        signed = dataclasses.replace(signed, subjects=signed.subjects[1:])
    attach(registry, oci.referrer(built.descriptor, signer.sign_statement(signed.encode())))

    found = cosign(
        "verify", "--trusted-root", sigstore.trusted_root, "--certificate-identity", "pia@private.test",
        "--certificate-oidc-issuer", sigstore.issuer.url, "--use-signed-timestamps", "--allow-http-registry",
        f"{repository}@{built.digest}", ok=False,
    )  # fmt: skip

    assert (found.returncode == 0) is (what == "verdict"), found.stderr
    if what == "verdict":
        proves("cosign", "reads", "a passed verdict in a registry, keyless (cosign verify)")
    else:
        proves("cosign", "refuses", "a manifest with a keyless model signature and no verdict attached")
