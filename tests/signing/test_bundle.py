import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.errors import CannotLook, NotUnderstood, Refused
from tuneguard.signing.bundle import BUNDLE_TYPE, make_bundle, read_bundle
from tuneguard.signing.key import KeyType
from world.keys import signer

SIGNER = signer()
TYPE = "application/vnd.in-toto+json"


def made(payload=b'{"a":1}', payload_type=TYPE):
    return make_bundle(SIGNER, payload_type, payload)


def edited(change, data=None):
    """The bundle after `change` has had its way with the parsed JSON."""
    document = json.loads(data or made())
    change(document)
    return json.dumps(document).encode()


def envelope(document):
    return document["dsseEnvelope"]


def understood(data):
    return read_bundle(data, "bundle.json").signed_by(SIGNER.public_key)


@pytest.mark.parametrize("type", KeyType)
@given(payload=st.binary(max_size=300), payload_type=st.text(min_size=1, max_size=30))
@settings(max_examples=25)
def test_what_is_signed_is_read_back_and_verifies(type, payload, payload_type):
    by = signer(type)
    bundle = read_bundle(make_bundle(by, payload_type, payload or b"x"), "bundle.json")

    assert (bundle.payload_type, bundle.payload) == (payload_type, payload or b"x")
    assert bundle.signed_by(by.public_key)
    assert not bundle.signed_by(SIGNER.public_key)


def test_it_is_a_sigstore_bundle_with_the_keys_fingerprint_as_hint_and_no_keyid():
    document = json.loads(made())

    assert document["mediaType"] == BUNDLE_TYPE
    assert document["verificationMaterial"] == {"publicKey": {"hint": SIGNER.public_key.hint}}
    assert [signature["keyid"] for signature in envelope(document)["signatures"]] == [""]


def test_a_swapped_payload_does_not_verify():
    other = base64.b64encode(b'{"a":2}').decode()

    assert not understood(edited(lambda document: envelope(document).update(payload=other)))


def test_a_payload_signed_as_one_type_is_not_verified_as_another():
    assert not understood(edited(lambda document: envelope(document).update(payloadType="text/plain")))


def test_the_wrong_key_does_not_verify_whatever_the_bundle_says_of_its_key():
    other = signer().public_key

    def claim(document):
        document["verificationMaterial"]["publicKey"]["hint"] = other.hint
        envelope(document)["signatures"][0]["keyid"] = other.hint

    bundle = read_bundle(edited(claim), "bundle.json")

    assert bundle.hint == bundle.keyid == other.hint
    assert not bundle.signed_by(other)
    assert bundle.signed_by(SIGNER.public_key)


@pytest.mark.parametrize("count", [0, 2, 1000])
def test_exactly_one_signature_is_read(count):
    def repeat(document):
        envelope(document)["signatures"] *= count

    with pytest.raises(NotUnderstood, match="signatures"):
        understood(edited(repeat))


def test_a_second_signature_by_the_attacker_does_not_ride_along():
    attacker = json.loads(make_bundle(signer(), TYPE, b'{"a":1}'))

    with pytest.raises(NotUnderstood, match="exactly one"):
        understood(
            edited(
                lambda document: envelope(document)["signatures"].append(
                    attacker["dsseEnvelope"]["signatures"][0]
                )
            )
        )


@pytest.mark.parametrize("keyid", [None, "", "0" * 64], ids=["null", "empty", "other"])
def test_a_keyid_of_any_text_or_null_is_read(keyid):
    assert understood(edited(lambda document: envelope(document)["signatures"][0].update(keyid=keyid)))


def test_an_absent_keyid_is_read():
    bundle = read_bundle(edited(lambda document: envelope(document)["signatures"][0].pop("keyid")), "b")

    assert bundle.keyid == ""


def test_the_older_form_with_raw_bytes_instead_of_a_hint_is_read_and_its_key_not_believed():
    attacker = signer().public_key

    def old(document):
        document["verificationMaterial"]["publicKey"] = {
            "rawBytes": attacker.base64,
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        }

    bundle = read_bundle(edited(old), "b")

    assert bundle.hint is None
    assert bundle.signed_by(SIGNER.public_key)
    assert not bundle.signed_by(attacker)


def test_unknown_fields_are_ignored():
    def extend(document):
        document["new"] = {"x": 1}
        document["verificationMaterial"]["tlogEntries"] = []
        envelope(document)["signatures"][0]["cert"] = "…"

    assert understood(edited(extend))


@pytest.mark.parametrize("material", ["certificate", "x509CertificateChain"])
def test_certificates_are_handed_on_and_not_believed(material):
    one = {"rawBytes": base64.b64encode(b"der").decode()}

    def certified(document):
        document["verificationMaterial"] = {
            material: one if material == "certificate" else {"certificates": [one] * 2}
        }

    bundle = read_bundle(edited(certified), "b")

    assert bundle.certificates == (b"der",) * (1 if material == "certificate" else 2)
    assert bundle.signed_by(SIGNER.public_key)


def remove(*path):
    def change(document):
        for name in path[:-1]:
            document = document[name]
        del document[path[-1]]

    return change


def put(value, *path):
    def change(document):
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


SIGNATURE = ("dsseEnvelope", "signatures", 0, "sig")


