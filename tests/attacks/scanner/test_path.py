"""Attacks by a configuration whose values lead its loader to files outside of the tree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.findings import Severity, Verdict
from tuneguard.scanner.engine import scan_paths

if TYPE_CHECKING:
    from pathlib import Path

INDEX = "model.safetensors.index.json"
SHARD = "model-00001-of-00001.safetensors"
EMPTY = b"\x08\0\0\0\0\0\0\0{}      "  # safetensors without a tensor


def index(*shards: Any) -> bytes:
    return as_json({"metadata": {}, "weight_map": {f"w{n}": shard for n, shard in enumerate(shards)}})


def as_json(document: Any) -> bytes:
    return json.dumps(document, indent=1).encode()


def refused_by(result) -> set[str]:
    return {finding.rule for finding in result.findings if finding.severity is not Severity.LOW}


OUTSIDE = [
    "/srv/other/model.safetensors",
    "../other/model.safetensors",
    "sub/../../other/model.safetensors",
    f"sub/../{SHARD}",
    f"./{SHARD}",
    f".//{SHARD}",
    "..",
    ".",
    "",
    " ",
    "~/model.safetensors",
    "~root/model.safetensors",
    "..\\other\\model.safetensors",
    "C:\\other\\model.safetensors",
    "C:model.safetensors",
    "\\\\server\\share\\model.safetensors",
    "%2e%2e/other/model.safetensors",
    "..%2fother%2fmodel.safetensors",
    "file:///srv/other/model.safetensors",
    "https://example.org/model.safetensors",
    "hf://someone/model/model.safetensors",
    "/tuneguard/base/../other/model.safetensors",
    "/tuneguard/checkpoint/../other/model.safetensors",
    "/tuneguard/checkpoint/absent.safetensors",
    "/tuneguard/scratch/model.safetensors",
    "/proc/self/cwd/model.safetensors",
    "model\0.safetensors",
    "model.safetensors\n",
    "absent.safetensors",
]


@pytest.mark.parametrize("shard", OUTSIDE)
@pytest.mark.parametrize("name", [INDEX, "pytorch_model.bin.index.json", "other.index.fp16.json"])
def test_attack_shards_outside_of_the_tree(scan, name: str, shard: str) -> None:
    result = scan({SHARD: EMPTY, f"sub/{SHARD}": EMPTY, name: index(SHARD, shard)})

    assert refused_by(result) == {"TG-CFG-PATH"}
    assert result.verdict is Verdict.REFUSED


@pytest.mark.parametrize("shard", [1, None, ["../x"], {"a": "../x"}, True])
def test_attack_a_shard_that_is_no_name(scan, shard: Any) -> None:
    assert refused_by(scan({SHARD: EMPTY, INDEX: index(SHARD, shard)})) == {"TG-CFG-PATH"}


@pytest.mark.parametrize("document", [{"w": "../other/x.safetensors"}, {"weight_map": ["/srv/x"]}])
def test_attack_an_index_of_another_shape(scan, document: Any) -> None:
    assert "TG-CFG-PATH" in refused_by(scan({INDEX: as_json(document)}))


def test_attack_an_index_in_a_folder_that_names_a_shard_above(scan) -> None:
    assert refused_by(scan({SHARD: EMPTY, f"checkpoint-20/{INDEX}": index(SHARD)})) == {"TG-CFG-PATH"}


def test_shards_in_the_tree_are_no_finding(scan) -> None:
    files = {SHARD: EMPTY, f"sub/{SHARD}": EMPTY, f"a/{SHARD}": EMPTY, f"a/{INDEX}": index(SHARD)}

    assert scan({**files, INDEX: index(SHARD, f"sub/{SHARD}")}).findings == ()


def test_what_a_run_writes_of_its_own_sandbox_is_bound_by_its_provenance(scan) -> None:
    result = scan(
        {
            "adapter_config.json": as_json({"base_model_name_or_path": "/tuneguard/base"}),
            "config.json": as_json(
                {"_name_or_path": "/tuneguard/base", "vocab_file": "/tuneguard/base/v.txt"}
            ),
            "checkpoint-20/trainer_state.json": as_json(
                {"best_model_checkpoint": "/tuneguard/checkpoint/checkpoint-20"}
            ),
        }
    )

    assert result.findings == ()


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("adapter_config.json", {"base_model_name_or_path": "someone/llama"}),
        ("adapter_config.json", {"base_model_name_or_path": "/srv/other/base"}),
        ("adapter_config.json", {"base_model_name_or_path": "/tuneguard/base/../../srv/other"}),
        ("adapter_config.json", {"base_model_name_or_path": "https://example.org/base"}),
        ("adapter_config.json", {"base_model_name_or_path": "~/base"}),
        ("adapter_config.json", {"base_model_name_or_path": "gpt2", "revision": "main"}),
        ("adapter_config.json", {"tokenizer_name_or_path": "someone/tokenizer"}),
        ("adapter_config.json", {"prompt_tuning_init_state_dict_path": "/srv/state.bin"}),
        ("modules.json", [{"path": "../other", "type": "sentence_transformers.models.Dense"}]),
        ("modules.json", [{"path": "/srv/other", "type": "sentence_transformers.models.Dense"}]),
        ("modules.json", [{"path": "absent", "type": "sentence_transformers.models.Dense"}]),
        (
            "router_config.json",
            {"types": {"../other": "sentence_transformers.models.Dense"}, "structure": {"a": ["../other"]}},
        ),
        (
            "config.json",
            {
                "types": {"/srv/other": "sentence_transformers.models.Dense"},
                "structure": {"a": ["/srv/other"]},
            },
        ),
        ("model_index.json", {"../other": ["diffusers", "UNet2DModel"]}),
        ("tokenizer_config.json", {"tokenizer_file": "/srv/tokenizer.json"}),
        ("tokenizer_config.json", {"vocab_file": "../vocab.json", "merges_file": "merges.txt"}),
        ("tokenizer_config.json", {"spm_file": "\\\\server\\x.model"}),
        (
            "tokenizer_config.json",
            {"fast_tokenizer_files": ["tokenizer.4.0.0.json", "../tokenizer.4.json"]},
        ),
        ("tokenizer_config.json", {"init_inputs": ["/srv/vocab.txt"]}),
        ("processor_config.json", {"audio_tokenizer": {"audio_tokenizer_name_or_path": "/srv/audio"}}),
        ("config.json", {"transformers_weights": "../other/model.safetensors"}),
        ("config.json", {"transformers_weights": "absent.safetensors"}),
        ("config.json", {"configuration_files": ["config.4.0.0/../../../other/config.json"]}),
        ("config.json", {"quantization_config": {"quant_method": "gguf", "gguf_file": "/srv/x.gguf"}}),
        ("config.json", {"pretrained_cfg": {"file": "/srv/x.safetensors"}}),
        ("config.json", {"pretrained_cfg": {"url": "https://example.org/x.bin"}}),
        ("config.json", {"pretrained_cfg": {"hf_hub_id": "someone/x"}}),
        ("config.json", {"speculators_config": {"verifier": {"name_or_path": "someone/x"}}}),
        ("config.json", {"model_type": "rag", "index_path": "/srv/index", "passages_path": "/srv/p"}),
        ("config.json", {"vision_tower": "/srv/other/clip"}),
        ("config.json", {"of_tomorrow": "../../other"}),
        ("config.json", {"of_tomorrow": [[0, ["../../other"]]]}),
        ("config.json", {"configuration_files": {"config.4.0.0/../../other.json": 1}}),
        ("tokenizer_config.json", {"fast_tokenizer_files": {"tokenizer.4/../../other.json": 1}}),
        ("tokenizer_config.json", {"vocab_file": "\ud800/../x"}),
        ("config.json", {"text_config": {"deep": [1, "file:///srv/other"]}}),
        ("config.json", {"lookup_path": "absent.bin"}),
        ("config.4.0.0.json", {"vision_tower": "/srv/other/clip"}),
        ("anything.json", {"model_type": "llama", "cache_dir": "/srv/cache"}),
        ("sentence_bert_config.json", {"model_args": {"gguf_file": "../x.gguf"}}),
        ("sentence_bert_config.json", {"model_args": {"subfolder": "../other"}}),
        ("generation_config.json", {"assistant": "/srv/other"}),
        ("open_clip_config.json", {"model_cfg": {"text_cfg": {"hf_tokenizer_name": "someone/x"}}}),
    ],
)
def test_attack_a_value_that_a_loader_opens_leads_elsewhere(scan, name: str, document: Any) -> None:
    result = scan({name: as_json(document), "tokenizer.4.0.0.json": b"{}", "merges.txt": b"a b\n"})

    assert refused_by(result) == {"TG-CFG-PATH"}
    assert result.verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("config.json", {"_name_or_path": "someone/llama"}),
        ("config.json", {"encoder": {"_name_or_path": "/home/someone/llama"}}),
        (
            "tokenizer_config.json",
            {"name_or_path": "someone/llama", "special_tokens_map_file": "/root/x"},
        ),
        ("trainer_state.json", {"best_model_checkpoint": "/tuneguard/checkpoint/checkpoint-10"}),
        ("trainer_state.json", {"best_model_checkpoint": "../../other"}),
        ("adapter_config.json", {"base_model_name_or_path": "../base"}),
        ("quantize_config.json", {"model_name_or_path": "someone/llama"}),
    ],
)
def test_where_a_model_came_from_is_only_shown(scan, name: str, document: Any) -> None:
    result = scan(name, as_json(document))

    assert {(finding.rule, finding.severity) for finding in result.findings} == {
        ("TG-CFG-ORIGIN", Severity.LOW)
    }
    assert result.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("name", "document"),
    [
        (
            "tokenizer_config.json",
            {"vocab_file": None, "unk_token": "/x", "eos_token": "</s>"},
        ),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"0": {"content": "/a/b"}}, "vocab_file": "v.txt"},
        ),
        (
            "tokenizer_config.json",
            {"chat_template": "/a {{ x }} ../..", "additional_special_tokens": ["../x"]},
        ),
        (
            "config.json",
            {"drop_path_rate": 0.1, "use_mem_eff_path": True, "path": "v.txt"},
        ),
        ("config.json", {"id2label": {"0": "a/b", "1": "..."}, "license": "https://example.org/x"}),
        (
            "adapter_config.json",
            {"base_model_name_or_path": None, "target_modules": ["q/proj"]},
        ),
        ("modules.json", [{"path": "", "type": "sentence_transformers.models.Transformer"}]),
        ("modules.json", [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]),
        (
            "router_config.json",
            {"types": {"1_Pooling": "sentence_transformers.models.Dense"}, "structure": {"a": ["1_Pooling"]}},
        ),
        ("vocab.json", {"weight_map": 1, "/srv/other": 2, "vocab_file": 3, "../..": 4}),
        ("tokenizer.json", {"model": {"vocab": {"file": 1}, "merges": ["/ srv", "../ x"]}}),
        ("all_results.json", {"output_dir": "/srv/runs/1", "log": "../x"}),
    ],
)
def test_what_frameworks_write_leads_nowhere(scan, name: str, document: Any) -> None:
    files = {name: as_json(document), "v.txt": b"a\n", "1_Pooling/config.json": b"{}"}

    assert scan(files).findings == ()


@pytest.mark.parametrize("path", ["../other/model.pt2", "/srv/other", "absent", "~/x/y", "a/../../b"])
@pytest.mark.parametrize(
    ("name", "holding"),
    [
        ("export.json", lambda path: {"components": {"model": {"file": path, "metadata": {}}}}),
        ("decision.json", lambda path: {"labels": {}, "adapter": path}),
        ("speaker_embeddings_path.json", lambda path: {"v": {"coarse_file": path}}),
    ],
)
def test_attack_a_document_of_transformers_beside_the_configuration(scan, name, holding, path: str) -> None:
    assert refused_by(scan({name: as_json(holding(path)), "b": b"{}"})) == {"TG-CFG-PATH"}


@pytest.mark.parametrize("value", ["hf-hub:someone/x", "hf_hub:someone/x", "local-dir:/srv/x", "local_dir:x"])
@pytest.mark.parametrize("key", ["architecture", "backbone"])
def test_attack_an_architecture_that_timm_fetches(scan, key: str, value: str) -> None:
    assert refused_by(scan("config.json", as_json({"model_type": "timm_wrapper", key: value}))) == {
        "TG-CFG-PATH"
    }


def test_an_export_and_a_decision_model_may_name_what_lies_in_the_tree(scan) -> None:
    files = {
        "export.json": as_json({"components": {"model": {"file": "model.txt"}}}),
        "model.txt": b"no program",
        "decision.json": as_json({"adapter": "lora"}),
        "lora/README.md": b"an adapter",
        "speaker_embeddings_path.json": as_json({"v": {"coarse_prompt": "speaker_embeddings/v.npy"}}),
    }

    assert scan(files).findings == ()


def test_a_path_is_seen_from_the_folder_of_its_configuration(scan) -> None:
    deep = as_json({"tokenizer_file": "tokenizer.json"})

    assert scan({"a/tokenizer_config.json": deep, "a/tokenizer.json": b"{}"}).findings == ()
    assert refused_by(scan({"b/tokenizer_config.json": deep, "tokenizer.json": b"{}"})) == {"TG-CFG-PATH"}


def test_two_scanned_folders_do_not_see_each_other(tmp_path: Path) -> None:
    for name, shard in (("a", SHARD), ("b", "other.safetensors")):
        (tmp_path / name).mkdir()
        (tmp_path / name / INDEX).write_bytes(index(shard))
        (tmp_path / name / SHARD).write_bytes(EMPTY)

    result = scan_paths([tmp_path / "a", tmp_path / "b"])

    assert [finding.location.path for finding in result.findings] == [f"{tmp_path}/b/{INDEX}"]


def test_one_file_scanned_alone_says_what_it_does_not_show(tmp_path: Path) -> None:
    alone = tmp_path / INDEX
    alone.write_bytes(index(SHARD))
    [finding] = scan_paths([alone]).findings
    alone.write_bytes(index(SHARD, "/srv/x"))

    assert (finding.rule, finding.severity) == ("TG-CFG-ORIGIN", Severity.LOW)
    assert "scan the folder" in finding.message
    assert refused_by(scan_paths([alone])) == {"TG-CFG-PATH"}


def test_the_finding_says_value_key_and_line(scan) -> None:
    [finding] = scan(INDEX, index("../x.safetensors")).findings

    assert finding.message == "opens ../x.safetensors, which is no plain path within the folder (weight_map)"
    assert finding.location.line == 3
