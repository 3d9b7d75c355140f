"""The OMS v1.0 specification's schemas and test vectors, and the older forms that verifiers accept."""

from __future__ import annotations

import base64
import datetime as dt
import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tuneguard.artifact.manifest import File, Manifest
from tuneguard.attest.foreign import verify_foreign
from tuneguard.attest.predicates import oms
from tuneguard.attest.statement import Statement
from tuneguard.errors import NotUnderstood
from tuneguard.signing import certificate
from tuneguard.signing.bundle import make_bundle, read_bundle
from world.certificates import leaf
from world.keys import signer

VECTORS = Path(__file__).parents[1] / "vectors" / "oms-v1.0"
SCHEMAS = {
    path.name.partition(".")[0]: json.loads(path.read_text()) for path in (VECTORS / "schemas").glob("*.json")
}
REGISTRY = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
TREE = Manifest((File("config.json", 2, "0" * 64), File("weights.bin", 3, "1" * 64)))
IBM = {"identity": "stefanb@us.ibm.com", "issuer": "https://sigstore.verify.ibm.com/oauth2"}


def read(data: bytes) -> oms.Signature:
    bundle = read_bundle(data, "vector")
    return oms.PREDICATE.read(Statement.decode(bundle.payload, "vector"), "vector")


def valid(name: str) -> bytes:
    return (VECTORS / "valid" / f"{name}.bundle.json").read_bytes()


def check(name: str, value: object) -> None:
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(value)


@pytest.mark.parametrize("name", ["key", "certificate", "sigstore"])
def test_a_valid_vector_is_read(name: str) -> None:
    assert [path for path, _ in read(valid(name)).files] == ["signme-1", "signme-2"]


@pytest.mark.parametrize(
    "path",
    sorted([*VECTORS.glob("invalid/*.json"), *VECTORS.glob("invalid-payload/*.json")]),
    ids=lambda p: p.stem,
)
def test_an_invalid_vector_is_refused(path: Path) -> None:
    data = path.read_bytes()
    if path.stem == "missing-tlog-entries.bundle":  # a bundle of ours may lack them; one by Sigstore may not
        pytest.importorskip("sigstore")
        from tuneguard.signing import keyless

        assert (
            keyless.vouches(None, **IBM)(read_bundle(data, "vector")) == "has no entry of a transparency log"
        )
        return
    with pytest.raises(NotUnderstood):
        verify_foreign(TREE, read_bundle(data, "vector"), lambda _: None)


@pytest.mark.skipif(find_spec("sigstore") is None, reason="the extra keyless is not installed")
def test_the_public_instances_vector_verifies_without_network_for_its_identity_and_no_other() -> None:
    import sigstore

    from tuneguard.signing import keyless

    [store] = Path(sigstore.__file__).parent.glob("_store/*sigstore.dev/trusted_root.json")
    root = keyless.read_trusted_root(store)
    bundle = read_bundle(valid("sigstore"), "vector")

    assert keyless.vouches(root, **IBM)(bundle) is None
    assert "SANs" in keyless.vouches(root, **{**IBM, "identity": "mallory@us.ibm.com"})(bundle)
    assert keyless.vouches(root, **{**IBM, "issuer": "https://accounts.example"})(bundle)


def test_the_certificate_vector_verifies_under_its_own_root_and_no_other() -> None:
    bundle = read_bundle(valid("certificate"), "vector")
    root = x509.load_der_x509_certificate(bundle.certificates[-1])
    now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)

    assert certificate.vouches([root], now=now)(bundle) is None
    assert "does not lead" in certificate.vouches([leaf(None).certificate], now=now)(bundle)


@pytest.mark.parametrize("chain", [False, True], ids=["key", "certificate"])
def test_what_we_write_is_as_all_four_schemas_say(chain: bool) -> None:
    holder = leaf(None)
    by = holder.signer if chain else signer()
    made = json.loads(oms.sign(by, "model", TREE, certificates=[holder.der] if chain else []))

    statement = json.loads(base64.b64decode(made["dsseEnvelope"]["payload"]))
    for name, value in (
        ("bundle", made),
        ("envelope", made["dsseEnvelope"]),
        ("statement", statement),
        ("predicate", statement["predicate"]),
    ):
        check(name, value)


OLDER = {
    "rawBytes instead of hint": lambda d: d["verificationMaterial"].update(
        publicKey={"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    ),
    "keyid null": lambda d: d["dsseEnvelope"]["signatures"][0].update(keyid=None),
    "keyid absent": lambda d: d["dsseEnvelope"]["signatures"][0].pop("keyid"),
    "tlogEntries absent": lambda d: d["verificationMaterial"].pop("tlogEntries", None),
    "tlogEntries empty": lambda d: d["verificationMaterial"].update(tlogEntries=[]),
    "tlogEntries null": lambda d: d["verificationMaterial"].update(tlogEntries=None),
}


@pytest.mark.parametrize("change", OLDER.values(), ids=OLDER.keys())
def test_an_older_writers_form_is_accepted(change) -> None:
    document = json.loads(valid("key"))
    change(document)

    assert read(json.dumps(document).encode())


def test_a_statement_without_ignored_paths_and_with_any_name_is_accepted() -> None:
    statement = json.loads(oms.statement("model", oms.from_manifest(TREE)).encode())
    del statement["predicate"]["serialization"]["ignore_paths"]
    statement["subject"][0]["name"] = "anything"
    data = make_bundle(signer(), "application/vnd.in-toto+json", json.dumps(statement).encode())

    assert read(data).serialization.ignore_paths is None


def test_the_deprecated_predicate_of_version_0_2_is_not_read_and_said() -> None:
    by = signer()
    statement = json.loads(oms.statement("model", oms.from_manifest(TREE)).encode())
    statement["predicateType"] = "https://model_signing/Digests/v0.1"
    data = make_bundle(by, "application/vnd.in-toto+json", json.dumps(statement).encode())

    with pytest.raises(NotUnderstood, match="not a model signature"):
        verify_foreign(TREE, read_bundle(data, "old"), by.public_key)
