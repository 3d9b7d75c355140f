"""Which weights are measured, and which files beside them a loader could take instead."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tuneguard import limits
from tuneguard.artifact.manifest import File, Manifest
from tuneguard.evaluation.weights import Selection, select

ZIP = "PK\x03\x04 of torch"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def select_of(files: dict[str, Any]) -> Selection:
    """What is measured of a tree with these files; what is no text is written as JSON."""
    contents = {
        path: (value if isinstance(value, str) else json.dumps(value)).encode()
        for path, value in files.items()
    }
    manifest = Manifest(
        tuple(
            File(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(contents.items())
        )
    )
    return select(manifest, lambda path, most: contents[path][:most])


def index(*paths: str) -> dict[str, Any]:
    return {"metadata": {}, "weight_map": {f"w{number}": path for number, path in enumerate(paths)}}


GOOD: dict[str, Any] = {
    "config.json": {"model_type": "llama"},
    "generation_config.json": {},
    "model.safetensors": "good weights",
    "tokenizer.json": {},
    "tokenizer.model": "\n\x0e\n\x05<unk>\x15\0\0\0\0",
    "README.md": "a model",
    "LICENSE": "of one's own",
    "chat_template.jinja": "{{ messages }}",
}
STATE = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "rng_state_0.pth", "training_args.bin")
SHARDED = {
    **{path: value for path, value in GOOD.items() if path != "model.safetensors"},
    **dict.fromkeys(SHARDS, "half of the weights"),
    "model.safetensors.index.json": index(*SHARDS),
}
CHECKPOINT_20 = {
    "checkpoint-20/config.json": {},
    "checkpoint-20/model.safetensors": "earlier weights",
    "checkpoint-20/optimizer.pt": ZIP,
    "checkpoint-20/trainer_state.json": {},
}
SENTENCES = {
    **GOOD,
    "modules.json": [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}, {"path": "3_Router"}],
    "1_Pooling/config.json": {},
    "2_Dense/config.json": {},
    "2_Dense/model.safetensors": "dense",
    "3_Router/router_config.json": {"types": {"query_0": "m.X", "document_0": "m.X"}, "structure": {}},
    "3_Router/query_0/model.safetensors": "query",
    "3_Router/document_0/model.safetensors": "document",
}


def paths_of(selection: Selection) -> list[str]:
    return [file.path for file in selection.measured]


def test_one_file_of_weights_and_what_goes_with_it_are_measured() -> None:
    selection = select_of(GOOD)

    assert selection.weights == ("model.safetensors",)
    assert paths_of(selection) == sorted(GOOD)
    assert (selection.faults, selection.apart) == ((), ())
    assert selection.bytes == len("good weights")


def test_the_shards_of_an_index_are_one_set() -> None:
    selection = select_of(SHARDED)

    assert selection.weights == SHARDS
    assert paths_of(selection) == sorted(SHARDED)
    assert selection.faults == ()


def test_an_index_may_name_the_one_file_as_some_libraries_write_it() -> None:
    assert select_of({**GOOD, "model.safetensors.index.json": index("model.safetensors")}).faults == ()


def test_the_state_of_a_training_is_not_measured_and_no_fault() -> None:
    selection = select_of({**GOOD, **dict.fromkeys(STATE, ZIP), "trainer_state.json": {}})

    assert selection.faults == ()
    assert paths_of(selection) == sorted([*GOOD, "trainer_state.json"])


def test_several_components_are_one_set() -> None:
    selection = select_of(SENTENCES)

    assert selection.weights == (
        "2_Dense/model.safetensors",
        "3_Router/document_0/model.safetensors",
        "3_Router/query_0/model.safetensors",
        "model.safetensors",
    )
    assert selection.faults == ()


@pytest.mark.parametrize("more", [{}, {"checkpoint-20/pytorch_model.bin": ZIP}])
def test_a_complete_checkpoint_in_a_folder_of_its_own_is_let_be_and_named(more: dict[str, str]) -> None:
    selection = select_of({**GOOD, **CHECKPOINT_20, **more})

    assert selection.apart == ("checkpoint-20",)
    assert selection.faults == ()
    assert paths_of(selection) == sorted(GOOD)


@pytest.mark.parametrize(
    "files",
    [
        {path: value for path, value in CHECKPOINT_20.items() if path != "checkpoint-20/config.json"},
        {path: value for path, value in CHECKPOINT_20.items() if path != "checkpoint-20/trainer_state.json"},
        {path.replace("checkpoint-20", "other"): value for path, value in CHECKPOINT_20.items()},
        {path.replace("checkpoint-20", "a/checkpoint-20"): value for path, value in CHECKPOINT_20.items()},
        {path.replace("checkpoint-20", "checkpoint-"): value for path, value in CHECKPOINT_20.items()},
    ],
)
def test_attack_weights_in_a_folder_that_is_no_complete_checkpoint(files: dict[str, Any]) -> None:
    [(path, _)] = select_of({**GOOD, **files}).faults

    assert path.endswith("/model.safetensors")


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "pytorch_model-00001-of-00001.bin",
        "pytorch_model.fp16.bin",
        "model.fp16.safetensors",
        "Model.safetensors",
        "MODEL.SAFETENSORS",
        "consolidated.safetensors",
        "consolidated.00.pth",
        "shard-00001-model-00001-of-00001.safetensors",
        "model-00001-of-00001.safetensors",
        "diffusion_pytorch_model.safetensors",
        "adapter_model.safetensors",
        "adapter_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "rust_model.ot",
        "model.onnx",
        "onnx/model.onnx",
        "model.gguf",
        "model.ckpt",
        "model.pt",
        "weights.npz",
        "model.flashpack",
        "head.safetensors",
        ".metadata",
        "__0_0.distcp",
        "weights",
        "weights.dat",
        "weights.model",
        "optimizer.safetensors",
        "Optimizer.pt",
        "optimizer.pt.bin",
        "training_args.bin.1",
        "evil/model.safetensors",
        "evil/pytorch_model.bin",
        "original/consolidated.00.pth",
    ],
)
@pytest.mark.parametrize("good", [GOOD, SHARDED, SENTENCES], ids=["one file", "shards", "components"])
def test_attack_other_weights_ride_along(good: dict[str, Any], name: str) -> None:
    selection = select_of({**good, name: ZIP})

    assert [path for path, _ in selection.faults] == [name]
    assert name not in paths_of(selection)


@pytest.mark.parametrize(
    "name", ["tokenizer.model", "vocab.txt", "merges.vocab", "README.bin", "x.yaml", "LICENSE"]
)
@pytest.mark.parametrize("data", [ZIP, "\x80\x02}q\0.", "GGUF\x03\0\0\0", "\x89HDF\r\n\x1a\n\0"])
def test_attack_weights_under_a_name_that_promises_none(name: str, data: str) -> None:
    assert [path for path, _ in select_of({**GOOD, name: data}).faults] == [name]


@pytest.mark.parametrize(
    "name",
    ["model.safetensors.index.json", "pytorch_model.bin.index.json", "model.safetensors.index.fp16.json"],
)
def test_attack_a_second_set_of_shards(name: str) -> None:
    selection = select_of(
        {**GOOD, "other-1.safetensors": "other weights", name: index("other-1.safetensors")}
    )

    assert {path for path, _ in selection.faults} == {name, "other-1.safetensors"}
    assert selection.weights == ("model.safetensors",)


def test_attack_a_second_index_over_a_part_of_the_shards() -> None:
    [(path, what)] = select_of({**SHARDED, "model.safetensors.index.fp16.json": index(SHARDS[0])}).faults

    assert path == "model.safetensors.index.fp16.json"
    assert what == "names other weights than those that are measured"


def test_attack_a_shard_that_the_index_leaves_out() -> None:
    [(path, _)] = select_of({**SHARDED, "model-00003-of-00003.safetensors": "more"}).faults

    assert path == "model-00003-of-00003.safetensors"


@pytest.mark.parametrize(
    "shard", ["../other.safetensors", "/srv/other.safetensors", "absent.safetensors", "x.bin"]
)
def test_attack_an_index_that_names_what_is_not_there(shard: str) -> None:
    faults = select_of(
        {**SHARDED, "x.bin": ZIP, "model.safetensors.index.json": index(*SHARDS, shard)}
    ).faults

    assert "model.safetensors.index.json" in {path for path, _ in faults}


@pytest.mark.parametrize(
    "document", [{}, [], {"weight_map": {}}, {"weight_map": ["x"]}, {"weight_map": None}]
)
def test_an_index_that_names_nothing_is_a_fault(document: Any) -> None:
    assert select_of({**SHARDED, "model.safetensors.index.json": document}).faults


@pytest.mark.parametrize(
    "named", ["model.fp16.safetensors", "model.safetensors.index.json", "../x.safetensors", 1]
)
def test_attack_a_configuration_that_names_other_weights(named: Any) -> None:
    other = {"model.fp16.safetensors": "other weights"}
    faults = select_of({**GOOD, **other, "config.json": {"transformers_weights": named}}).faults

    assert "config.json" in {path for path, _ in faults}


def test_a_configuration_may_name_the_only_weights() -> None:
    files = {
        **GOOD,
        "config.json": {"transformers_weights": "chosen.safetensors"},
        "chosen.safetensors": "weights",
    }
    del files["model.safetensors"]

    assert (select_of(files).weights, select_of(files).faults) == (("chosen.safetensors",), ())


def test_attack_an_adapter_beside_full_weights() -> None:
    files = {**GOOD, "adapter_config.json": {"peft_type": "LORA"}, "adapter_model.safetensors": "adapter"}

    assert dict(select_of(files).faults)["adapter_config.json"] == (
        "lies beside full weights: loaders add the adapter to them"
    )


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"adapter_config.json": {}, "adapter_model.safetensors": "x"},
            "is an adapter, which is no model by itself",
        ),
        ({"config.json": {}, "pytorch_model.bin": ZIP}, r"has its weights in pytorch_model\.bin only"),
        ({"config.json": {}}, "there is nothing to measure"),
        (CHECKPOINT_20, "there is nothing to measure"),
    ],
)
def test_a_tree_without_weights_to_measure_is_a_fault(files: dict[str, Any], says: str) -> None:
    selection = select_of(files)

    assert any(path == "" and says.replace("\\", "") in what for path, what in selection.faults)
    assert selection.weights == ()


def test_a_component_that_is_a_checkpoint_folder_is_measured() -> None:
    selection = select_of(
        {**GOOD, **CHECKPOINT_20, "modules.json": [{"path": ""}, {"path": "checkpoint-20"}]}
    )

    assert selection.apart == ()
    assert "checkpoint-20/model.safetensors" in selection.weights


OWN = {
    "a transformer": {"config.json": {"model_type": "bert"}},
    "an architecture": {"config.json": {"architectures": ["BertModel"]}},
    "static embeddings": {"tokenizer.json": {}},
    "word embeddings": {"wordembedding_config.json": {}, "whitespacetokenizer_config.json": {}},
    "a transformer whose settings lie elsewhere": {"sentence_bert_config.json": {"config_args": {}}},
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("folder", ["0_Transformer", "1_Router/query"])
@pytest.mark.parametrize("good", [GOOD, SHARDED], ids=["one file", "shards"])
def test_attack_sentence_transformers_loads_another_model_than_the_one_at_the_top(
    good: dict[str, Any], folder: str, own: dict[str, Any]
) -> None:
    top, _, route = folder.partition("/")
    files = {
        **good,
        "modules.json": [{"path": top, "type": "sentence_transformers.models.Transformer"}],
        f"{folder}/model.safetensors": "other weights",
        **{f"{folder}/{name}": value for name, value in own.items()},
    }
    if route:
        files[f"{top}/router_config.json"] = {"types": {route: "sentence_transformers.models.Transformer"}}

    says = "is a model of its own that modules.json lists beside the one at the top"
    assert select_of(files).faults == ((folder, says),)


def test_a_model_of_components_without_weights_at_the_top_is_one_set() -> None:
    files = {
        "README.md": "a model",
        "modules.json": [{"path": "0_Transformer"}, {"path": "1_Pooling"}, {"path": "2_Dense"}],
        **{f"0_Transformer/{path}": value for path, value in GOOD.items()},
        "1_Pooling/config.json": {"word_embedding_dimension": 16},
        "2_Dense/config.json": {"in_features": 16, "out_features": 8},
        "2_Dense/model.safetensors": "dense",
    }

    selection = select_of(files)

    assert selection.faults == ()
    assert selection.weights == ("0_Transformer/model.safetensors", "2_Dense/model.safetensors")


def test_routes_that_name_each_other_end() -> None:
    files = {
        **GOOD,
        "modules.json": [{"path": "a"}],
        "a/router_config.json": {"types": {"": 1, ".": 1, "..": 1}},
    }

    assert select_of(files).faults == ()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "modules.json"])
@pytest.mark.parametrize(
    "data", ["{", '{"weight_map": {}, "weight_map": {}}', '{"a": ' * 100_000, "\x00", "3" * 5000, "{" * 9, ""]
)
def test_a_document_that_says_where_weights_lie_and_cannot_be_read_is_a_fault(name: str, data: str) -> None:
    assert name in {path for path, _ in select_of({**SHARDED, name: data}).faults}


def test_a_document_beyond_the_limit_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SCAN_JSON_BYTES", 10)

    assert ("config.json", "is JSON of over 10 bytes") in select_of(GOOD).faults


def test_more_files_than_can_be_shown_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVALUATION_SHOWN", 3)

    assert select_of(GOOD).faults == (("", "holds more than 3 files to show to the evaluation"),)
