"""AWS KMS, against a stub of its wire protocol: each way in which it says no, and what it is never asked."""

from __future__ import annotations

import pytest

from tuneguard.errors import CannotLook, UsageError
from tuneguard.signing.signer import open_signer
from tuneguard.signing.signers import awskms
from world.keys import no_passphrase
from world.services import environment
from world.signers import awskms as world

URI = f"awskms:///{world.IDS['p256']}"


@pytest.fixture
def service(tmp_path):
    with world.service(tmp_path) as running:
        yield running


def opened(uri=URI):
    return open_signer(uri, no_passphrase)


def test_what_is_asked_to_be_signed_is_a_digest_with_the_key_itself_and_not_the_alias(service):
    opened("awskms:///alias/builder").sign(b"m" * 10_000)

    said = service.asked[-1].json
    assert said["MessageType"] == "DIGEST"
    assert said["KeyId"] == world.ARN + world.IDS["p256"]


def test_the_region_of_an_arn_is_used_whatever_the_environment_says(service):
    with environment(AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1"):
        assert opened(f"awskms:///{world.ARN}{world.IDS['p256']}").public_key


def test_a_throttled_request_is_tried_again_in_sight(service, retries):
    service.next = [world.refused("ThrottlingException"), world.refused("KMSInternalException", 500)]

    signer = opened()
    assert len(retries) == 2
    assert retries[0] == f"Retrying  {URI}: is throttled, try 2 of 4"
    assert len(service.asked) == 3

    service.next = [world.refused("ThrottlingException")] * 9
    with pytest.raises(CannotLook, match="is throttled, 4 times tried"):
        signer.sign(b"m")
    assert len(service.asked) == 7, "the SDK must not try again on its own"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("DisabledException", "is disabled"),
        ("KMSInvalidStateException", "deleted"),
        ("InvalidKeyUsageException", "not for signing"),
        ("AccessDeniedException", "may not use the key"),
        ("ExpiredTokenException", "have expired"),
        ("InvalidSignatureException", "not accepted"),
        ("BrandNewException\x1b[31m", "AWS refuses: BrandNew"),
    ],
)
def test_each_refusal_is_one_clear_sentence_and_not_tried_again(service, retries, kind, said):
    service.next = [world.refused(kind)]

    with pytest.raises(UsageError, match=said) as caught:
        opened()

    assert retries == []
    assert caught.value.help
    assert "the service's own words" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_key_in_another_region_is_not_there(service):
    with pytest.raises(UsageError, match="no such key") as caught:
        opened("awskms:///00000000-0000-0000-0000-999999999999")

    assert "region" in caught.value.help


def test_an_ed25519_key_is_refused_for_messages_are_larger_than_the_service_takes(service):
    with pytest.raises(UsageError, match="whole messages"):
        opened(f"awskms:///{world.IDS['ed25519']}")


def test_a_key_for_other_uses_is_refused_before_it_is_asked_to_sign(service):
    status, body = world.answer_to_public_key(world.IDS["p256"])
    service.next = [(status, {**body, "KeyUsage": "KEY_AGREEMENT"})]

    with pytest.raises(UsageError, match="not for signing"):
        opened()


def test_attack_a_signature_over_other_bytes_never_gets_out(service):
    signer = opened()
    service.next = [(200, {"KeyId": "x", "Signature": world.signature_over(b"other")})]

    with pytest.raises(CannotLook, match="does not verify"):
        signer.sign(b"m")


def test_a_service_that_does_not_answer_is_left_in_time(service, retries, monkeypatch):
    monkeypatch.setattr(awskms, "READ_SECONDS", 0.05)
    service.next = [None] * 4

    with pytest.raises(CannotLook, match="timed out"):
        opened()
    assert len(retries) == 3


def test_without_credentials_or_region_it_says_which(service):
    with (
        environment(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None),
        pytest.raises(UsageError, match="no AWS"),
    ):
        opened()
    with (
        environment(AWS_REGION=None, AWS_DEFAULT_REGION=None),
        pytest.raises(UsageError, match="no region") as caught,
    ):
        opened()
    assert "AWS_REGION" in caught.value.help


@pytest.mark.parametrize(
    "uri",
    [
        "awskms:",
        "awskms://",
        "awskms:///",
        "awskms://key",
        "awskms:///a b",
        "awskms:///../x",
        "awskms://u:p@h/key",
    ],
)
def test_what_is_no_key_is_refused_unasked(service, uri):
    with pytest.raises(UsageError, match=r"awskms:///KEY|is not a key"):
        opened(uri)
    assert service.asked == []
