"""Google Cloud KMS, against a stub of its REST methods: each way to say no, and damage on the way."""

from __future__ import annotations

import hashlib

import pytest

from tuneguard.errors import CannotLook, ConfigurationError, TuneguardError, UsageError
from tuneguard.signing.signer import open_signer
from tuneguard.signing.signers import gcpkms
from world.keys import no_passphrase
from world.services import environment, sign_digest
from world.signers import gcpkms as world

NAMED = f"gcpkms://{world.RING}p256/versions/2"
VERSION = f"{world.RING}p256/cryptoKeyVersions/2"
PEM = (
    "-----BEGIN PUBLIC KEY-----\nMDwwDQYJKoZIhvcNAQEBBQADKwAwKAIhAKIAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
    "AAAAAAAAAAAhAgMBAAE=\n-----END PUBLIC KEY-----\n"
)


@pytest.fixture
def service(tmp_path):
    with world.service(tmp_path) as running:
        yield running


def opened(uri=NAMED):
    return open_signer(uri, no_passphrase)


def test_the_sum_is_crc_32c():
    assert gcpkms.crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720's polynomial
    assert gcpkms.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4


def test_without_a_version_the_newest_enabled_one_signs_by_number_and_not_by_text(service):
    opened(f"gcpkms://{world.RING}p256").sign(b"m")

    path = f"/v1/{world.RING}p256/cryptoKeyVersions/10:asymmetricSign"
    assert service.asked[-1].path.partition("?")[0] == path


def test_a_key_without_an_enabled_version_says_so(service):
    service.next = [(200, {"access_token": "t", "expires_in": 9}), (200, {})]
    with pytest.raises(UsageError, match="no enabled version"):
        opened(f"gcpkms://{world.RING}p256")


def test_a_throttled_request_is_tried_again_in_sight_and_by_us_only(service, retries):
    signer = opened()
    before = len(service.asked)
    service.next = [world.refused(429, "RESOURCE_EXHAUSTED"), world.refused(503, "UNAVAILABLE")]

    assert signer.sign(b"m")
    assert retries == [
        f"Retrying  {NAMED}: is throttled, try 2 of 4",
        f"Retrying  {NAMED}: answers 503, try 3 of 4",
    ]
    assert len(service.asked) == before + 3


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (400, "FAILED_PRECONDITION", "not enabled"),
        (401, "UNAUTHENTICATED", "not accepted"),
        (403, "PERMISSION_DENIED", "may not use"),
        (404, "NOT_FOUND", "no such key"),
        (409, "ABORTED", "refuses .409."),
    ],
)
def test_each_refusal_is_one_clear_sentence_and_not_tried_again(service, retries, code, status, said):
    signer = opened()
    service.next = [world.refused(code, status)] * 3

    with pytest.raises(UsageError, match=said) as caught:
        signer.sign(b"m")

    assert retries == []
    assert caught.value.help
    assert "own words" not in str(caught.value)


def test_a_disabled_version_is_refused(service):
    with pytest.raises(UsageError, match="not enabled"):
        opened(f"gcpkms://{world.RING}p256/versions/3")


def test_keys_of_other_types_are_refused(service):
    with pytest.raises(UsageError, match="whole messages"):
        opened(f"gcpkms://{world.RING}ed/versions/2")
    opened()
    pem = PEM.encode()
    service.next = [
        (200, {"access_token": "t", "expires_in": 9}),
        (200, {"name": VERSION, "pem": PEM, "pemCrc32c": str(gcpkms.crc32c(pem))}),
    ]
    with pytest.raises((ConfigurationError, TuneguardError)):
        opened()


def test_a_damaged_public_key_is_noticed(service):
    status, body = world.answer(asked_for_key(service))
    for changed in (
        {"pemCrc32c": "1"},
        {"name": VERSION.replace("p256", "p384")},
        {"pem": body["pem"] + " "},
    ):
        service.next = [(200, {"access_token": "t", "expires_in": 9}), (status, {**body, **changed})]
        with pytest.raises(CannotLook, match="damaged"):
            opened()


def asked_for_key(service):
    """The request for the public key."""
    opened()
    return service.asked[-1]


def test_a_damaged_signature_is_noticed(service):
    signer = opened()
    signature = sign_digest(world.KEYS["p256"], hashlib.sha256(b"m").digest())
    good = world.signed(VERSION, signature)[1]
    for changed in ({"signatureCrc32c": "1"}, {"verifiedDigestCrc32c": False}, {"name": "another"}):
        service.next = [(200, {**good, **changed})]
        with pytest.raises(CannotLook, match="damaged"):
            signer.sign(b"m")


def test_attack_a_signature_over_other_bytes_never_gets_out(service):
    signer = opened()
    service.next = [world.signed(VERSION, sign_digest(world.KEYS["p256"], hashlib.sha256(b"x").digest()))]

    with pytest.raises(CannotLook, match="does not verify"):
        signer.sign(b"m")


def test_a_service_that_does_not_answer_is_left_in_time(service, retries, monkeypatch):
    signer = opened()
    monkeypatch.setattr(gcpkms, "READ_SECONDS", 0.1)
    service.next = [None] * 4

    with pytest.raises(CannotLook, match=r"timed out|answers 50"):
        signer.sign(b"m")
    assert len(retries) == 3


def test_without_credentials_it_says_so_and_looks_for_none_on_the_network(service):
    with environment(GOOGLE_APPLICATION_CREDENTIALS=None), pytest.raises(UsageError, match="no Google"):
        opened()
    assert service.asked == []


def test_an_endpoint_without_tls_gets_no_token(service):
    with (
        environment(**{gcpkms.ENDPOINT_VARIABLE: "http://kms.example/"}),
        pytest.raises(UsageError, match="without TLS"),
    ):
        opened()


@pytest.mark.parametrize(
    "uri",
    [
        "gcpkms://",
        "gcpkms://projects/p/locations/l/keyRings/r",
        "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/",
        "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/latest",
        "gcpkms://projects/p/locations/../keyRings/r/cryptoKeys/k?x",
    ],
)
def test_what_is_no_key_is_refused_unasked(service, uri):
    with pytest.raises(UsageError, match="is not a key"):
        opened(uri)
    assert service.asked == []
