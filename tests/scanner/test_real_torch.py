"""What real torch, NumPy and Trainer write today must pass, and must fail when something is planted in it."""

from __future__ import annotations

import collections
import importlib
import os
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tuneguard.findings import Verdict
from tuneguard.scanner.allowed import ALLOWED
from tuneguard.scanner.engine import scan_tree
from world import pickles as p
from world.zips import torch_zip

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.torch

FOUR = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one step of Trainer, made now, by the versions that are installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _train(tmp_path_factory.mktemp("run"))


def _train(folder: Path) -> Path:
    import torch
    import transformers

    torch.set_num_threads(1)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    rows = [{"input_ids": [1, 5, 6, 7], "labels": [1, 5, 6, 7]}] * 4
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=1,
        save_steps=1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        fsdp=[],
        debug="",
        lr_scheduler_kwargs={},
    )
    model = transformers.LlamaForCausalLM(config)
    transformers.Trainer(model=model, args=arguments, train_dataset=rows).train()
    return folder / "checkpoint-1"


def test_a_checkpoint_of_the_installed_trainer_passes(trained: Path) -> None:
    result = scan_tree(trained)

    assert set(FOUR) <= {path.name for path in trained.iterdir()}
    assert result.findings == ()
    assert result.skipped == ()
    assert result.understood == result.files


def test_arguments_with_a_configuration_of_generation_pass(tmp_path: Path) -> None:
    import torch
    import transformers

    arguments = transformers.Seq2SeqTrainingArguments(
        output_dir=str(tmp_path),
        report_to="none",
        use_cpu=True,
        generation_config=transformers.GenerationConfig(max_length=5, eos_token_id=[1, 2]),
    )
    torch.save(arguments, tmp_path / "training_args.bin")

    result = scan_tree(tmp_path)

    assert (result.findings, result.skipped) == ((), ())


