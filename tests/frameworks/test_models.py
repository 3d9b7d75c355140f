"""Models that are no causal language models, and forms in which models are saved."""

from __future__ import annotations

import tiny


def test_a_vision_transformer(tmp_path, passes) -> None:
    import torch
    from transformers import (
        Trainer,
        TrainingArguments,
        ViTConfig,
        ViTForImageClassification,
        ViTImageProcessor,
    )

    shape = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16,
        patch_size=8, num_labels=2,
    )  # fmt: skip
    rows = [{"pixel_values": torch.zeros(3, 16, 16), "labels": 1}] * 8
    told = TrainingArguments(**tiny.arguments(tmp_path / "out"))
    images = ViTImageProcessor(size={"height": 16, "width": 16})
    trainer = Trainer(
        model=ViTForImageClassification(shape), args=told, train_dataset=rows, processing_class=images
    )
    trainer.train()
    trainer.save_model()

    assert (tmp_path / "out/preprocessor_config.json").exists()
    passes("Transformers", "ViT with its image processor", tmp_path / "out")


def test_whisper(tmp_path, passes) -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    shape = WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, begin_suppress_tokens=None,
    )  # fmt: skip
    WhisperForConditionalGeneration(shape).save_pretrained(tmp_path / "out")
    WhisperFeatureExtractor().save_pretrained(tmp_path / "out")

    passes("Transformers", "Whisper with its feature extractor", tmp_path / "out")


def test_sharded_weights_and_weights_of_torch(tmp_path, passes) -> None:
    import torch

    model = tiny.causal()
    model.save_pretrained(tmp_path / "shards", max_shard_size="4KB")
    model.config.save_pretrained(tmp_path / "torch")
    torch.save(model.state_dict(), tmp_path / "torch" / "pytorch_model.bin")

    assert (tmp_path / "shards/model.safetensors.index.json").exists()
    passes("Transformers", "safetensors in shards", tmp_path / "shards")
    passes("Transformers", "`pytorch_model.bin`", tmp_path / "torch")


def test_a_sentence_transformer(tmp_path, passes) -> None:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss
    from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    shape = BertConfig(
        vocab_size=len(tiny.WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    BertModel(shape).save_pretrained(tmp_path / "base")
    tiny.tokenizer().save_pretrained(tmp_path / "base")
    words = Transformer(str(tmp_path / "base"), max_seq_length=16)
    model = SentenceTransformer(modules=[words, Pooling(16), Dense(16, 8), Normalize()], device="cpu")
    trainer = SentenceTransformerTrainer(
        model=model, args=Arguments(**tiny.arguments(tmp_path / "out")),
        loss=MultipleNegativesRankingLoss(model), train_dataset=tiny.data_set(anchor="red", positive="blue"),
    )  # fmt: skip
    trainer.train()
    model.save_pretrained(str(tmp_path / "out/final"))

    assert (tmp_path / "out/final/modules.json").exists()
    passes(
        "sentence-transformers",
        "a model with pooling, dense layer and normalisation, and its checkpoints",
        tmp_path / "out",
    )


def test_a_cross_encoder(tmp_path, passes) -> None:
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification

    shape = BertConfig(
        vocab_size=len(tiny.WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32, num_labels=1,
    )  # fmt: skip
    BertForSequenceClassification(shape).save_pretrained(tmp_path / "base")
    tiny.tokenizer().save_pretrained(tmp_path / "base")
    CrossEncoder(str(tmp_path / "base"), device="cpu").save_pretrained(str(tmp_path / "out"))

    passes("sentence-transformers", "a cross-encoder", tmp_path / "out")
