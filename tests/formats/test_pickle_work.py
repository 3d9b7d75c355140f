"""What a pickle may cost the machine, counted in calls of Python and in opcodes, never by the clock."""

from __future__ import annotations

import io
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tuneguard import limits
from tuneguard.formats.pickle import machine
from tuneguard.formats.pickle.facts import Ended, Hold, Odd
from tuneguard.formats.pickle.machine import Machine
from tuneguard.formats.pickle.values import Dict, Global, List
from tuneguard.formats.reader import Reader
from world import pickles as p

if TYPE_CHECKING:
    from types import FrameType

    from tuneguard.formats.facts import Fact


def facts(data: bytes, *, keep_lists: bool = False) -> list[Fact]:
    return list(Machine(Reader.of_bytes(data), keep_lists=keep_lists).run())


def result(data: bytes, *, keep_lists: bool = False) -> object:
    ended = facts(data, keep_lists=keep_lists)[-1]
    assert isinstance(ended, Ended)
    return ended.result


def calls(data: bytes) -> int:
    """Calls within the machine over a stream. What runs in between, a collector's hooks, is not counted."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call" and frame.f_code.co_filename == machine.__file__

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        facts(data)
    finally:
        sys.setprofile(before)
    return counted


@pytest.mark.parametrize(
    ("begin", "item"),
    [(b"}", b"K\x01Ns"), (b"]", b"Na"), (b"]", b"K\x01a"), (b"", b"N0")],
    ids=["keys", "items", "numbers", "popped"],
)
def test_each_small_item_of_a_hostile_pickle_costs_one_call(begin: bytes, item: bytes) -> None:
    few, many = (calls(begin + item * count + b"N.") for count in (1_000, 3_000))

    assert many - few <= 2_000


@pytest.mark.parametrize("count", [1, 3, 5])
def test_keys_set_one_by_one_are_the_keys_set_together(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(machine, "DICT_KEYS", 3)
    pairs = [bytes([0x4B, number]) + b"N" for number in range(count)]

    singly = result(b"}" + b"".join(pair + b"s" for pair in pairs) + b".")
    together = result(b"}(" + b"".join(pairs) + b"u.")

    assert isinstance(singly, Dict)
    assert isinstance(together, Dict)
    assert (singly.length, singly.keys) == (together.length, together.keys) == (count, [0, 1, 2][:count])


@pytest.mark.parametrize("keep", [False, True])
def test_items_appended_one_by_one_are_the_items_appended_together(keep: bool) -> None:
    singly = result(b"]K\x01aK\x02a.", keep_lists=keep)
    together = result(b"](K\x01K\x02e.", keep_lists=keep)

    assert isinstance(singly, List)
    assert isinstance(together, List)
    assert (singly.length, singly.items) == (together.length, together.items)
    assert singly.items == ([1, 2] if keep else None)


@pytest.mark.parametrize(
    "stream",
    [
        b"}NNs" + p.named("posix", "system") + b"Ns.",
        b"}NNsN" + p.named("posix", "system") + b"s.",
        b"]" + p.named("posix", "system") + b"a.",
    ],
    ids=["key", "value", "item"],
)
def test_attack_a_name_that_is_put_in_singly_is_told(stream: bytes) -> None:
    held = [fact.value for fact in facts(stream) if isinstance(fact, Hold)]

    assert [name.path for name in held if isinstance(name, Global)] == ["posix.system"]


def test_attack_a_key_set_after_the_dictionary_became_a_state_is_told() -> None:
    odd = [fact.what for fact in facts(b"N}NNs\x94bh\x00NNs0.") if isinstance(fact, Odd)]

    assert odd == ["an object's state changed after it was set"]


@pytest.mark.torch
def test_the_bound_on_opcodes_is_far_above_what_torch_writes() -> None:
    import torch

    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(100)]
    optimizer = torch.optim.AdamW(parameters)
    sum(parameter.sum() for parameter in parameters).backward()
    optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        ended = facts(archive.read(name))[-1]

    assert isinstance(ended, Ended)
    each = ended.opcodes / (3 * len(parameters))
    assert each * 90_000 * 5 < limits.PICKLE_OPCODES
