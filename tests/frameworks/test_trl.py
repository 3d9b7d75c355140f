"""The trainers of TRL."""

from __future__ import annotations

import pytest
import tiny


def trained(tmp_path, trainer, settings, data, *, model=None, **more):
    """Two steps, a checkpoint after each. Some trainers open the model's folder again, for a reference."""
    told = settings(**tiny.arguments(tmp_path / "out"))
    made = trainer(
        model=model or str(tiny.base(tmp_path / "base")),
        args=told,
        train_dataset=data,
        processing_class=tiny.tokenizer(),
        **more,
    )
    made.train()
    assert (tmp_path / "out/checkpoint-2/training_args.bin").exists()
    return tmp_path / "out"


def test_sft(tmp_path, passes) -> None:
    from trl import SFTConfig, SFTTrainer

    data = tiny.data_set(text="yes no red blue")
    passes("TRL", "SFT", trained(tmp_path, SFTTrainer, SFTConfig, data))


def test_dpo(tmp_path, passes) -> None:
    from trl import DPOConfig, DPOTrainer

    data = tiny.data_set(prompt="red blue", chosen=" yes", rejected=" no")
    passes("TRL", "DPO", trained(tmp_path, DPOTrainer, DPOConfig, data))


def test_kto(tmp_path, passes) -> None:
    from trl import KTOConfig, KTOTrainer

    data = tiny.data_set(prompt="red blue", completion=" yes", label=True)
    passes("TRL", "KTO", trained(tmp_path, KTOTrainer, KTOConfig, data))


def reward(completions, **_):
    """As many as there are words."""
    return [float(len(completion)) for completion in completions]


@pytest.mark.parametrize("name", ["GRPO", "RLOO"])
def test_online_trainers(tmp_path, passes, name) -> None:
    import functools

    import trl

    settings = functools.partial(getattr(trl, f"{name}Config"), num_generations=2, max_completion_length=4)
    trainer = getattr(trl, f"{name}Trainer")
    data = tiny.data_set(prompt="red blue")
    passes("TRL", name, trained(tmp_path, trainer, settings, data, reward_funcs=reward))


def test_reward(tmp_path, passes) -> None:
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    data = tiny.data_set(chosen="red blue yes", rejected="red blue no")
    model = LlamaForSequenceClassification(tiny.config(num_labels=1))
    passes("TRL", "Reward", trained(tmp_path, RewardTrainer, RewardConfig, data, model=model))