@pytest.fixture(scope="module")
def distributed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distributed checkpoint of the installed torch."""
    import torch
    import torch.distributed.checkpoint as dcp

    folder = tmp_path_factory.mktemp("run") / "dcp"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(
            {"model": {"w": torch.zeros(4, 4), "b": torch.zeros(4, dtype=torch.bfloat16)}, "step": 3},
            checkpoint_id=folder,
            no_dist=True,
        )
    return folder


def test_a_distributed_checkpoint_is_understood(distributed: Path) -> None:
    result = scan_tree(distributed)

    assert {path.name for path in distributed.iterdir()} == {".metadata", "__0_0.distcp"}
    assert (result.findings, result.skipped) == ((), ())
    assert result.verdict is Verdict.PASSED


def test_attack_an_index_of_torch_that_is_led_into_a_tensor(distributed: Path, tmp_path: Path) -> None:
    import pickle

    parts = (distributed / "__0_0.distcp").read_bytes()
    index = pickle.loads((distributed / ".metadata").read_bytes())
    for info in index.storage_data.values():
        info.offset += 64
    (tmp_path / ".metadata").write_bytes(pickle.dumps(index))
    (tmp_path / "__0_0.distcp").write_bytes(parts)

    assert {finding.rule for finding in scan_tree(tmp_path).findings} == {"TG-DCP"}


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(lambda written: p.PAYLOAD, id="exchanged"),
        pytest.param(lambda written: written[:-1] + p.POP + p.SYSTEM + p.STOP, id="a call behind it"),
        pytest.param(
            lambda written: written.replace(b"TensorStorageMetadata", b"TensorStorageMetadato"),
            id="another class",
        ),
    ],
)
def test_attack_a_call_planted_in_its_metadata_is_refused(
    distributed: Path, tmp_path: Path, planted: Any
) -> None:
    (tmp_path / ".metadata").write_bytes(planted((distributed / ".metadata").read_bytes()))

    assert "TG-PKL-CALL" in {finding.rule for finding in scan_tree(tmp_path).findings}


@pytest.mark.parametrize("name", FOUR)
def test_a_call_planted_in_what_it_wrote_is_refused(trained: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(trained / name) as archive:
        stem = archive.namelist()[0].split("/")[0]
        written = archive.read(f"{stem}/data.pkl")
        storages = {n.split("/")[-1]: archive.read(n) for n in archive.namelist() if "/data/" in n}
    (tmp_path / name).write_bytes(torch_zip(written[:2] + p.SYSTEM + p.POP + written[2:], storages))

    [finding] = scan_tree(tmp_path).findings

    assert (finding.rule, finding.location.offset) == ("TG-PKL-CALL", 2 + len(p.SYSTEM) - 1)


def _values() -> dict[str, Any]:
    import numpy as np
    import torch

    layer = torch.nn.Linear(2, 2)
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    adam.step()
    schedulers = torch.optim.lr_scheduler
    return {
        "state": torch.nn.Sequential(layer, torch.nn.BatchNorm1d(2)).state_dict(),
        "adam": adam.state_dict(),
        "sgd": torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9).state_dict(),
        "cosine": schedulers.CosineAnnealingLR(adam, 10).state_dict(),
        "cycle": schedulers.OneCycleLR(adam, 1.0, 10).state_dict(),
        "plateau": schedulers.ReduceLROnPlateau(adam).state_dict(),
        "lambda": schedulers.LambdaLR(adam, lambda _: 1.0).state_dict(),
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
        "kinds": [
            torch.zeros(3).to(getattr(torch, name))
            for name in (
                "bool",
                "bfloat16",
                "float16",
                "float64",
                "complex64",
                "int8",
                "int64",
                "uint8",
                "float8_e4m3fn",
                "uint16",
            )
        ],
        "dtype": {"dtype": torch.float8_e5m2, "size": torch.Size([1, 2]), "device": torch.device("cuda", 1)},
        "empty": torch.empty(0),
        "parameter": torch.nn.Parameter(torch.ones(2, 2)),
        "coo": torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (2, 2)),
        "csr": torch.eye(3).to_sparse_csr(),
        "meta": torch.empty(3, device="meta"),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "views": {"a": torch.arange(10)[2:5], "b": torch.arange(10).reshape(2, 5).t()},
        "numpy": {
            "f": np.float64(1.5),
            "i": np.int64(3),
            "a": np.arange(6).reshape(2, 3),
            "e": np.zeros(0),
            "F": np.asfortranarray(np.ones((2, 3))),
            "s": np.array(["a", "bc"]),
        },
        "rng": {
            "python": __import__("random").getstate(),
            "numpy": np.random.get_state(),  # noqa: NPY002 (what Trainer writes)
            "cpu": torch.get_rng_state(),
        },
        "python": {
            "set": {1},
            "frozen": frozenset([1]),
            "bytes": b"x",
            "array": bytearray(b"x"),
            "none": b"",
            "c": 1j,
            "od": collections.OrderedDict(a=1),
            "dd": collections.defaultdict(list, {"a": [1]}),
            "count": collections.Counter("aab"),
            "big": 10**40,
        },
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_what_torch_saves_passes_in_every_protocol_and_form(
    tmp_path: Path, version: int, legacy: bool
) -> None:
    import torch

    for name, value in _values().items():
        path = tmp_path / f"{name}.pt"
        try:
            torch.save(value, path, pickle_protocol=version, _use_new_zipfile_serialization=not legacy)
        except (RuntimeError, AttributeError):
            path.unlink(missing_ok=True)  # torch itself cannot save some values in the legacy form

    result = scan_tree(tmp_path)

    assert [(finding.location, finding.message) for finding in result.findings] == []
    assert result.skipped == ()
    assert result.understood > 15


def test_a_whole_module_is_refused_since_it_names_classes(tmp_path: Path) -> None:
    import torch

    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")

    [finding] = scan_tree(tmp_path).findings
    assert finding.rule == "TG-PKL-FRAMEWORK"


def test_torchscript_of_the_real_compiler_is_refused(tmp_path: Path) -> None:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "model.pt"))

    assert "TG-TORCHSCRIPT" in {finding.rule for finding in scan_tree(tmp_path).findings}


def test_the_configurations_of_transformers_pass(tmp_path: Path) -> None:
    from transformers import CONFIG_MAPPING, GenerationConfig

    kinds = [kind for at, kind in enumerate(sorted(CONFIG_MAPPING.keys())) if at % 20 == 0]
    for kind in kinds:
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(CONFIG_MAPPING[kind]().to_json_string(use_diff=False))
    generation = GenerationConfig().to_json_string(use_diff=False)
    (tmp_path / "generation_config.json").write_text(generation)

    result = scan_tree(tmp_path)

    assert result.verdict is Verdict.PASSED, result.findings
    assert result.files > 30


def test_safetensors_of_the_real_writer_pass(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {"a": torch.ones(3), "b": torch.zeros(2, 2, dtype=torch.bfloat16), "e": torch.empty(0)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})

    assert scan_tree(tmp_path).verdict is Verdict.PASSED


GONE = {
    "__builtin__",
    "numpy.core.multiarray",
    "numpy.core.numeric",
    "pathlib._local",
}
"""Python 2's name, NumPy 1's, and Python 3.13's name."""
ELSEWHERE = ("sentence_transformers", "trl")
"""Libraries that are not installed here: tests/frameworks/test_names.py asks for their names."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("module", "name"),
    [key for key in ALLOWED if key[0] not in GONE and key[0].split(".")[0] not in ELSEWHERE],
)
def test_an_allowed_name_is_really_there(module: str, name: str) -> None:
    older = {"EvaluationStrategy"}  # transformers before 5

    assert hasattr(importlib.import_module(module), name) or name in older
