"""Keys that somebody else holds: tried a bounded number of times, every retry said, nothing believed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tuneguard.errors import CannotLook, Refused, UsageError
from tuneguard.signing import remote
from tuneguard.signing.key import KeyType
from tuneguard.signing.remote import Faltered, RemoteSigner, attempts, der, only_ecdsa, prehashed
from world.keys import signer

WHERE = "somekms:key"


@pytest.fixture
def heard(monkeypatch):
    """What was announced, and how long was slept."""
    lines, pauses = [], []
    monkeypatch.setattr(remote, "announce", lines.append)
    monkeypatch.setattr(remote, "sleep", pauses.append)
    return lines, pauses


def faltering(times, then=b"done", **more):
    """A call that falters so many times."""
    left = [times]

    def call():
        if left[0]:
            left[0] -= 1
            raise Faltered("is throttled", **more)
        return then

    return call


def test_a_call_that_falters_is_tried_again_and_each_retry_is_said(heard):
    assert attempts(WHERE, faltering(2)) == b"done"

    lines, pauses = heard
    assert [line.strip() for line in lines] == [
        f"Retrying  {WHERE}: is throttled, try 2 of 4",
        f"Retrying  {WHERE}: is throttled, try 3 of 4",
    ]
    assert 0.4 <= pauses[0] <= 0.6
    assert 0.8 <= pauses[1] <= 1.2


def test_after_four_tries_it_is_given_up(heard):
    with pytest.raises(CannotLook, match="is throttled, 4 times tried"):
        attempts(WHERE, faltering(9))

    assert len(heard[1]) == 3


def test_the_service_says_how_long_to_wait_and_is_not_waited_for_beyond_the_budget(heard):
    assert attempts(WHERE, faltering(1, after=7.0)) == b"done"
    assert heard[1] == [7.0]

    with pytest.raises(CannotLook, match="once tried"):
        attempts(WHERE, faltering(1, after=3600.0))


def test_an_error_that_no_other_try_mends_is_not_tried_again(heard):
    calls = []

    def call():
        calls.append(1)
        raise Refused("the key is disabled")

    with pytest.raises(Refused):
        attempts(WHERE, call)
    assert calls == [1]


def test_attack_a_signature_by_another_key_or_over_other_bytes_never_gets_out():
    ours, other = signer(), signer()

    good = RemoteSigner(WHERE, ours.public_key, ours.sign)
    assert ours.public_key.verify(good.sign(b"m"), b"m")
    for sign in (other.sign, lambda message: ours.sign(message + b"!"), lambda _: b"", lambda _: b"\0" * 70):
        with pytest.raises(CannotLook, match="does not verify"):
            RemoteSigner(WHERE, ours.public_key, sign).sign(b"m")


def test_r_and_s_become_der_and_another_length_is_refused():
    key = signer(KeyType.P384).public_key

    assert decode_dss_signature(der(b"\0" * 47 + b"\1" + b"\0" * 47 + b"\2", key, WHERE)) == (1, 2)
    with pytest.raises(CannotLook, match="of 64 bytes, not 96"):
        der(b"\1" * 64, key, WHERE)


def test_the_digest_is_that_of_the_curve():
    assert len(prehashed(signer(KeyType.P256).public_key, b"m")) == 32
    assert len(prehashed(signer(KeyType.P384).public_key, b"m")) == 48


def test_an_ed25519_key_is_refused_where_only_digests_are_taken():
    with pytest.raises(UsageError, match="whole messages"):
        only_ecdsa(signer(KeyType.ED25519).public_key, WHERE)
    assert only_ecdsa(signer().public_key, WHERE)


def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it():
    with pytest.raises(UsageError, match="nosuchlib") as caught:
        remote.library("nosuchlib.client", "aws")

    assert caught.value.help == "pip install 'tuneguard[aws]'"
