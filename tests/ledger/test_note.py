"""Signed notes, against the specification's own example and against forgers."""

from __future__ import annotations

import base64

import pytest

from tuneguard.errors import NotUnderstood, Refused, UsageError
from tuneguard.ledger import note
from tuneguard.signing.key import KeyType, PublicKey
from world.keys import signer

NAME = "example.com/foo"
EXAMPLE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Zt"
    "g1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, before the 32 bytes of the key

LOG = signer(KeyType.ED25519)
TEXT = "first line\n\nlast line\n"


def example_key():
    return PublicKey.from_spki(SPKI + base64.b64decode(EXAMPLE_KEY.rpartition("+")[2])[1:])


def test_the_specifications_example_is_verified():
    key = example_key()

    assert note.verified_text(EXAMPLE, NAME, key, "note") == "This is an example message.\n"
    assert note.verifier_key(NAME, key) == EXAMPLE_KEY


def test_what_is_signed_is_verified_and_says_who_signed():
    signed = note.sign(TEXT, "example.com/ledger", LOG)

    assert note.verified_text(signed, "example.com/ledger", LOG.public_key, "note") == TEXT
    assert signed.startswith(TEXT.encode() + "\n— example.com/ledger ".encode())


def test_lines_of_witnesses_are_passed_over():
    witness = signer(KeyType.ED25519)
    line = note.sign(TEXT, "witness.example", witness).decode().rpartition("\n\n")[2]
    signed = note.sign(TEXT, NAME, LOG) + line.encode()

    assert note.verified_text(signed, NAME, LOG.public_key, "note") == TEXT
    assert note.verified_text(signed, "witness.example", witness.public_key, "note") == TEXT


def test_attack_sign_with_another_key_under_the_logs_name():
    signed = note.sign(TEXT, NAME, signer(KeyType.ED25519))

    with pytest.raises(Refused, match="is not signed by"):
        note.verified_text(signed, NAME, LOG.public_key, "note")


def test_attack_put_the_logs_key_id_on_another_signature():
    other = note.sign("other text\n", NAME, LOG).decode().rpartition("\n\n")[2]

    with pytest.raises(Refused, match="wrong signature"):
        note.verified_text(f"{TEXT}\n{other}".encode(), NAME, LOG.public_key, "note")


def test_attack_hide_a_wrong_signature_behind_a_right_one():
    right = note.sign(TEXT, NAME, LOG)
    wrong = note.sign("other text\n", NAME, LOG).decode().rpartition("\n\n")[2]

    with pytest.raises(Refused, match="wrong signature"):
        note.verified_text(right + wrong.encode(), NAME, LOG.public_key, "note")


@pytest.mark.parametrize(
    "change", [(b"message", b"massage"), (b"Uw2QOkn8", b"Uw2QOkn9"), (b"/foo ", b"/bar ")]
)
def test_any_change_of_the_example_refuses(change):
    with pytest.raises(Refused):
        note.verified_text(EXAMPLE.replace(*change), NAME, example_key(), "note")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"text only\n",
        b"text\n\n",
        EXAMPLE.removesuffix(b"\n"),
        EXAMPLE.replace(b"\n\n", b"\n"),
        EXAMPLE.replace("— ".encode(), b"- "),
        EXAMPLE.replace(b"example.com/foo ", b"example.com/foo  "),
        EXAMPLE.replace(b"example.com/foo ", b"example.com+foo "),
        EXAMPLE.replace(b"=\n", b"\n"),
        EXAMPLE.replace(b"Uw2Q", b"Uw!Q"),
        EXAMPLE.replace(b"This", b"Th\ris"),
        EXAMPLE.replace(b"This", b"Th\xffis"),
        b"text\n\n" + "— a AAAA\n".encode(),
        b"text\n\n" + "— a AAAAAAAA\n".encode() * 65,
        b"x" * 300_000,
    ],
)
def test_what_is_no_note_is_not_understood(data):
    with pytest.raises(NotUnderstood):
        note.verified_text(data, NAME, example_key(), "note")


def test_only_ed25519_keys_sign_notes():
    for kind in (KeyType.P256, KeyType.P384):
        with pytest.raises(UsageError, match="a log's key is Ed25519"):
            note.sign(TEXT, NAME, signer(kind))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b"])
def test_names_that_would_break_a_line_cannot_sign(name):
    with pytest.raises(UsageError):
        note.sign(TEXT, name, LOG)


@pytest.mark.parametrize("text", ["", "no newline", "bell\a\n", "tab\t\n"])
def test_texts_that_a_note_cannot_hold_are_not_signed(text):
    with pytest.raises(UsageError):
        note.sign(text, NAME, LOG)


def test_a_signer_that_signs_something_else_is_found_out():
    class Careless:
        public_key = LOG.public_key

        def sign(self, message):
            return LOG.sign(b"something else")

    with pytest.raises(Refused, match="does not verify"):
        note.sign(TEXT, NAME, Careless())
