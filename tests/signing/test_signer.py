import pytest

from tuneguard.errors import UsageError
from tuneguard.signing.key import make_pair
from tuneguard.signing.signer import PLAIN_PATH, needs_passphrase, open_signer, scheme_of
from world.keys import no_passphrase


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("keys/root.key", PLAIN_PATH),
        ("/abs/root.key", PLAIN_PATH),
        ("./gcpkms:x", PLAIN_PATH),
        ("file:keys/root.key", "file"),
        ("FILE:///abs", "file"),
        ("gcpkms://projects/p/cryptoKeys/k", "gcpkms"),
        ("pkcs11:token=t;object=o", "pkcs11"),
        ("awskms:///alias/promoter", "awskms"),
        ("", PLAIN_PATH),
    ],
)
def test_the_scheme_is_what_stands_before_the_first_colon(uri, scheme):
    assert scheme_of(uri) == scheme


def test_an_unknown_scheme_names_the_known_ones_and_how_to_write_a_file_of_that_name():
    with pytest.raises(UsageError) as caught:
        open_signer("nokms://projects/p", no_passphrase)

    assert "nokms:" in caught.value.what
    assert "file:" in caught.value.help
    assert "./nokms://projects/p" in caught.value.help


def test_a_pin_in_a_uri_whose_scheme_is_misspelt_is_not_repeated():
    with pytest.raises(UsageError) as caught:
        open_signer("pkcs-11:token=t;object=o?PIN-value=swordfish&module-path=/x", no_passphrase)

    assert "swordfish" not in str(caught.value) + caught.value.help
    assert "module-path=/x" in str(caught.value)


def test_an_escape_sequence_in_a_uri_never_reaches_the_terminal():
    with pytest.raises(UsageError) as caught:
        open_signer("nokms:\x1b[31m", no_passphrase)

    assert "\x1b" not in str(caught.value) + caught.value.help


def test_whether_a_passphrase_is_needed_can_be_asked_before_opening(tmp_path):
    make_pair(tmp_path / "a.key", passphrase=b"x")
    make_pair(tmp_path / "b.key", passphrase=None)

    assert needs_passphrase(str(tmp_path / "a.key"))
    assert not needs_passphrase(str(tmp_path / "b.key"))
