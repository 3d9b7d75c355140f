"""Azure Key Vault, against a stub over TLS: each way to say no, and keys that may not sign now."""

from __future__ import annotations

import pytest

from tuneguard.errors import CannotLook, UsageError
from tuneguard.signing.signer import open_signer
from tuneguard.signing.signers import azurekms
from world.keys import no_passphrase
from world.services import Asked, environment, serving
from world.signers import azurekms as world


@pytest.fixture
def service(tmp_path):
    with world.service(tmp_path) as running:
        yield running


@pytest.fixture
def opened(service):
    return lambda key="p256": open_signer(f"azurekms://{service.host}/{key}", no_passphrase)


def getting(service, name="p256", **attributes):
    """What the service says about a key, with other attributes."""
    return world.held(Asked("GET", "", {"host": service.host}, b""), name, **attributes)


def challenged(*answers):
    """Each answer comes after the challenge that a new client gets."""
    return [(401, {}, {"WWW-Authenticate": world.CHALLENGE}), *answers]


def test_the_version_that_was_fetched_is_the_one_that_signs(service, opened):
    opened().sign(b"m")

    assert f"/keys/p256/{world.VERSION}/sign" in service.asked[-1].path


def test_a_throttled_request_is_tried_again_in_sight_and_by_us_only(service, opened, retries):
    service.next = challenged(world.refused(429, "Throttled"), world.refused(503, "Down"))

    assert opened().public_key
    assert [line.partition(": ")[2] for line in retries] == [
        "is throttled, try 2 of 4",
        "answers 503, try 3 of 4",
    ]
    assert len(service.asked) == 4


@pytest.mark.parametrize(
    ("status", "said"), [(403, "not permitted"), (404, "no such key"), (400, "refuses .400.")]
)
def test_each_refusal_is_one_clear_sentence_and_not_tried_again(service, opened, retries, status, said):
    service.next = challenged(world.refused(status, "SomeCode"))

    with pytest.raises(UsageError, match=said) as caught:
        opened()

    assert retries == []
    assert caught.value.help
    assert "own words" not in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"enabled": False}, "disabled"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
    ],
)
def test_a_key_that_may_not_sign_now_is_refused_before_it_is_asked_to(service, opened, attributes, said):
    service.next = challenged((200, getting(service, **attributes)))

    with pytest.raises(UsageError, match=said):
        opened()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key_ops": ["verify"]}, "not for signing"),
        ({"kty": "RSA", "crv": None, "x": None, "y": None, "n": "AQAB", "e": "AQAB"}, "of type RSA"),
        ({"crv": "P-256K"}, "of type EC-HSM P-256K"),
        ({"x": world.text(b"\1" * 32)}, "public key that is none"),
    ],
)
def test_keys_of_other_types_are_refused(service, opened, changed, said):
    body = getting(service)
    body["key"] = {name: value for name, value in {**body["key"], **changed}.items() if value is not None}
    service.next = challenged((200, body))

    with pytest.raises((UsageError, CannotLook), match=said):
        opened()


@pytest.mark.parametrize("signature", [b"", b"\1" * 63, b"\1" * 64, b"\0" * 64], ids=len)
def test_attack_another_signature_never_gets_out(service, opened, signature):
    signer = opened()
    service.next = [(200, {"kid": "x", "value": world.text(signature)})]

    with pytest.raises(CannotLook, match=r"does not verify|bytes, not 64|could not read"):
        signer.sign(b"m")


def test_a_service_that_does_not_answer_is_left_in_time(service, opened, retries, monkeypatch):
    monkeypatch.setattr(azurekms, "READ_SECONDS", 0.1)
    service.next = [None] * 4

    with pytest.raises(CannotLook, match="timed out"):
        opened()
    assert len(retries) == 3


def test_without_credentials_it_says_so(service, opened):
    def nobody(_):
        return 400, {"error": "invalid_request", "error_description": "no identity"}

    with (
        serving(nobody) as none,
        environment(IDENTITY_ENDPOINT=f"{none.url}/token"),
        pytest.raises(UsageError, match="credentials") as caught,
    ):
        opened()
    assert "az login" in caught.value.help


def test_a_server_whose_certificate_is_not_believed_gets_no_token(service, opened, retries):
    with environment(REQUESTS_CA_BUNDLE=None), pytest.raises(CannotLook, match="cannot be reached"):
        opened()
    assert service.asked == []


@pytest.mark.parametrize(
    "uri", ["azurekms://", "azurekms://v", "azurekms://v/k/v/w", "azurekms://u@v/k", "azurekms://v/k?x"]
)
def test_what_is_no_key_is_refused_unasked(uri):
    with pytest.raises(UsageError, match="is not a key"):
        open_signer(uri, no_passphrase)
