"""What cannot pass as it is: one sentence says so, with what to do instead."""

from __future__ import annotations

import pickle

from tuneguard.scanner.frameworks import FRAMEWORKS

INSTEAD = {framework.what: framework.instead for framework in FRAMEWORKS}
WEIGHTS = "save the weights, model.state_dict(), with torch.save or safetensors"
JSON = 'save the model as JSON, save_model("model.json")'


def _rows():
    import numpy as np

    points = np.random.default_rng(0).normal(size=(40, 4))
    return points, (points[:, 0] > 0).astype(int)


def _folders(tmp_path, *names):
    folders = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()
    return folders


def _named(refused, framework, what, folder, reason):
    refused(framework, what, folder, f"holds {reason}", INSTEAD[reason])


def test_scikit_learn(tmp_path, refused) -> None:
    import joblib
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    packed, forest = _folders(tmp_path, "joblib", "pickle")
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(*_rows()), packed / "m.joblib")
    (forest / "m.pkl").write_bytes(pickle.dumps(RandomForestClassifier(3).fit(*_rows())))

    _named(refused, "scikit-learn", "a pipeline by joblib", packed, "a model of scikit-learn")
    _named(refused, "scikit-learn", "a forest by pickle", forest, "a model of scikit-learn")


def test_xgboost(tmp_path, passes, refused) -> None:
    import xgboost

    text, binary, pickled = _folders(tmp_path, "json", "ubj", "pickle")
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(*_rows())
    model.save_model(text / "model.json")
    model.save_model(binary / "model.ubj")
    (pickled / "model.pkl").write_bytes(pickle.dumps(model))

    passes("XGBoost", "`save_model` to JSON", text)
    refused("XGBoost", "`save_model` to UBJSON", binary, "is UBJSON of XGBoost", JSON)
    _named(refused, "XGBoost", "a pickle", pickled, "a model of XGBoost")


def test_programs_of_torch(tmp_path, refused) -> None:
    import torch

    traced, scripted, exported, whole = _folders(tmp_path, "traced", "scripted", "exported", "whole")
    layer = torch.nn.Linear(4, 4)
    torch.jit.save(torch.jit.trace(layer, torch.randn(1, 4)), str(traced / "m.pt"))
    torch.jit.script(torch.nn.Sequential(layer, torch.nn.Dropout())).save(str(scripted / "m.pt"))
    torch.export.save(torch.export.export(layer, (torch.randn(1, 4),)), str(exported / "m.pt2"))
    torch.save(torch.nn.Sequential(layer, torch.nn.ReLU()), whole / "m.pt")

    _named(refused, "torch", "TorchScript, traced", traced, "TorchScript code")
    _named(refused, "torch", "TorchScript, scripted", scripted, "TorchScript code")
    refused("torch", "`torch.export` (`.pt2`)", exported, "is a program of torch.export", WEIGHTS)
    _named(refused, "torch", "a whole module, `torch.save(model)`", whole, "a whole module of torch")


def test_objects_in_a_checkpoint_of_torch(tmp_path, refused) -> None:
    import numpy as np
    import torch
    from omegaconf import OmegaConf
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = torch.nn.Sequential(torch.nn.Linear(64, 64))
    quantize_(model, Int8WeightOnlyConfig())
    parts = [torch.ones(3), torch.ones(2)]
    made = {
        "a configuration of OmegaConf": (
            "OmegaConf",
            "a `DictConfig`",
            OmegaConf.create({"a": [1, {"b": None}]}),
        ),
        "a tensor class of torchao": ("torchao", "a state dict after `quantize_`", model.state_dict()),
        "a nested tensor": ("torch", "a nested tensor", torch.nested.nested_tensor(parts)),
        "a random generator of NumPy": ("NumPy", "a `RandomState`", np.random.RandomState(1)),
    }
    for at, (reason, (framework, what, value)) in enumerate(made.items()):
        [folder] = _folders(tmp_path, str(at))
        torch.save({"value": value, "step": 1}, folder / "m.pt")
        _named(refused, framework, what, folder, reason)

    [jagged, generator] = _folders(tmp_path, "jagged", "generator")
    torch.save(torch.nested.nested_tensor(parts, layout=torch.jagged), jagged / "m.pt")
    torch.save(np.random.default_rng(1), generator / "m.pt")
    _named(refused, "torch", "a nested tensor, jagged", jagged, "a nested tensor")
    _named(refused, "NumPy", "a `Generator`", generator, "a random generator of NumPy")
