"""A data set's rows as hashes, and what two data sets share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.dataset.rows import Rows, hash_rows, overlap
from tuneguard.errors import CannotLook, ChangedWhileRead, NotUnderstood, Refused


def sha256(data):
    return hashlib.sha256(data).digest()


def lines(*rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@contextlib.contextmanager
def tree(folder, files):
    """A tree on disk, as its descriptor and its manifest."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    listed = (File(path, len(data), sha256(data).hex()) for path, data in sorted(files.items()))
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield root, Manifest(tuple(listed))
    finally:
        os.close(root)


def rows_of(folder, files):
    folder.mkdir(exist_ok=True)
    with tree(folder, files) as (root, manifest):
        return hash_rows(root, manifest)


TRAINING = lines(
    {"instruction": "Classify the ticket.", "input": "My printer burns", "output": "hardware"},
    {"instruction": "Classify the ticket.", "input": "I forgot my password", "output": "account"},
)


def test_rows_are_counted_and_hashed_and_the_digest_is_over_the_hashes(tmp_path):
    rows = rows_of(
        tmp_path, {"a.jsonl": lines({"a": 1}, {"a": 2}, {"a": 1}), "b/c.csv": b"a\n1\n", "notes.txt": b"x"}
    )

    expected = sorted(map(sha256, (b'{"a":1}', b'{"a":2}', b'{"a":"1"}')))
    assert rows == Rows(4, b"".join(expected), ("notes.txt",))
    assert rows.digest == hashlib.sha256(rows.hashes).hexdigest()


def test_a_data_set_without_rows_that_we_read_has_none(tmp_path):
    assert rows_of(tmp_path, {"rows.parquet": b"PAR1"}) is None
    assert rows_of(tmp_path / "empty", {"rows.jsonl": b""}) == Rows(0, b"")


def test_where_the_rows_lie_does_not_matter(tmp_path):
    one = rows_of(tmp_path / "one", {"all.jsonl": TRAINING})
    first, second = TRAINING.splitlines(keepends=True)
    two = rows_of(tmp_path / "two", {"z/1.jsonl": second, "a.jsonl": first.rstrip()})

    assert one.hashes == two.hashes


def test_a_row_of_the_evaluation_set_in_the_training_data_is_found(tmp_path):
    evaluation = lines(
        {"prompt": "Where is my parcel?", "choices": ["a", "b"], "answer": 0}, {"prompt": "Else"}
    )
    leaked = rows_of(tmp_path / "leaked", {"train.jsonl": TRAINING + evaluation.splitlines(keepends=True)[0]})
    clean = rows_of(tmp_path / "clean", {"train.jsonl": TRAINING})
    held_out = rows_of(tmp_path / "held-out", {"accuracy.jsonl": evaluation})

    assert overlap(leaked.hashes, held_out.hashes) == 2  # the row, and its prompt
    assert overlap(clean.hashes, held_out.hashes) == 0


@pytest.mark.parametrize(
    "row",
    [
        {"text": "my  PRINTER burns"},
        {"instruction": "My printer burns", "output": "hardware"},
        {"instruction": "Answer.", "input": "My printer burns"},
        {
            "messages": [
                {"role": "user", "content": "My printer burns"},
                {"role": "assistant", "content": "…"},
            ]
        },
    ],
)
def test_a_prompt_of_the_evaluation_set_in_a_training_row_of_other_shape_is_found(tmp_path, row):
    held_out = rows_of(tmp_path / "eval", {"toxicity.jsonl": lines({"prompt": "My printer burns"})})
    training = rows_of(tmp_path / "train", {"train.jsonl": lines(row)})

    assert overlap(training.hashes, held_out.hashes) == 1


def test_a_prompt_in_a_csv_is_found_in_jsonl(tmp_path):
    held_out = rows_of(tmp_path / "eval", {"e.jsonl": lines({"prompt": "My printer burns"})})
    training = rows_of(tmp_path / "train", {"t.csv": b"Text,label\nMy printer burns,1\n"})

    assert overlap(held_out.hashes, training.hashes) == 1


def test_one_instruction_in_every_row_of_both_sets_is_no_overlap(tmp_path):
    held_out = rows_of(
        tmp_path / "eval", {"e.jsonl": lines({"instruction": "Classify the ticket.", "input": "New text"})}
    )
    training = rows_of(tmp_path / "train", {"t.jsonl": TRAINING})

    assert overlap(held_out.hashes, training.hashes) == 0


