"""Vault's transit engine, against a stub of its calls: each way to say no, and who gets the token."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tuneguard.errors import CannotLook, NotUnderstood, TuneguardError, UsageError
from tuneguard.signing.signer import open_signer
from tuneguard.signing.signers import hashivault
from world.keys import no_passphrase
from world.services import environment, serving
from world.signers import hashivault as world

URI = "hashivault://p256"


@pytest.fixture
def service(tmp_path):
    with world.service(tmp_path) as running:
        yield running


def opened(uri=URI):
    return open_signer(uri, no_passphrase)


def test_the_version_that_was_fetched_is_the_one_that_signs(service):
    opened().sign(b"m")

    assert service.asked[-1].json["key_version"] == world.VERSION


def test_the_token_may_lie_where_vaults_login_puts_it(service, tmp_path):
    (tmp_path / ".vault-token").write_text(world.TOKEN + "\n")

    with environment(VAULT_TOKEN=None):
        assert opened().public_key


def test_mount_and_namespace_are_those_of_the_environment(service):
    with (
        environment(TRANSIT_SECRET_ENGINE_PATH="teams/transit", VAULT_NAMESPACE="ml"),
        pytest.raises(TuneguardError),
    ):
        opened()

    assert service.asked[0].path == "/v1/teams/transit/keys/p256"
    assert service.asked[0].headers["x-vault-namespace"] == "ml"


def test_a_sealed_or_busy_vault_is_tried_again_in_sight(service, retries):
    service.next = [(503, {"errors": ["Vault is sealed"]}), (429, {"errors": []})]

    assert opened().public_key
    assert retries == [
        f"Retrying  {URI}: is sealed or down, try 2 of 4",
        f"Retrying  {URI}: is throttled, try 3 of 4",
    ]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, {"errors": ["permission denied"]}, "may not use the key"),
        (404, {"errors": []}, "no such key"),
        (307, {}, "another node"),
        (400, {"errors": ["key type \x1b[31m does not sign"]}, "refuses .400.: key type"),
        (400, b"<html>", "no reason given"),
    ],
)
def test_each_refusal_is_one_clear_sentence_and_not_tried_again(service, retries, status, body, said):
    service.next = [(status, body)]

    with pytest.raises(UsageError, match=said) as caught:
        opened()

    assert retries == []
    assert caught.value.help
    assert "\x1b" not in str(caught.value)
    assert world.TOKEN not in str(caught.value)


def test_attack_a_redirect_does_not_take_the_token_along(service):
    with serving(world.answer) as other:
        service.next = [(307, {}, {"Location": f"{other.url}/v1/transit/keys/p256"})]

        with pytest.raises(UsageError, match="another node"):
            opened()
        assert other.asked == []


@pytest.mark.parametrize(
    "address", ["", "vault:8200", "ftp://vault", "http://vault.example:8200", "https://u:p@v"]
)
def test_an_address_that_is_none_or_without_tls_gets_no_token(service, address):
    with environment(VAULT_ADDR=address), pytest.raises(UsageError, match="VAULT_ADDR"):
        opened()
    assert service.asked == []


def test_without_a_token_it_says_so(service):
    with environment(VAULT_TOKEN=None), pytest.raises(UsageError, match="no token"):
        opened()
    with environment(VAULT_TOKEN="a\r\nX-Other: b"), pytest.raises(UsageError, match="no token"):
        opened()


@pytest.mark.parametrize("kind", ["aes256-gcm96", "rsa-2048"])
def test_a_key_of_another_type_is_refused_by_name(service, kind):
    service.next = [(200, {"data": {"type": kind, "latest_version": 1, "keys": {"1": 1600000000}}})]

    with pytest.raises(UsageError, match=kind):
        opened()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": 1}',
        b"{" * 10_000,
        b'{"data": {"latest_version": true, "keys": {"True": {}}}}',
    ],
)
def test_rubbish_is_not_a_key(service, body):
    service.next = [(200, body)]

    with pytest.raises(TuneguardError):
        opened()


@pytest.mark.parametrize("signature", [None, "", "vault:v3:", "vault:v3:!!!!", "vault:v3:AAA", 7])
def test_rubbish_is_not_a_signature(service, signature):
    signer = opened()
    service.next = [(200, {"data": {"signature": signature}})]

    with pytest.raises((NotUnderstood, CannotLook)):
        signer.sign(b"m")


def test_attack_a_signature_over_other_bytes_never_gets_out(service):
    signer = opened()
    other = world.KEYS["p256"].sign(b"other", ec.ECDSA(hashes.SHA256()))
    service.next = [(200, {"data": {"signature": f"vault:v3:{base64.b64encode(other).decode()}"}})]

    with pytest.raises(CannotLook, match="does not verify"):
        signer.sign(b"m")


def test_a_vault_that_does_not_answer_is_left_in_time(service, retries, monkeypatch):
    monkeypatch.setattr(hashivault, "READ_SECONDS", 0.05)
    service.next = [None] * 4

    with pytest.raises(CannotLook, match="timed out"):
        opened()
    assert len(retries) == 3


@pytest.mark.parametrize(
    "uri", ["hashivault:", "hashivault://", "hashivault://a/b", "hashivault://a?b", "hashivault://../x"]
)
def test_what_is_no_key_is_refused_unasked(service, uri):
    with pytest.raises(UsageError, match="is not a key"):
        opened(uri)
    assert service.asked == []
