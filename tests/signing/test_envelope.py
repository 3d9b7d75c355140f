from hypothesis import given
from hypothesis import strategies as st

from tuneguard.signing.envelope import pae


def test_the_specifications_own_example():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_are_bytes_and_not_characters():
    assert pae("a/é", "ü".encode()) == b"DSSEv1 4 a/\xc3\xa9 2 \xc3\xbc"


@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_pairs_of_type_and_payload_are_signed_as_the_same_bytes(type_a, payload_a, type_b, payload_b):
    same = (type_a, payload_a) == (type_b, payload_b)

    assert (pae(type_a, payload_a) == pae(type_b, payload_b)) == same
