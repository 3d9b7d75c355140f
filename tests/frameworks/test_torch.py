"""What people put into a `.pt` beside weights."""

from __future__ import annotations


def test_values_of_a_checkpoint_by_hand(tmp_path, passes) -> None:
    import argparse
    import collections
    import datetime as dt
    import random
    import types
    from pathlib import Path

    import numpy as np
    import torch

    layer = torch.nn.Linear(4, 4)
    adam = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 4)).sum().backward()
    adam.step()
    now, zone = dt.datetime(2026, 1, 2, 3, 4, 5, 6), dt.timezone(dt.timedelta(hours=2), "here")  # noqa: DTZ001
    whole = {
        "model": layer.state_dict(),
        "optimizer": adam.state_dict(),
        "args": argparse.Namespace(lr=1e-3, out=Path("/runs/1"), more=argparse.Namespace(seed=1)),
        "plain": types.SimpleNamespace(a=1),
        "when": [now, now.replace(tzinfo=zone), now.astimezone(dt.UTC), now.date(), now.time(), zone],
        "took": dt.timedelta(seconds=3),
        "losses": collections.deque([1.0, 0.5], maxlen=8),
        "empty": collections.deque(),
        "rng": [random.getstate(), np.random.get_state(), torch.get_rng_state()],  # noqa: NPY002
        "buffer": [torch.nn.Buffer(torch.ones(3)), torch.nn.Buffer(torch.ones(3), persistent=False)],
    }
    for version in (2, 4):
        torch.save(whole, tmp_path / f"{version}.pt", pickle_protocol=version)

    passes(
        "torch",
        "a `.pt` with state dicts, `argparse.Namespace`, `SimpleNamespace`, `Path`, `datetime`, `deque`, "
        "`nn.Buffer` and the states of random generators",
        tmp_path,
    )
