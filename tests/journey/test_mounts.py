"""What a training is told about its places, and where what libraries keep is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from projects import MODEL, PIPELINE, SEAL

if TYPE_CHECKING:
    from projects import ProjectFolder

pytestmark = pytest.mark.sandbox

TELL = """\
import json, os, pathlib
checkpoint = pathlib.Path(os.environ["TUNEGUARD_CHECKPOINT"])
(checkpoint / "config.json").write_text("{}")
(checkpoint / "told.json").write_text(json.dumps(dict(os.environ)))
"""

SAVED = """\
import json, os, pathlib
told = {}
for place in (".", "test"):
    folder = pathlib.Path(os.environ["TUNEGUARD_DATA"], "saved", place)
    told[place] = {"read": (folder / "data-00000-of-00001.arrow").read_bytes().hex()}
    for what, how in {
        "cache": lambda: (folder / "cache-1.arrow").write_text("x"),
        "write": lambda: (folder / "data-00000-of-00001.arrow").write_text("x"),
        "chmod": lambda: (folder / "state.json").chmod(0o600),
        "remove": lambda: (folder / "state.json").unlink(),
        "rename": lambda: (folder / "state.json").rename(folder / "other.json"),
        "through scratch": lambda: pathlib.Path(".datasets/0/state.json").unlink(),
    }.items():
        try:
            how()
            told[place][what] = "done"
        except OSError as error:
            told[place][what] = "refused"
told["cached"] = sorted(map(str, pathlib.Path().glob(".datasets/*/cache-1.arrow")))
checkpoint = pathlib.Path(os.environ["TUNEGUARD_CHECKPOINT"])
(checkpoint / "config.json").write_text("{}")
(checkpoint / "told.json").write_text(json.dumps(told))
"""


def told(project: ProjectFolder, run: str) -> Any:
    return json.loads((project.path / f"runs/{run}/told.json").read_text())


def test_every_placeholder_is_a_variable_and_caches_lie_in_scratch(project: ProjectFolder) -> None:
    project.write("code/train.py", TELL)

    assert project("run", "--run", "041", "--quiet") == 0
    assert project("run", "--run", "042", "--resume", "runs/041", "--quiet") == 0

    seen = told(project, "042")
    assert {name: value for name, value in seen.items() if name.startswith("TUNEGUARD_")} == {
        "TUNEGUARD_BASE": "/tuneguard/base",
        "TUNEGUARD_CHECKPOINT": "/tuneguard/checkpoint",
        "TUNEGUARD_CODE": "/tuneguard/code",
        "TUNEGUARD_CONFIG": "/tuneguard/config/train-config.yaml",
        "TUNEGUARD_DATA": "/tuneguard/data",
        "TUNEGUARD_METRICS": "/tuneguard/metrics",
        "TUNEGUARD_RESUME": "/tuneguard/resume",
        "TUNEGUARD_RUN": "042",
        "TUNEGUARD_SCRATCH": "/tuneguard/scratch",
    }
    kept = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    for name in (*kept, "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        assert seen[name].startswith("/tuneguard/scratch/.cache")
    assert "TUNEGUARD_RESUME" not in told(project, "041")


def test_what_the_pipeline_leaves_out_has_no_variable_and_a_cache_can_lie_elsewhere(
    project: ProjectFolder,
) -> None:
    project.write("code/train.py", TELL)
    pipeline = PIPELINE.replace("  config: train-config.yaml\n", "  env: {TRITON_CACHE_DIR: /tmp/triton}\n")
    project.write("tuneguard.yaml", pipeline.replace('"{config}"', '"none"'))

    assert project("policy", "set-model", MODEL, "--command", "--quiet") == 0
    assert project("run", "--run", "042", "--quiet") == 0

    assert "TUNEGUARD_CONFIG" not in told(project, "042")
    assert told(project, "042")["TRITON_CACHE_DIR"] == "/tmp/triton"


def rows_of(place: str) -> bytes:
    """One row, as ``save_to_disk`` writes it; sealing it needs pyarrow."""
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"text": [f"rows of {place}"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def saved(project: ProjectFolder) -> None:
    """Data as ``DatasetDict.save_to_disk`` leaves them, one split in the folder itself."""
    for place in ("", "test/"):
        project.write(f"data/train/saved/{place}state.json", "{}")
        (project.path / f"data/train/saved/{place}data-00000-of-00001.arrow").write_bytes(rows_of(place))
    project.write("code/train.py", SAVED)
    assert project("seal", "data/train", "--as", "dataset", "--name", f"{MODEL}-train", *SEAL, "--quiet") == 0


def test_attack_data_of_a_folder_with_room_for_caches_are_changed(project: ProjectFolder) -> None:
    saved(project)

    assert project("run", "--run", "042", "--quiet") == 0

    refused = dict.fromkeys(("write", "chmod", "remove", "rename", "through scratch"), "refused")
    seen = told(project, "042")
    assert seen["."] == {"read": rows_of("").hex(), "cache": "done"} | refused
    assert seen["test"] == {"read": rows_of("test/").hex(), "cache": "refused"} | refused
    assert len(seen["cached"]) == 1


def test_the_folder_of_the_data_itself_can_be_one_and_too_many_files_leave_it_read_only(
    project: ProjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(project)
    project.write("code/train.py", SAVED.replace(', "saved", place', ", place"))
    (project.path / "data/train/saved").rename(project.path / "data/saved")
    (project.path / "data/train/tickets.jsonl").unlink()
    (project.path / "data/train").rmdir()
    (project.path / "data/saved").rename(project.path / "data/train")
    assert project("seal", "data/train", "--as", "dataset", "--name", f"{MODEL}-train", *SEAL, "--quiet") == 0

    assert project("train", "--run", "041", "--quiet") == 0
    monkeypatch.setattr("tuneguard.limits.SAVED_ENTRIES", 2)
    assert project("train", "--run", "042", "--quiet") == 0

    assert told(project, "041")["."]["cache"] == "done"
    assert told(project, "042")["."]["cache"] == "refused"
    assert told(project, "042")["."]["read"] == rows_of("").hex()
