"""Signatures over a file's own bytes: the four forms, and what is none of them."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tuneguard.errors import NotUnderstood
from tuneguard.signing.blob import is_blob_signature, read_blob_signature
from tuneguard.signing.bundle import BUNDLE_TYPE, make_bundle
from tuneguard.signing.key import KeyType
from tuneguard.signing.signers.file import FileSigner
from world.keys import signer

CONTENT = b'{"files": {}}'
SIGNER = signer()
RAW = SIGNER.sign(CONTENT)
TEXT = base64.b64encode(RAW)


def bundle(*, content=CONTENT, algorithm="SHA2_256", by="sha256", **changed):
    digest = base64.b64encode(hashlib.new(by, content).digest()).decode()
    document = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "messageSignature": {
            "messageDigest": {"algorithm": algorithm, "digest": digest},
            "signature": TEXT.decode(),
        },
    }
    return json.dumps({**document, **changed}).encode()


@pytest.mark.parametrize(
    "data",
    [RAW, TEXT, TEXT + b"\n", json.dumps({"base64Signature": TEXT.decode()}).encode(), bundle()],
    ids=["DER", "base64", "with a newline", "cosign's first bundle", "bundle v0.3"],
)
def test_each_form_is_read_and_is_by_its_key_only(data):
    assert is_blob_signature(data)
    read = read_blob_signature(data, CONTENT, "s")

    assert read.signed_by(SIGNER.public_key)
    assert not read.signed_by(signer().public_key)
    assert not read_blob_signature(data, CONTENT + b" ", "s").signed_by(SIGNER.public_key)


@pytest.mark.parametrize("algorithm", ["SHA2_256", "SHA2_384", "SHA2_512"])
def test_the_digest_in_a_bundle_is_of_the_content_or_the_signature_is_nobodys(algorithm):
    right = bundle(algorithm=algorithm, by=algorithm.replace("SHA2_", "sha"))
    wrong = bundle(algorithm=algorithm, by=algorithm.replace("SHA2_", "sha"), content=CONTENT + b" ")

    assert read_blob_signature(right, CONTENT, "s").signed_by(SIGNER.public_key)
    assert not read_blob_signature(wrong, CONTENT, "s").signed_by(SIGNER.public_key)


def test_a_digest_by_another_algorithm_is_not_understood():
    with pytest.raises(NotUnderstood, match="none of SHA-256"):
        read_blob_signature(bundle(algorithm="SHA3_256"), CONTENT, "s")


def test_an_empty_digest_is_read_as_cosign_leaves_it_with_ed25519():
    key = signer(KeyType.ED25519)
    signature = base64.b64encode(key.sign(CONTENT)).decode()
    data = bundle(messageSignature={"messageDigest": {}, "signature": signature})

    assert read_blob_signature(data, CONTENT, "s").signed_by(key.public_key)
    assert not read_blob_signature(data, CONTENT + b" ", "s").signed_by(key.public_key)


def test_cosigns_way_with_p384_keys_is_read_and_everybody_elses():
    key = ec.generate_private_key(ec.SECP384R1())
    public = FileSigner(key).public_key

    for algorithm in (hashes.SHA256(), hashes.SHA384()):
        assert read_blob_signature(key.sign(CONTENT, ec.ECDSA(algorithm)), CONTENT, "s").signed_by(public)
    assert not read_blob_signature(key.sign(CONTENT, ec.ECDSA(hashes.SHA512())), CONTENT, "s").signed_by(
        public
    )


def test_ed25519_signatures_are_read():
    key = signer(KeyType.ED25519)

    assert read_blob_signature(key.sign(CONTENT), CONTENT, "s").signed_by(key.public_key)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"-----BEGIN PUBLIC KEY-----",
        RAW[:-1],
        RAW + b"\0",
        TEXT + b"!",
        b"0" * 5000,
        b"{}",
        b"{",
        b"[]",
        json.dumps({"base64Signature": 7}).encode(),
        json.dumps({"base64Signature": ""}).encode(),
        bundle(mediaType="text/plain"),
        bundle(messageSignature={}),
        bundle(messageSignature=[]),
        bundle(verificationMaterial={}),
        bundle(messageSignature={"signature": TEXT.decode(), "messageDigest": "x"}),
    ],
    ids=[str(number) for number in range(17)],
)
def test_what_is_none_of_them_is_not_understood(data):
    with pytest.raises(NotUnderstood):
        read_blob_signature(data, CONTENT, "s")


def test_a_bundle_around_an_envelope_is_the_other_kind():
    assert not is_blob_signature(make_bundle(SIGNER, "text/plain", b"x"))
    assert not is_blob_signature(b"rubbish")