@pytest.mark.parametrize(
    "change",
    [
        remove("mediaType"),
        remove("verificationMaterial"),
        remove("dsseEnvelope"),
        remove("dsseEnvelope", "payload"),
        remove("dsseEnvelope", "payloadType"),
        remove(*SIGNATURE),
        put("application/vnd.dev.sigstore.bundle.v0.9+json", "mediaType"),
        put(None, "dsseEnvelope", "payload"),
        put(7, "dsseEnvelope", "payload"),
        put("", "dsseEnvelope", "payloadType"),
        put({}, "dsseEnvelope", "signatures"),
        put(["x"], "dsseEnvelope", "signatures"),
        put(7, "dsseEnvelope", "signatures", 0, "keyid"),
        put([], "dsseEnvelope"),
        put({}, "messageSignature"),
        put({}, "verificationMaterial"),
        put({}, "verificationMaterial", "publicKey"),
        put({"rawBytes": ""}, "verificationMaterial", "certificate"),
        put({"certificate": {}}, "verificationMaterial"),
        put({"x509CertificateChain": {"certificates": []}}, "verificationMaterial"),
        put({"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}] * 17}}, "verificationMaterial"),
        put({"x509CertificateChain": {"certificates": "AAAA"}}, "verificationMaterial"),
    ],
)
def test_what_is_not_a_bundle_of_the_form_is_not_understood(change):
    with pytest.raises(NotUnderstood, match="bundle that we read"):
        understood(edited(change))


@pytest.mark.parametrize(
    "text",
    ["YQ", "YQ=", "YQ==\n", " YQ==", "YR==", "YQ==YQ==", "Y\u200bQ==", "+/-_", "é", "====", "YWJj=="],
    ids=[
        "no padding",
        "short",
        "newline",
        "space",
        "trailing bits",
        "two",
        "hidden",
        "mixed",
        "é",
        "=",
        "too much",
    ],
)
def test_base64_that_is_not_canonical_is_not_understood(text):
    """A second spelling of the same bytes would be the same evidence under another digest."""
    for path in (SIGNATURE, ("dsseEnvelope", "payload")):
        with pytest.raises(NotUnderstood, match="canonical base64"):
            understood(edited(put(text, *path)))


def test_the_url_safe_alphabet_is_read_as_dsse_asks():
    payload = b"\xfb\xff\xfe"
    data = make_bundle(SIGNER, TYPE, payload)

    def url_safe(document):
        for holder, name in ((envelope(document), "payload"), (envelope(document)["signatures"][0], "sig")):
            holder[name] = holder[name].replace("+", "-").replace("/", "_")

    assert understood(edited(url_safe, data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b'{"mediaType":NaN}',
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 100_000,
        made()[:-1],
        made() + b"{}",
        b'{"mediaType":"x",' + made()[1:],
        made().replace(b'"sig":', b'"sig":"AAAA","sig":'),
        made().replace(b'"payloadType"', b'"payloadType":"text/plain","payloadType"'),
        made().replace(b"vnd.in-toto", b"\\ud800"),
        made().replace(b'"keyid":"', b'"n":1' + b"0" * 5000 + b',"keyid":"'),
    ],
    ids=[
        "empty", "null", "list", "text", "object", "utf-16", "NaN", "deep", "deep list", "cut", "trailing",
        "doubled media type", "doubled signature", "doubled payload type", "surrogate", "huge number",
    ],
)  # fmt: skip
def test_hostile_json_is_not_understood(data):
    with pytest.raises(NotUnderstood):
        understood(data)


def test_a_bundle_beyond_the_bound_is_not_read():
    with pytest.raises(NotUnderstood, match="larger"):
        read_bundle(b" " * (limits.BUNDLE_BYTES + 1), "b")


def test_the_place_is_named_and_an_escape_sequence_in_it_is_not_acted_on():
    with pytest.raises(NotUnderstood) as caught:
        read_bundle(b"{}", "a\x1b[31m.json")

    assert "a\\x1b[31m.json" in str(caught.value)


@settings(max_examples=200)
@given(st.binary(max_size=500))
def test_no_bytes_crash_the_reader(data):
    with pytest.raises(NotUnderstood):
        read_bundle(data, "b")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200)
@given(
    st.sampled_from(
        [
            ("mediaType",),
            ("verificationMaterial",),
            ("verificationMaterial", "publicKey"),
            ("verificationMaterial", "publicKey", "hint"),
            ("dsseEnvelope",),
            ("dsseEnvelope", "payload"),
            ("dsseEnvelope", "payloadType"),
            ("dsseEnvelope", "signatures"),
            ("dsseEnvelope", "signatures", 0),
            SIGNATURE,
        ]
    ),
    JSON,
)
def test_any_value_in_any_place_is_read_or_not_understood_and_never_crashes(path, value):
    with contextlib.suppress(NotUnderstood):
        read_bundle(edited(put(value, *path)), "b")


def test_a_bundle_that_nobody_could_read_is_not_written():
    with pytest.raises(Refused, match="are read"):
        make_bundle(SIGNER, TYPE, bytes(limits.BUNDLE_BYTES))


class LyingSigner:
    """A token whose slot holds another key than the one that its public half was read from."""

    def __init__(self):
        self.public_key = signer().public_key

    def sign(self, message):
        return SIGNER.sign(message)


def test_a_signature_that_the_signers_own_key_does_not_verify_never_leaves_the_process():
    with pytest.raises(CannotLook, match="does not verify"):
        make_bundle(LyingSigner(), TYPE, b"{}")
