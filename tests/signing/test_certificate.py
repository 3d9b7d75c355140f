"""Signatures by a certificate's holder: what leads to the named authority, and every way not to."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tuneguard.errors import ConfigurationError, UsageError
from tuneguard.signing import certificate
from tuneguard.signing.bundle import make_bundle, read_bundle
from world.certificates import CODE_SIGNING, DAY, EMAIL, NOW, SERVER, authority, leaf, made
from world.keys import signer

ROOT = authority("Root")
BETWEEN = authority("Between", ROOT)
LEAF = leaf(BETWEEN)


def bundle(holder=LEAF, chain=(BETWEEN,), by=None):
    links = [holder.der, *(link.der for link in chain)]
    return read_bundle(make_bundle(by or holder.signer, "text/plain", b"hello", certificates=links), "b")


def fault(signed, *, roots=(ROOT,), now=NOW, **more):
    return certificate.vouches([root.certificate for root in roots], now=now, **more)(signed)


def test_a_chain_that_leads_to_the_named_root_is_believed():
    assert fault(bundle()) is None
    assert fault(bundle(leaf(ROOT), ())) is None
    assert fault(bundle(leaf(BETWEEN, curve=ec.SECP384R1()))) is None
    assert fault(bundle(chain=(BETWEEN, ROOT))) is None, "the root may be sent along"


def test_attack_a_root_that_the_bundle_brings_itself_counts_for_nothing():
    theirs = authority("Root")
    stranger = leaf(theirs)

    assert "does not lead" in fault(bundle(stranger, (theirs,)))


def test_without_its_intermediate_authority_a_leaf_leads_nowhere():
    assert "does not lead" in fault(bundle(chain=()))


def test_attack_a_signer_who_issues_certificates():
    below = leaf(LEAF)

    assert "does not lead" in fault(bundle(below, (LEAF, BETWEEN)))


def test_a_path_longer_than_an_authority_allows_is_refused():
    short = authority("Short", ROOT, path_length=0)
    below = authority("Below", short)

    assert "does not lead" in fault(bundle(leaf(below), (below, short)))


def test_an_authority_whose_key_may_not_issue_is_refused():
    barred = authority("Barred", ROOT, cert_sign=False)

    assert "does not lead" in fault(bundle(leaf(barred), (barred,)))


@pytest.mark.parametrize(
    ("usages", "said"),
    [
        ({"digital_signature": None, "extended": ()}, "has no usage for signing"),
        ({"digital_signature": False}, "no digitalSignature"),
        ({"extended": (SERVER,)}, "no codeSigning"),
    ],
)
def test_attack_a_web_servers_certificate_signs_no_model(usages, said):
    assert said in fault(bundle(leaf(BETWEEN, **usages)))


@pytest.mark.parametrize(
    "usages", [{"extended": ()}, {"digital_signature": None}, {"extended": (SERVER, CODE_SIGNING)}]
)
def test_one_of_the_two_usages_is_enough_where_the_other_is_silent(usages):
    assert fault(bundle(leaf(BETWEEN, **usages))) is None


def test_a_leaf_that_has_expired_or_is_not_valid_yet_is_refused_without_a_timestamp():
    old = leaf(BETWEEN, ends=NOW - DAY)
    early = leaf(BETWEEN, starts=NOW + DAY)

    assert "no timestamp" in fault(bundle(old))
    assert "no timestamp" in fault(bundle(early))


def test_a_proven_time_decides_and_not_now():
    assert fault(bundle(), now=NOW + 999 * DAY, time_of=lambda _: NOW) is None
    assert "no timestamp" in fault(bundle(), time_of=lambda _: NOW + 999 * DAY)
    assert fault(bundle(), time_of=lambda _: None) is None


def test_an_authority_that_has_expired_vouches_for_nothing_now():
    old = authority("Old", ROOT, ends=NOW - DAY)

    assert "does not lead" in fault(bundle(leaf(old), (old,)))


def test_attack_the_certificate_of_one_and_the_signature_of_another():
    assert "not signed by the key of its certificate" in fault(bundle(by=signer()))


def test_a_changed_payload_is_not_signed():
    changed = dataclasses.replace(bundle(), payload=b"hellO")

    assert "not signed" in fault(changed)


def test_the_identity_must_be_the_certificates():
    assert fault(bundle(), identity=EMAIL) is None
    assert fault(bundle(), identity="CN=Model Release") is None
    assert f"by {EMAIL}" in fault(bundle(), identity="mallory@models.example")
    assert "not by" in fault(bundle(), identity=EMAIL.upper())


def test_another_kind_of_bundle_is_not_of_this_method():
    plain = read_bundle(make_bundle(LEAF.signer, "text/plain", b"hello"), "b")

    assert "other means" in fault(plain)


@pytest.mark.parametrize("link", [b"", b"0\x80", LEAF.der[:-1], LEAF.der + b"\0"], ids=["0", "1", "2", "3"])
def test_a_certificate_that_is_none_is_a_refusal(link):
    broken = dataclasses.replace(bundle(), certificates=(link, BETWEEN.der))
    assert "cannot be used" in fault(broken)
    broken = dataclasses.replace(bundle(), certificates=(LEAF.der, link))
    assert "cannot be used" in fault(broken)


def test_what_is_written_is_checked_first(tmp_path):
    LEAF.write(tmp_path, "leaf")
    (tmp_path / "chain.pem").write_bytes(BETWEEN.pem + ROOT.pem)
    leaf(BETWEEN, extended=(SERVER,), key=LEAF.key).write(tmp_path, "web")
    key = LEAF.signer.public_key

    chain = certificate.chain_for(key, tmp_path / "leaf.pem", tmp_path / "chain.pem")
    assert chain == (LEAF.der, BETWEEN.der, ROOT.der)
    with pytest.raises(UsageError, match="not of the key"):
        certificate.chain_for(signer().public_key, tmp_path / "leaf.pem", None)
    with pytest.raises(UsageError, match="codeSigning"):
        certificate.chain_for(key, tmp_path / "web.pem", None)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", LEAF.der, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ids=["0", "1", "2", "3"],
)
def test_a_file_that_holds_no_certificates_is_usage(tmp_path, data):
    (tmp_path / "roots.pem").write_bytes(data)

    with pytest.raises(ConfigurationError, match="no certificates"):
        certificate.read_certificates(tmp_path / "roots.pem")


def test_a_leaf_with_a_key_of_another_type_is_a_refusal():
    class Rsa:
        key = rsa.generate_private_key(65537, 2048)

    odd = made("Model Release", BETWEEN, digital_signature=True, key=Rsa.key)
    assert odd.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = dataclasses.replace(bundle(), certificates=(odd.der, BETWEEN.der))

    assert "cannot be used" in fault(signed)
