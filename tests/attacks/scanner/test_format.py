"""A policy's list of formats: content decides, at every depth, and no name gets round it."""

from __future__ import annotations

import pytest

from tuneguard.findings import Verdict
from tuneguard.scanner.engine import scan_paths, scan_tree
from tuneguard.scanner.identify import Kind
from tuneguard.scanner.kinds import _NAMES, _UNNAMED, FORMATS
from world import graphs, zips
from world import pickles as p
from world.arrays import gguf, npy
from world.frames import VERSION, field, run

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IEND\xaeB`\x82"
ARRAY = npy(bytes(24))
TORCH = zips.torch_zip(p.BENIGN)
SAFETENSORS = b"\x02\0\0\0\0\0\0\0{}"
FILES = {
    "safetensors": ("m.safetensors", SAFETENSORS),
    "torch": ("optimizer.pt", TORCH),
    "gguf": ("m.gguf", gguf({"a": 1})),
    "onnx": ("m.onnx", graphs.model()),
    "numpy": ("a.npy", ARRAY),
    "json": ("config.json", b"{}"),
    "tokenizer": ("merges.txt", b"a b\n"),
    "yaml": ("a.yaml", b"a: 1\n"),
    "toml": ("a.toml", b"a = 1\n"),
    "text": ("README.md", b"# Card\n"),
    "log": ("train.log", b"loss 1\n"),
    "html": ("a.html", b"<p>a</p>\n"),
    "notebook": ("a.ipynb", b'{"nbformat": 4, "cells": []}'),
    "picture": ("a.png", PNG),
    "tensorboard": ("events.out.tfevents.1.h", VERSION),
    "wandb": ("run-1.wandb", run(field(1, 1))),
}


def test_every_kind_is_named_or_said_to_have_no_name() -> None:
    assert set(_NAMES) | _UNNAMED == set(Kind)
    assert not set(_NAMES) & _UNNAMED
    assert set(_NAMES.values()) == set(FORMATS) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_passes_where_its_format_is_listed_and_nowhere_else(tmp_path, name: str) -> None:
    path, data = FILES[name]
    (tmp_path / path).write_bytes(data)
    others = frozenset(FORMATS) - {name}

    assert scan_tree(tmp_path).verdict is Verdict.PASSED
    assert scan_tree(tmp_path, formats=frozenset({name})).verdict is Verdict.PASSED
    for result in (scan_tree(tmp_path, formats=others), scan_paths([tmp_path / path], formats=others)):
        [finding] = result.findings
        assert (finding.rule, finding.location.path) == ("TG-FORMAT", path)
        assert finding.message.startswith(f"is of the format {name}, and the policy lists ")
        assert "leave the file out" in finding.fix


@pytest.mark.parametrize(
    ("path", "data", "listed"),
    [
        ("model.safetensors", p.BENIGN, {"safetensors"}),
        ("emb.npz", zips.archive(zips.Member("a.npy", p.BENIGN)), {"numpy"}),
        ("emb.npz", TORCH, {"numpy"}),
        ("emb.npz", zips.archive(zips.Member("inner.pt", TORCH)), {"numpy"}),
        ("emb.npy", npy(p.BENIGN, "'|O'"), {"numpy"}),
        ("m.zip", zips.archive(zips.Member("a.json", b"{}"), zips.Member("b.yaml", b"a: 1")), {"json"}),
        ("optimizer.pt", zips.archive(zips.Member("archive/DATA.PKL", p.BENIGN)), {"numpy"}),
        ("vocab.txt", b"\x80\x04N.", {"tokenizer"}),
    ],
)
def test_attack_a_format_hidden_behind_a_name_or_in_an_archive(tmp_path, path, data, listed) -> None:
    (tmp_path / path).write_bytes(data)

    assert "TG-FORMAT" in {f.rule for f in scan_tree(tmp_path, formats=frozenset(listed)).findings}


def test_an_archive_is_judged_by_its_members(tmp_path) -> None:
    (tmp_path / "emb.npz").write_bytes(zips.archive(zips.Member("a.npy", ARRAY)))

    assert scan_tree(tmp_path, formats=frozenset({"numpy"})).verdict is Verdict.PASSED
    assert scan_tree(tmp_path, formats=frozenset({"torch"})).verdict is Verdict.REFUSED


def test_an_empty_file_is_of_no_format(tmp_path) -> None:
    (tmp_path / "_SUCCESS").write_bytes(b"")

    assert scan_tree(tmp_path, formats=frozenset()).verdict is Verdict.PASSED
