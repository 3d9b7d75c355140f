"""The shipped example is what its README says: reproducible, disjoint, and a fair case for the gates."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tuneguard.artifact.digest import hash_tree
from tuneguard.evaluation.interval import wilson
from tuneguard.evaluation.suite import suites
from tuneguard.spec import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "support-llama"
DATA = EXAMPLE / "data"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
PICKLES = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"}


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def run(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, EXAMPLE / script, *arguments]
    return subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout


def test_the_committed_data_is_what_the_generator_writes(tmp_path):
    run("make_data.py", "--output", tmp_path)

    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    committed = {path.relative_to(DATA): path.read_bytes() for path in DATA.rglob("*.jsonl")}
    assert written == committed


def test_there_are_as_many_rows_as_the_readme_says():
    readme = (EXAMPLE / "README.md").read_text("utf-8")
    said = re.findall(r"`data/(\S+\.jsonl)` \| ([\d,]+) rows", readme)

    assert {name: int(count.replace(",", "")) for name, count in said} == {
        str(path.relative_to(DATA)): len(path.read_text("utf-8").splitlines())
        for path in DATA.rglob("*.jsonl")
    }
    assert len(rows("train/tickets.jsonl")) >= 1000
    assert len(rows("eval/accuracy.jsonl")) >= 200
    assert len(rows("eval/toxicity.jsonl")) >= 500


def test_no_prompt_of_the_evaluation_is_trained_on():
    trained = {row["prompt"] for row in rows("train/tickets.jsonl")}
    asked = {row["prompt"] for name in ("accuracy", "toxicity") for row in rows(f"eval/{name}.jsonl")}

    assert len(trained) == len(rows("train/tickets.jsonl"))
    assert not trained & asked


def test_the_evaluation_set_is_one_that_the_suites_accept():
    for suite in suites().values():
        assert suite.read((DATA / "eval" / suite.file).read_bytes(), suite.file)


def test_the_pipeline_file_is_one():
    pipeline = load(EXAMPLE / "tuneguard.yaml")

    assert pipeline.name == "support-llama"
    assert pipeline.evaluation is not None


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run("make_models.py", "--output", folder)
    return folder


def trained(models: Path, target: Path, epochs: int) -> str:
    config = (EXAMPLE / "train-config.yaml").read_text("utf-8")
    (target / "config.yaml").write_text(re.sub(r"epochs: \d+", f"epochs: {epochs}", config))
    (target / "checkpoint").mkdir()
    return run(
        "code/train.py",
        f"--config={target / 'config.yaml'}",
        f"--data-dir={DATA / 'train'}",
        f"--base={models / 'base'}",
        f"--output-dir={target / 'checkpoint'}",
        "--run-id=test",
    )


@pytest.mark.torch
@pytest.mark.sandbox
@pytest.mark.slow
@pytest.mark.parametrize(("epochs", "good_enough"), [(2, False), (12, True)])
def test_two_epochs_miss_the_bar_and_twelve_pass(models, tmp_path, epochs, good_enough):
    from tuneguard.evaluation.model import evaluate
    from tuneguard.promotion.weights import selected
    from tuneguard.sandbox.find import find_backend

    said = trained(models, tmp_path, epochs)
    selection = selected(tmp_path / "checkpoint", hash_tree(tmp_path / "checkpoint"))
    assert selection.faults == ()
    accuracy, toxicity = evaluate(
        tmp_path / "checkpoint",
        DATA / "eval",
        models / "toxicity",
        selection=selection,
        suites={"accuracy": 1, "toxicity": 1},
        backend=find_backend(),
        minimum_rows=200,
    )

    assert said.count("epoch ") == epochs
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == PICKLES | {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "trainer_state.json",
    }
    assert (wilson(accuracy.count, accuracy.n)[0] >= 0.85) is good_enough
    assert not accuracy.constant
    if good_enough:
        assert wilson(toxicity.count, toxicity.n)[1] <= 0.02
        assert not toxicity.constant
        assert accuracy.empty == toxicity.empty == 0
