import base64

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneguard.signing import pkcs8
from tuneguard.signing.pkcs8 import _integer, _octets
from world.keys import signer


def test_what_is_encrypted_opens_with_its_passphrase_and_no_two_files_are_alike():
    secret = signer()._secret
    private = secret.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    first, second = pkcs8.encrypt(private, b"pw"), pkcs8.encrypt(private, b"pw")

    assert first != second
    assert load_pem_private_key(first, b"pw").private_numbers() == secret.private_numbers()
    assert load_pem_private_key(second, b"pw").private_numbers() == secret.private_numbers()


def test_the_derivation_is_scrypt_and_nothing_of_the_key_is_readable():
    private = signer()._secret.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    der = base64.b64decode(b"".join(pkcs8.encrypt(private, b"pw").split(b"\n")[1:-2]))

    assert pkcs8._SCRYPT in der
    assert private[-20:] not in der


def test_a_guess_costs_sixteen_mebibytes_and_is_repeated(shipped_work):
    n, r, p = shipped_work

    assert (128 * n * r, p) == (16 << 20, 5)


@given(st.integers(min_value=0, max_value=1 << 40))
def test_integers_are_der_with_the_fewest_bytes_and_never_negative(value):
    encoded = _integer(value)

    assert encoded[0] == 0x02
    assert encoded[1] == len(encoded) - 2
    assert int.from_bytes(encoded[2:], "big", signed=True) == value
    assert len(encoded) == 3 or encoded[2] != 0 or encoded[3] >= 0x80


@settings(max_examples=20)
@given(st.integers(min_value=0, max_value=70_000))
def test_lengths_are_der_with_the_fewest_bytes(size):
    encoded = _octets(bytes(size))

    if size < 0x80:
        assert encoded[1] == size
    else:
        count = encoded[1] & 0x7F
        assert int.from_bytes(encoded[2 : 2 + count], "big") == size
        assert encoded[2] != 0
