"""Keys in Kubernetes' secrets, against a stub of the API server."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tuneguard.errors import CannotLook, NotUnderstood, Refused, UsageError
from tuneguard.signing.signer import open_signer
from tuneguard.signing.signers import k8s
from world.keys import no_passphrase
from world.services import environment, spki
from world.signers import k8s as world

URI = "k8s://ml/signer"


@pytest.fixture
def service(tmp_path):
    with world.service(tmp_path) as running:
        yield running


def opened(uri=URI):
    return open_signer(uri, no_passphrase)


def test_only_the_one_secret_is_asked_for(service):
    opened()

    assert [asked.path for asked in service.asked] == [f"{world.PREFIX}signer"]


def test_attack_a_public_half_of_another_key_is_refused(service):
    other = spki(ec.generate_private_key(ec.SECP256R1()), Encoding.PEM)
    service.next = [world.secret(world.members(pub=other))]

    with pytest.raises(Refused, match="not the public half"):
        opened()


@pytest.mark.parametrize("name", ["key", "password"])
def test_a_missing_member_is_named(service, name):
    members = world.members()
    del members[f"cosign.{name}"]
    service.next = [world.secret(members)]

    with pytest.raises(NotUnderstood, match=f"no cosign.{name}"):
        opened()


def test_a_password_that_does_not_open_the_key_is_said_and_not_shown(service):
    service.next = [world.secret({**world.members(), "cosign.password": b"swordfish"})]

    with pytest.raises(UsageError, match="does not open") as caught:
        opened()
    assert "swordfish" not in str(caught.value)


def test_a_member_that_is_not_base64_is_not_understood(service):
    status, body = world.secret(world.members())
    service.next = [(status, {**body, "data": {"cosign.key": "!!!"}})]

    with pytest.raises(NotUnderstood, match="not base64"):
        opened()


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not know"), (403, "no permission"), (404, "no such secret"), (409, "409")],
)
def test_each_refusal_is_one_clear_sentence_and_not_tried_again(service, retries, status, said):
    service.next = [world.refused(status)]

    with pytest.raises(UsageError, match=said) as caught:
        opened()
    assert retries == []
    assert caught.value.help


def test_a_busy_server_is_tried_again_in_sight_and_by_us_only(service, retries):
    service.next = [world.refused(429), world.refused(503)]

    assert opened().public_key
    assert len(retries) == 2
    assert len(service.asked) == 3


def test_a_server_that_does_not_answer_is_left_in_time(service, retries, monkeypatch):
    monkeypatch.setattr(k8s, "READ_SECONDS", 0.1)
    service.next = [None] * 4

    with pytest.raises(CannotLook, match="timed out"):
        opened()
    assert len(retries) == 3


def test_without_a_cluster_it_says_so(tmp_path):
    pytest.importorskip("kubernetes")
    with (
        environment(KUBECONFIG=str(tmp_path / "none"), HOME=str(tmp_path), KUBERNETES_SERVICE_HOST=None),
        pytest.raises(UsageError, match="no cluster"),
    ):
        opened()


@pytest.mark.parametrize("uri", ["k8s://", "k8s://ml", "k8s://ml/../x", "k8s://ml/a/b", "k8s://ml/a?b"])
def test_what_is_no_secret_is_refused_unasked(service, uri):
    with pytest.raises(UsageError, match="is not a secret"):
        opened(uri)
    assert service.asked == []
