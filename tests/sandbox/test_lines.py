"""Cutting output into lines."""

from hypothesis import given
from hypothesis import strategies as st

from tuneguard.limits import OUTPUT_LINE
from tuneguard.sandbox.lines import Lines


def cut(chunks):
    lines = Lines()
    return [line for chunk in chunks for line in lines.feed(chunk)] + list(lines.end())


def test_a_progress_bar_is_seen_while_it_moves():
    lines = Lines()

    assert list(lines.feed(b" 10%|#   |\r 20%|##  |\r")) == [b" 10%|#   |", b" 20%|##  |"]


def test_a_return_and_a_newline_are_one_end_even_when_they_come_apart():
    assert cut([b"one\r", b"\ntwo\r\n", b"\r\n"]) == [b"one", b"two", b""]


def test_an_endless_line_is_handed_on_in_pieces_and_memory_stays_bounded():
    lines = Lines()
    total = 0
    for _ in range(100):
        for piece in lines.feed(b"x" * 10_000):
            assert len(piece) <= OUTPUT_LINE
            total += len(piece)

    assert total > 1_000_000 - 2 * OUTPUT_LINE
    assert total + sum(len(piece) for piece in lines.end()) == 1_000_000


@given(st.lists(st.text("ab\r\n", max_size=6).map(str.encode), max_size=12))
def test_lines_do_not_depend_on_how_the_bytes_arrive(chunks):
    whole = b"".join(chunks)

    assert cut([chunk for chunk in chunks if chunk]) == cut([whole] if whole else [])
    assert (
        cut([bytes([byte]) for byte in whole])
        == whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
        if whole
        else True
    )
