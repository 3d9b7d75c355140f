"""Attacks by configuration that names code, and code that lies beside the model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuneguard.findings import Verdict


def rules_of(scan) -> set[str]:
    return {finding.rule for finding in scan.findings}


@pytest.mark.parametrize(
    ("name", "document", "rule"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling_x.XModel"}}, "TG-CFG-AUTO-MAP"),
        ("config.json", {"auto_map": {"AutoModel": "owner/repo--modeling_x.XModel"}}, "TG-CFG-AUTO-MAP"),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "a.B"}}}, "TG-CFG-AUTO-MAP"),
        ("tokenizer_config.json", {"auto_map": ["tokenization_x.X", None]}, "TG-CFG-AUTO-MAP"),
        ("preprocessor_config.json", {"auto_map": {"AutoProcessor": "a.B"}}, "TG-CFG-AUTO-MAP"),
        (
            "config.json",
            {"custom_pipelines": {"x": {"impl": "pipe.X", "pt": ["AutoModel"]}}},
            "TG-CFG-AUTO-MAP",
        ),
        ("generation_config.json", {"custom_generate": "owner/repo"}, "TG-CFG-AUTO-MAP"),
        ("config.json", {"trust_remote_code": True}, "TG-CFG-TRUST"),
        ("modules.json", [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}], "TG-CFG-MODULES"),
        ("modules.json", [{"type": "sentence_transformers_evil.X"}], "TG-CFG-MODULES"),
        ("model_index.json", {"_class_name": "X", "unet": ["evil", "UNet"]}, "TG-CFG-MODULES"),
        ("model_index.json", {"_class_name": ["pipeline", "MyPipeline"]}, "TG-CFG-MODULES"),
        (
            "adapter_config.json",
            {"auto_mapping": {"base_model_class": "X", "parent_library": "evil"}},
            "TG-CFG-PEFT",
        ),
        ("adapter_config.json", {"megatron_core": "evil.core"}, "TG-CFG-PEFT"),
        ("config.json", {"attn_implementation": "someone/flash"}, "TG-CFG-KERNEL"),
        ("config.json", {"_attn_implementation_internal": {"": "someone/flash@main:f"}}, "TG-CFG-KERNEL"),
        ("conf.json", {"model": {"_target_": "os.system", "_args_": ["echo"]}}, "TG-CFG-TARGET"),
        ("state.json", {"py/reduce": [{"py/function": "os.system"}]}, "TG-CFG-TARGET"),
        ("config.json", {"class_name": "Lambda", "config": {"function": ["4wEAAAA="]}}, "TG-CFG-TARGET"),
        ("model_index.json", {"unet": [["evil"], "UNet"]}, "TG-CFG-MODULES"),
        ("model_index.json", {"unet": ["diffusers", "utils.evil"]}, "TG-CFG-MODULES"),
        ("model_index.json", {"unet": ["diffusers"]}, "TG-CFG-MODULES"),
        ("modular_model_index.json", {"unet": ["evil", "UNet", {}]}, "TG-CFG-MODULES"),
        ("modules.json", [{"type": ["evil.Module"]}], "TG-CFG-MODULES"),
        ("adapter_config.json", {"megatron_core": ["evil"]}, "TG-CFG-PEFT"),
        ("config.json", {"attn_implementation": ["sdpa", "someone/flash"]}, "TG-CFG-KERNEL"),
        ("config.json", {"attn_implementation": {"a": {"b": ["someone/flash"]}}}, "TG-CFG-KERNEL"),
        ("config.json", {"text_config": {"experts_implementation": "paged|someone/x"}}, "TG-CFG-KERNEL"),
        ("hparams.json", {"model": {"class_path": "evil.Model", "init_args": {}}}, "TG-CFG-TARGET"),
        ("conf.json", {"model": {"target": "evil.Model", "params": {}}}, "TG-CFG-TARGET"),
        ("config.json", {"module": "evil", "class_name": "Dense", "config": {}}, "TG-CFG-TARGET"),
    ],
)
def test_a_configuration_that_names_code_is_refused(scan, name: str, document: Any, rule: str) -> None:
    result = scan(name, json.dumps(document, indent=1).encode())

    assert rules_of(result) == {rule}
    assert result.verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    "value", [True, 1, 0.1, "true", "True", "false", "0", " ", [0], {"a": 0}, [[]]], ids=repr
)
@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("config.json", lambda trust: trust),
        ("config.json", lambda trust: {"text_config": [trust]}),
        ("adapter_config.json", lambda trust: {"peft_type": "PROMPT_TUNING", "tokenizer_kwargs": trust}),
        ("sentence_bert_config.json", lambda trust: {"model_args": trust}),
        ("unheard_of.json", lambda trust: [{"deep": {"in": trust}}]),
        ("tokenizer.json", lambda trust: trust),
        ("tokenizer.json", lambda trust: {"vocab": trust}),
    ],
)
def test_attack_trust_spelled_as_the_loader_takes_it(scan, value: Any, name: str, around: Any) -> None:
    result = scan(name, json.dumps(around({"trust_remote_code": value})).encode())

    assert rules_of(result) == {"TG-CFG-TRUST"}


@pytest.mark.parametrize("value", [False, 0, None, "", [], {}], ids=repr)
def test_trust_that_is_denied_passes(scan, value: Any) -> None:
    document = {"trust_remote_code": value, "model_args": {"trust_remote_code": value}}

    assert scan("config.json", json.dumps(document).encode()).verdict is Verdict.PASSED


CLASSES: list[tuple[str, Any]] = [
    ("2_Dense/config.json", {"activation_function": "evil.Run"}),
    ("2_Dense/config.json", {"activation_function": "torch.hub.load"}),
    ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.Tanh.evil"}),
    ("config.json", {"sentence_transformers": {"activation_fn": "torch.utils.data.evil"}}),
    ("config.json", {"sbert_ce_default_activation_function": "evil.Run"}),
    ("router_config.json", {"types": {"0_Transformer": "evil.Module"}, "structure": {}}),
    ("router_config.json", {"types": {"0": ["evil.Module"]}}),
    ("router_config.json", {"types": ["sentence_transformers.models.Transformer", "evil.Module"]}),
    ("config.json", {"types": {"0": "sentence_transformers_evil.X"}}),
    ("0_WordEmbeddings/wordembedding_config.json", {"tokenizer_class": "evil.Tokenizer"}),
    ("config.json", {"architectures": ["evil.Model"]}),
    ("config.json", {"architectures": "evil:Model"}),
    ("model.json", {"num_class": "evil.Model"}),
    ("model.json", {"num_class": "0.evil"}),
    ("config.json", {"text_config": {"architectures": ["a/b"]}}),
    ("config.json", {"model_type": "evil.py"}),
    ("config.json", {"model_type": "../evil"}),
    ("config.json", {"torch_dtype": "evil.float16"}),
    ("config.json", {"dtype": {"text": "os.system"}["text"]}),
    ("config.json", {"quantization_config": {"quant_method": "owner/repo--x.Y"}}),
    ("config.json", {"quantization_config": {"bnb_4bit_compute_dtype": "torch.hub.load"}}),
    ("tokenizer_config.json", {"tokenizer_class": "tokenization_x.XTokenizer"}),
    ("tokenizer_config.json", {"tokenizer_class": ["owner/repo--tokenization_x.XTokenizer"]}),
    ("processor_config.json", {"processor_class": "evil.Processor"}),
    ("processor_config.json", {"audio_tokenizer": {"audio_tokenizer_class": "evil.Audio"}}),
    ("preprocessor_config.json", {"image_processor_type": "evil.Image"}),
    ("preprocessor_config.json", {"feature_extractor_type": "evil:Feature"}),
    ("video_preprocessor_config.json", {"video_processor_type": "evil.Video"}),
    ("scheduler_config.json", {"_class_name": "evil.Scheduler"}),
    ("generation_config.json", {"logits_function": "evil.run"}),
    ("trainer_state.json", {"callback_class": "evil.Callback"}),
    ("unheard_of.json", {"plugin": "evil:run"}),
    ("unheard_of.json", {"deep": [{"entry_point": "package.module:main"}]}),
    ("unheard_of.json", {"loader": ["code/load.py"]}),
    ("unheard_of.json", {"anything": "owner/repo--modeling.Model"}),
]


@pytest.mark.parametrize(("name", "document"), CLASSES)
def test_attack_a_class_that_the_loader_would_import(scan, name: str, document: Any) -> None:
    assert "TG-CFG-CLASS" in rules_of(scan(name, json.dumps(document).encode()))


def test_the_finding_says_key_and_line(scan) -> None:
    [finding] = scan("config.json", b'{\n  "a": 1,\n  "auto_map": {"AutoModel": "m.X"}\n}').findings

    assert finding.message == "names code to run, m.X (auto_map)"
    assert finding.location.line == 3


def test_a_key_written_with_escapes_is_the_same_key(scan) -> None:
    assert rules_of(scan("config.json", b'{"\\u0061uto_map": {"AutoModel": "m.X"}}')) == {"TG-CFG-AUTO-MAP"}


def test_a_key_given_twice_is_refused_whichever_one_counts(scan) -> None:
    data = b'{"model_type": "llama", "auto_map": {"A": "m.X"}, "auto_map": {}}'

    assert "TG-TWO-READINGS" in rules_of(scan("config.json", data))


@pytest.mark.parametrize(
    ("name", "document"),
    [
        (
            "config.json",
            {"auto_map": {}, "attn_implementation": "flash_attention_2", "trust_remote_code": False},
        ),
        (
            "config.json",
            {"_attn_implementation_internal": {"": "sdpa", "vision": None}, "custom_pipelines": None},
        ),
        ("adapter_config.json", {"auto_mapping": None, "megatron_core": "megatron.core"}),
        (
            "adapter_config.json",
            {
                "auto_mapping": {
                    "base_model_class": "LlamaModel",
                    "parent_library": "transformers.models.llama.modeling_llama",
                }
            },
        ),
        (
            "modules.json",
            [
                {"type": "sentence_transformers.models.Transformer"},
                {"type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"},
            ],
        ),
        (
            "model_index.json",
            {
                "_class_name": "StableDiffusionPipeline",
                "unet": ["diffusers", "U"],
                "safety_checker": [None, None],
            },
        ),
        (
            "tokenizer.json",
            {"model": {"vocab": {"auto_map": 3, "trust_remote_code": 1, "chat_template": 7, "_target_": 2}}},
        ),
        ("trainer_state.json", {"log_history": [{"loss": float("nan")}]}),
        ("vocab.json", {"trust_remote_code": 1, "parent_library": 2, "megatron_core": 3}),
        (
            "tokenizer.json",
            {"model": {"vocab": {"parent_library": 3, "megatron_core": 4}, "merges": ["a b"]}},
        ),
        ("model.json", {"learner": {"learner_model_param": {"num_class": "0"}}}),
        (
            "config.json",
            {
                "architectures": ["GPT2LMHeadModel"],
                "model_type": "xlm-roberta",
                "torch_dtype": "bfloat16",
                "dtype": "torch.float16",
                "activation_function": "gelu_new",
                "hidden_act": "silu",
                "attn_implementation": {"text_config": "paged|sdpa", "vision_config": None},
                "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "bnb_4bit_compute_dtype": "bfloat16",
                    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"type": "int"}}},
                    "quant_type": {
                        "default": {"_type": "Int8WeightOnlyConfig", "_data": {"d": {"_type": "torch.dtype"}}}
                    },
                },
                "rope_scaling": {"rope_type": "llama3", "type": "llama3"},
                "problem_type": "single_label_classification",
                "task_specific_params": {"a": {"prefix": "translate: "}},
            },
        ),
        ("tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", "processor_class": None}),
        (
            "2_Dense/config.json",
            {"in_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"},
        ),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.linear.Identity"}),
        (
            "0_WordEmbeddings/wordembedding_config.json",
            {"tokenizer_class": "sentence_transformers.models.tokenizer.WhitespaceTokenizer"},
        ),
        (
            "model_index.json",
            {
                "_class_name": "StableDiffusionPipeline",
                "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
                "image_encoder": [None, None],
            },
        ),
        ("scheduler_config.json", {"_class_name": "PNDMScheduler", "prediction_type": "epsilon"}),
        (
            "unheard_of.json",
            {"loader": "tokenizer.json", "module": "encoder", "target": "https://example.org/a"},
        ),
    ],
)
def test_what_frameworks_really_write_passes(scan, name: str, document: Any) -> None:
    assert scan(name, json.dumps(document).encode()).verdict is Verdict.PASSED


def test_a_router_of_sentence_transformers_own_modules_passes(scan) -> None:
    router = {"types": {"0_A": "sentence_transformers.models.Transformer"}, "structure": {"query": ["0_A"]}}

    result = scan({"router_config.json": json.dumps(router).encode(), "0_A/config.json": b"{}"})

    assert result.verdict is Verdict.PASSED, result


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b'{"a": 1}garbage',
        b"[" * 200_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'\xef\xbb\xbf{"a": 1}',
    ],
    ids=["empty", "text", "a trailer", "deep", "a huge number", "a byte order mark"],
)
def test_json_that_does_not_parse_is_not_understood(scan, data: bytes) -> None:
    expected = Verdict.PASSED if not data else Verdict.NOT_UNDERSTOOD

    assert scan("config.json", data).verdict is expected


def test_json_of_nothing_but_brackets_takes_no_memory(scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuneguard.limits.SCAN_JSON_VALUES", 100)

    assert "over 100 values" in scan("config.json", b"[" + b"[]," * 99 + b"1]").skipped[0].reason


def test_json_in_utf_16_is_not_understood(scan) -> None:
    # `json.loads` takes it, a check for bytes does not.
    assert (
        scan("config.json", '{"auto_map": {"A": "m.X"}}'.encode("utf-16")).verdict is Verdict.NOT_UNDERSTOOD
    )


# --- code beside the model -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("modeling_x.py", b"import torch\n", "TG-CODE"),
        ("custom_generate/generate.py", b"def generate(): ...\n", "TG-CODE"),
        ("MODELING.PY", b"import torch\n", "TG-CODE"),
        ("evil.pth", b"import os; os.system('echo tuneguard-inert')\n", "TG-CODE"),
        ("setup.sh", b"echo tuneguard-inert\n", "TG-CODE"),
        ("run", b"#!/bin/sh\necho tuneguard-inert\n", "TG-PROGRAM"),
        ("libx.so", b"\x7fELF\x02\x01\x01" + b"\0" * 60, "TG-PROGRAM"),
        ("model.safetensors", b"\x7fELF\x02\x01\x01" + b"\0" * 60, "TG-PROGRAM"),
        ("weights", b"MZ" + b"\0" * 58 + b"\x40\0\0\0PE\0\0" + b"\0" * 40, "TG-PROGRAM"),
        ("mod.pyc", b"\xa7\r\r\n" + b"\0" * 12 + b"\xe3" + b"\0" * 40, "TG-PROGRAM"),
        ("x.wasm", b"\0asm\x01\0\0\0", "TG-PROGRAM"),
    ],
)
def test_code_beside_the_model_is_refused(scan, name: str, data: bytes, rule: str) -> None:
    assert rule in rules_of(scan(name, data))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("model.gguf", b"GGUF\x04\0\0\0" + b"\0" * 40),
        ("model.ubj", b"{L\0\0\0\0\0\0\0\7learner" + b"\0" * 40),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 40),
        ("model.onnx", b"\x08\x07\x12\x07pytorch" + b"\0" * 20),
        ("weights.tar.gz", b"\x1f\x8b\x08" + b"\0" * 40),
        ("blob", bytes(range(200, 256)) * 9),
        ("notebook.ipynb", b"{}"),
        ("Makefile", b"all:\n\techo tuneguard-inert\n"),
        ("notes.txt", b"begins like text\n" + b"\0\1\2" * 9),
        ("late.txt", b"a" * 2_000_000 + b"\xff"),
    ],
)
def test_what_nobody_can_read_is_not_understood_and_never_clean(scan, name: str, data: bytes) -> None:
    result = scan(name, data)

    assert result.verdict is Verdict.NOT_UNDERSTOOD
    assert result.understood == 0
    assert [skipped.path for skipped in result.skipped] == [name]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("README.md", "# A mödel\n".encode()),
        ("LICENSE", b"Apache\n"),
        ("merges.txt", b"#version: 0.2\nh e\n"),
        ("vocab.txt", b"[PAD]\ncat\ndog\n"),
        ("words.txt", b"cat\ndog\nbird\n"),
        ("instructions.txt", b"import this\nand that\n"),
        ("train.jsonl", b'{"a": 1}\n'),
        ("data.csv", b"a,b\n1,2\n"),
        ("empty.txt", b""),
        ("long.txt", "ü".encode() * 1_200_000),
    ],
)
def test_plain_text_under_plain_names_passes(scan, name: str, data: bytes) -> None:
    result = scan(name, data)

    assert result.verdict is Verdict.PASSED, result
    assert result.understood == 1


def spec(kind: str, context: Any) -> str:
    """A tree spec as torch writes it: JSON with its contexts as texts of JSON."""
    return json.dumps([1, {"type": kind, "context": context, "children_spec": []}])


FACTORY = {"default_factory_module": "evil", "default_factory_name": "Run", "dict_context": []}
MEMBER = {"__enum__": True, "fqn": "evil:Run", "name": "A"}


@pytest.mark.parametrize(
    "dumped",
    [
        spec("collections.defaultdict", FACTORY),
        spec("collections.defaultdict", FACTORY).replace("default", "\\u0064efault"),
        spec("collections.defaultdict", {**FACTORY, "default_factory_module": "builtins"}),
        spec("collections.namedtuple", json.dumps(MEMBER)),
        spec("collections.namedtuple", json.dumps(json.dumps({"a": [MEMBER]}))),
        spec("collections.namedtuple", json.dumps({**MEMBER, "fqn": "torch.os:system"})),
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("key", ["in_spec", "out_spec"])
def test_attack_a_tree_spec_that_imports_a_module(scan, key: str, dumped: str) -> None:
    exported = {"components": {"model": {"file": "model.pt2", "metadata": {key: dumped}}}}

    found = scan({"export.json": json.dumps(exported).encode(), "model.pt2": b"no program"}).findings

    assert {finding.rule for finding in found} == {"TG-CFG-TARGET"}


@pytest.mark.parametrize("defaults", [False, True])
def test_the_tree_spec_of_an_ordinary_export_is_no_finding(scan, defaults: bool) -> None:
    specs = {
        "in_spec": spec("builtins.tuple", "null"),
        "out_spec": spec("transformers.modeling_outputs.CausalLMOutput", json.dumps(["logits", "loss"])),
    }
    of_lists = {**FACTORY, "default_factory_module": "builtins", "default_factory_name": "list"}
    specs["out_spec"] = spec("collections.defaultdict", of_lists) if defaults else specs["out_spec"]

    assert (
        scan("export.json", json.dumps({"components": {"model": {"metadata": specs}}}).encode()).findings
        == ()
    )