def test_a_malformed_row_names_file_and_line(tmp_path):
    with pytest.raises(NotUnderstood, match=r"at b\.jsonl:2$"):
        rows_of(tmp_path, {"a.jsonl": lines({}), "b.jsonl": b"{}\n{\n"})


def test_keys_that_are_one_key_in_nfc_are_malformed(tmp_path):
    with pytest.raises(NotUnderstood, match=r"same text.* at a\.jsonl:1$"):
        rows_of(tmp_path, {"a.jsonl": '{"é":1,"e\u0301":2}\n'.encode()})


def test_attack_change_the_rows_after_they_were_hashed(tmp_path):
    with tree(tmp_path, {"a.jsonl": lines({"a": 1})}) as (root, manifest):
        (tmp_path / "a.jsonl").write_bytes(lines({"a": 2}))
        with pytest.raises(ChangedWhileRead, match=r"at a\.jsonl"):
            hash_rows(root, manifest)


def test_attack_make_the_rows_a_link(tmp_path):
    with tree(tmp_path, {"a.jsonl": lines({"a": 1})}) as (root, manifest):
        (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
        (tmp_path / "a.jsonl").symlink_to("b.jsonl")
        with pytest.raises(Refused, match="symbolic link"):
            hash_rows(root, manifest)


def test_more_rows_than_the_limit_could_not_be_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "DATASET_ROWS", 3)

    assert rows_of(tmp_path / "three", {"a.jsonl": b"{}\n" * 3}).count == 3
    with pytest.raises(CannotLook, match="more than 3 rows"):
        rows_of(tmp_path / "four", {"a.jsonl": b"{}\n" * 3, "b.csv": b"a\n1\n"})


def test_many_rows_are_hashed_in_little_memory(tmp_path):
    data = b"".join(b'{"n":%d}\n' % number for number in range(8_000))
    with tree(tmp_path, {"a.jsonl": data}) as (root, manifest):
        tracemalloc.start()
        rows = hash_rows(root, manifest)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert rows.count == 8_000 == len(rows.hashes) // 32
    assert peak < 8_000 * 100 + 3_000_000


def test_progress_is_told_in_bytes(tmp_path):
    class Reporter:
        def __init__(self):
            self.asked, self.done = None, 0

        def emit(self, verb, text, *details): ...

        def task(self, verb, *, total, unit):
            self.asked = (verb, total, unit)
            return self

        def advance(self, amount):
            self.done += amount

        def __enter__(self):
            return self

        def __exit__(self, *error): ...

    reporter = Reporter()
    with tree(tmp_path, {"a.jsonl": TRAINING, "b.bin": b"x"}) as (root, manifest):
        hash_rows(root, manifest, reporter=reporter)

    assert reporter.asked == ("Counted", len(TRAINING), "bytes")
    assert reporter.done == len(TRAINING)


# --- overlap ---------------------------------------------------------------------------------------


hashes = st.sets(
    st.binary(min_size=32, max_size=32) | st.sampled_from([bytes([n]) * 32 for n in range(9)]), max_size=12
)


@given(hashes, hashes)
def test_the_overlap_is_the_size_of_the_intersection(a, b):
    one, two = b"".join(sorted(a)), b"".join(sorted(b))

    assert overlap(one, two) == overlap(two, one) == len(a & b)


@pytest.mark.parametrize(
    "bad",
    [b"x", b"\2" * 32 + b"\1" * 32, b"\1" * 64, b"\1" * 32 + b"\3" * 32 + b"\2" * 32],
    ids=["cut", "unsorted", "doubled", "unsorted at the end"],
)
def test_attack_hide_a_row_by_the_order_of_the_hashes(bad):
    for other in (b"", b"\2" * 32):
        with pytest.raises(NotUnderstood):
            overlap(bad, other)
        with pytest.raises(NotUnderstood):
            overlap(other, bad)


def test_large_lists_are_compared_in_one_pass():
    numbers = random.Random(1)
    one = sorted({numbers.randbytes(32) for _ in range(20_000)})
    two = sorted({*one[::1000], *(numbers.randbytes(32) for _ in range(5_000))})

    assert overlap(b"".join(one), b"".join(two)) == 20
