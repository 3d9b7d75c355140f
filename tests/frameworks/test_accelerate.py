"""Accelerate without a Trainer."""

from __future__ import annotations

import tiny


def test_saved_state_of_accelerate(tmp_path, passes) -> None:
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = tiny.causal()
    adam = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 0.9**step)
    loader = torch.utils.data.DataLoader([torch.tensor([1, 7, 2])] * 4, batch_size=2)
    model, adam, schedule, loader = accelerator.prepare(model, adam, schedule, loader)
    for batch in loader:
        accelerator.backward(model(input_ids=batch, labels=batch).loss)
        adam.step()
        schedule.step()
    accelerator.save_state(tmp_path / "out")
    accelerator.save_state(tmp_path / "pickled", safe_serialization=False)
    accelerator.save_model(model, tmp_path / "out" / "model")

    assert {"optimizer.bin", "scheduler.bin", "random_states_0.pkl"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    passes("accelerate", "`save_state` and `save_model`", tmp_path / "out")
    passes("accelerate", "`save_state(safe_serialization=False)`", tmp_path / "pickled")
