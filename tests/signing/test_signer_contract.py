"""What every signer owes, checked for each module in ``signers/``; a new one needs only its world.

``tests/world/signers/<module>.py`` makes the place where its keys live, with the passphrase `PASSPHRASE`:
``place(folder)`` is a context that gives URIs by description, ``missing(folder)`` the URI of a key that is
not there. Where the real place cannot be had, `place` runs a stub that speaks its wire protocol.
"""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import tuneguard.signing.signers as folder_of_signers
from tuneguard.errors import TuneguardError
from tuneguard.signing.bundle import make_bundle, read_bundle
from tuneguard.signing.key import PublicKey
from tuneguard.signing.signer import kinds_by_scheme, needs_passphrase, open_signer
from world.keys import no_passphrase
from world.signers import pkcs11

MODULES = sorted(module.name for module in pkgutil.iter_modules(folder_of_signers.__path__))
MARKS = {"pkcs11": pkcs11.MARKS}


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in MODULES], scope="module")
def world(request):
    """The place where one signer's keys live."""
    return importlib.import_module(f"world.signers.{request.param}")


@pytest.fixture(scope="module")
def uris(world, tmp_path_factory):
    """Every sort of key of one place."""
    with world.place(tmp_path_factory.mktemp("keys")) as uris:
        yield uris


@pytest.fixture(scope="module")
def signers(world, uris):
    """The same, opened."""
    return {name: open_signer(uri, lambda _: world.PASSPHRASE) for name, uri in uris.items()}


def test_every_signer_is_found_by_at_least_one_scheme_and_no_scheme_is_claimed_twice():
    found = {kind.id for kind in kinds_by_scheme().values()}

    assert len(found) == len(MODULES)


@pytest.mark.parametrize("message", [b"", b"hello", b"\x00" * 100_000], ids=["empty", "short", "long"])
def test_a_signature_verifies_with_the_signers_own_public_key_and_over_that_message_only(signers, message):
    for name, signer in signers.items():
        assert isinstance(signer.public_key, PublicKey)
        signature = signer.sign(message)

        assert signer.public_key.verify(signature, message), name
        assert not signer.public_key.verify(signature, message + b"."), name


def test_signing_twice_uses_the_same_key(signers):
    for signer in signers.values():
        key = signer.public_key
        signer.sign(b"once")

        assert signer.public_key == key
        assert key.verify(signer.sign(b"twice"), b"twice")


def test_a_bundle_by_it_is_read_back_and_names_its_key(signers):
    for signer in signers.values():
        bundle = read_bundle(make_bundle(signer, "text/plain", b"hello"), "bundle")

        assert bundle.signed_by(signer.public_key)
        assert bundle.hint == signer.public_key.hint
        assert bundle.keyid == ""


def test_neither_its_text_nor_its_error_shows_the_passphrase_or_the_private_key(world, signers):
    for signer in signers.values():
        shown = f"{signer!r} {signer} {vars(signer) if hasattr(signer, '__dict__') else ''}"

        assert world.PASSPHRASE.decode() not in shown
        assert "PRIVATE" not in repr(signer)


def test_a_wrong_passphrase_is_one_clear_sentence_with_what_to_do(uris):
    for uri in uris.values():
        if not needs_passphrase(uri):
            continue
        with pytest.raises(TuneguardError) as caught:
            open_signer(uri, lambda _: b"wrong horse")

        assert caught.value.help
        assert "\n" not in str(caught.value)
        assert "wrong horse" not in str(caught.value)


def test_a_key_that_is_not_there_is_our_error_and_no_foreign_one(world, uris, tmp_path):
    with pytest.raises(TuneguardError) as caught:
        open_signer(world.missing(tmp_path), no_passphrase)

    assert caught.value.exit_code in (2, 3)


def test_a_passphrase_is_asked_for_only_where_there_is_one_and_with_the_keys_name(world, uris):
    for uri in uris.values():
        asked = []

        def answer(name, asked=asked):
            asked.append(name)
            return world.PASSPHRASE

        open_signer(uri, answer)

        assert len(asked) == needs_passphrase(uri)
        assert all(name in uri for name in asked)
