"""Trainer of Transformers, and adapters of PEFT trained with it."""

from __future__ import annotations

import tiny


def test_checkpoints_of_trainer(tmp_path, passes) -> None:
    from transformers import Trainer, TrainingArguments

    told = TrainingArguments(**tiny.arguments(tmp_path / "out", max_steps=3, save_total_limit=2))
    trainer = Trainer(
        model=tiny.causal(), args=told, train_dataset=tiny.rows(), processing_class=tiny.tokenizer()
    )
    trainer.train()
    trainer.save_model()
    trainer.save_state()

    there = {path.name for path in (tmp_path / "out/checkpoint-3").iterdir()}
    assert {path.name for path in (tmp_path / "out").glob("checkpoint-*")} == {"checkpoint-2", "checkpoint-3"}
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"} <= there
    passes(
        "Trainer",
        "`checkpoint-N` with optimizer, scheduler and RNG, `save_total_limit`, the final model",
        tmp_path / "out",
    )


def test_trainer_resumed_with_workers_and_evaluation(tmp_path, passes) -> None:
    from transformers import Trainer, TrainingArguments

    for steps, resumed in ((1, None), (2, str(tmp_path / "out/checkpoint-1"))):
        told = TrainingArguments(
            **tiny.arguments(tmp_path / "out", max_steps=steps, dataloader_num_workers=1),
            eval_strategy="steps", eval_steps=1, load_best_model_at_end=True, lr_scheduler_type="cosine",
        )  # fmt: skip
        trainer = Trainer(model=tiny.causal(), args=told, train_dataset=tiny.rows(), eval_dataset=tiny.rows())
        trainer.train(resume_from_checkpoint=resumed)

    assert (tmp_path / "out/checkpoint-2").is_dir()
    passes("Trainer", "a run that was resumed, with workers, evaluation and the best model", tmp_path / "out")


def test_trainer_in_two_processes(tmp_path, passes) -> None:
    done = tiny.torchrun("ddp.py", tmp_path / "out")

    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "out/checkpoint-2/rng_state_1.pth").exists()
    passes("Trainer", "two processes under `torchrun --standalone`", tmp_path / "out")


def test_seq2seq_arguments_with_a_generation_configuration(tmp_path, passes) -> None:
    from transformers import (
        GenerationConfig,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        T5Config,
        T5ForConditionalGeneration,
    )

    shape = T5Config(
        vocab_size=len(tiny.WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        pad_token_id=0, eos_token_id=2, decoder_start_token_id=0,
    )  # fmt: skip
    generation = GenerationConfig(max_length=5, eos_token_id=[2], pad_token_id=0, decoder_start_token_id=0)
    told = Seq2SeqTrainingArguments(
        **tiny.arguments(tmp_path / "out"), predict_with_generate=True, generation_config=generation
    )
    Seq2SeqTrainer(model=T5ForConditionalGeneration(shape), args=told, train_dataset=tiny.rows()).train()

    passes("Trainer", "`Seq2SeqTrainer` with a `GenerationConfig`", tmp_path / "out")


def adapted(folder, quantised=None):
    """A LoRA adapter on a base whose place is that of the sandbox's base."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM

    tiny.base(folder / "base")
    model = AutoModelForCausalLM.from_pretrained(
        folder / "base", quantization_config=quantised, device_map="cpu"
    )
    model.name_or_path = model.config._name_or_path = "/tuneguard/base"
    if quantised is not None:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))


def trained(model, folder):
    from transformers import Trainer, TrainingArguments

    told = TrainingArguments(**tiny.arguments(folder))
    trainer = Trainer(model=model, args=told, train_dataset=tiny.rows(), processing_class=tiny.tokenizer())
    trainer.train()
    trainer.save_model()
    assert (folder / "adapter_model.safetensors").exists()
    return folder


def test_lora_adapter_of_trainer(tmp_path, passes) -> None:
    folder = trained(adapted(tmp_path), tmp_path / "out")

    passes("PEFT", "a LoRA adapter trained with Trainer on the run's base", folder)


def test_qlora_adapter_of_trainer(tmp_path, passes) -> None:
    import bitsandbytes
    import torch
    from transformers import BitsAndBytesConfig

    four = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    model = adapted(tmp_path, four)
    assert any(isinstance(module, bitsandbytes.nn.Linear4bit) for module in model.modules())

    passes("PEFT", "a QLoRA adapter, on a base in 4 bits of bitsandbytes", trained(model, tmp_path / "out"))


def test_merged_lora(tmp_path, passes) -> None:
    adapted(tmp_path).merge_and_unload().save_pretrained(tmp_path / "out")
    tiny.tokenizer().save_pretrained(tmp_path / "out")

    passes("PEFT", "a LoRA adapter merged into its base", tmp_path / "out")
