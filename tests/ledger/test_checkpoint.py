"""A head that is kept elsewhere, and comes back as what the log's key signed."""

from __future__ import annotations

import pytest

from tuneguard.errors import NotUnderstood, Refused
from tuneguard.ledger import note
from tuneguard.ledger.checkpoint import checkpoint, read_checkpoint
from tuneguard.ledger.entry import Event
from tuneguard.ledger.merkle import EMPTY_ROOT
from tuneguard.ledger.store import Head, SqliteStore
from tuneguard.signing.key import KeyType
from world.keys import signer

ORIGIN = "example.com/support-llama"
LOG = signer(KeyType.ED25519)
HEAD = Head(17, "3c" * 32)


def read(data, origin=ORIGIN):
    return read_checkpoint(data, origin, LOG.public_key, "checkpoint.txt")


def test_a_checkpoint_is_three_lines_and_a_signature():
    lines = checkpoint(ORIGIN, HEAD, LOG).decode().split("\n")

    assert lines[:4] == [ORIGIN, "17", "PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw8PDw=", ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert read(checkpoint(ORIGIN, HEAD, LOG)).head == HEAD


def test_a_checkpoint_anchors_the_ledger_it_was_made_of(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db")
    store.append(event=Event.BEGUN, command="run")
    kept = checkpoint(ORIGIN, store.head(), LOG)
    store.append(event=Event.DONE, command="run")

    assert store.verify(read(kept).head).summary == "consistent with the given head"


def test_an_empty_log_has_a_checkpoint():
    empty = Head(0, EMPTY_ROOT.hex())

    assert read(checkpoint(ORIGIN, empty, LOG)).head == empty
    with pytest.raises(NotUnderstood, match="empty log"):
        read(checkpoint(ORIGIN, Head(0, "3c" * 32), LOG))


def test_extension_lines_are_kept_and_mean_nothing():
    text = checkpoint(ORIGIN, HEAD, LOG).decode().split("\n\n")[0]
    read_back = read(note.sign(f"{text}\nextra one\nextra two\n", ORIGIN, LOG))

    assert (read_back.head, read_back.extensions) == (HEAD, ("extra one", "extra two"))


def test_attack_offer_another_logs_checkpoint():
    with pytest.raises(Refused, match="is not signed by"):
        read(checkpoint("example.com/other", HEAD, LOG))
    with pytest.raises(Refused, match=r"is a checkpoint of example.com/other"):
        read(note.sign("example.com/other\n17\n" + "PDw8" * 10 + "PDw=\n", ORIGIN, LOG))


def test_attack_sign_a_checkpoint_with_another_key():
    with pytest.raises(Refused, match="is not signed by"):
        read(checkpoint(ORIGIN, HEAD, signer(KeyType.ED25519)))


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n",
        f"{ORIGIN}\n17\n",
        f"{ORIGIN}\n017\n{'PDw8' * 10}PDw=\n",
        f"{ORIGIN}\n-1\n{'PDw8' * 10}PDw=\n",
        f"{ORIGIN}\n1e3\n{'PDw8' * 10}PDw=\n",
        f"{ORIGIN}\n٣\n{'PDw8' * 10}PDw=\n",
        f"{ORIGIN}\n{'9' * 30}\n{'PDw8' * 10}PDw=\n",
        f"{ORIGIN}\n17\nPDw8\n",
        f"{ORIGIN}\n17\nnot base64\n",
        f"{ORIGIN}\n17\n{'PDw8' * 10}PDw=\n\nmore\n",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_not_understood(text):
    with pytest.raises(NotUnderstood):
        read(note.sign(text, ORIGIN, LOG))
