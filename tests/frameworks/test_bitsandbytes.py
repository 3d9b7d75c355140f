"""Layers of bitsandbytes on the CPU."""

from __future__ import annotations


def test_quantised_layers(tmp_path, passes) -> None:
    import bitsandbytes as bnb
    import torch

    four = bnb.nn.Linear4bit(64, 64, quant_type="nf4").to("cpu")
    torch.save({"8": bnb.nn.Linear8bitLt(64, 64).state_dict(), "4": four.state_dict()}, tmp_path / "m.pt")

    assert four.weight.dtype is torch.uint8
    passes("bitsandbytes", "state dicts of 8-bit and 4-bit layers", tmp_path)
