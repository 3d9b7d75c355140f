"""Runs that ask for GPUs, on stand-ins: what is shown, what the provenance says, and what costs no run id."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from projects import TRAIN

from tuneguard.attest import evidence
from tuneguard.attest.predicates import provenance
from tuneguard.attest.statement import Statement
from tuneguard.project.project import Project
from tuneguard.sandbox import gpus
from tuneguard.sandbox.state import ControlState
from tuneguard.signing.bundle import read_bundle
from tuneguard.training import machine
from world import gpus as stand_ins
from world.gpus import DRIVER, UUIDS, hold, specification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import ProjectFolder

LOOK = (
    "import glob, os; print('shown', sorted(glob.glob('/dev/nvidia?')), os.environ['CUDA_VISIBLE_DEVICES'])\n"
)


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This machine has two GPUs, as far as anybody asks."""
    offered = gpus.offered
    with stand_ins.machine(tmp_path / "machine") as root:
        monkeypatch.setattr(gpus, "offered", lambda: offered(root))
        yield root


@pytest.fixture
def asking(project: ProjectFolder) -> Callable[[int], ProjectFolder]:
    """The project, whose training asks for so many GPUs and says what it sees."""

    def ask(count: int) -> ProjectFolder:
        text = (project.path / "tuneguard.yaml").read_text()
        project.write("tuneguard.yaml", text.replace("{memory: 1Gi}", f"{{memory: 1Gi, gpu: {count}}}"))
        project.write("code/train.py", TRAIN + LOOK)
        return project

    return ask


def allow_what_nobody_can_know(project: ProjectFolder, machine: Path) -> ControlState:
    """Where processes cannot be looked into, one may hold the GPU; so the policy allows for that."""
    shown = gpus.offered().take(1, "")
    if shown.why_not_alone() is None:
        return ControlState.PROVEN
    policy = (project.path / "policy.yaml").read_text()
    [line] = [line for line in policy.splitlines() if line.startswith("controls: ")]
    kept = "" if line == "controls: all" else line.removeprefix("controls: {").removesuffix("}") + ", "
    kept = kept.replace("devices: proven, ", "")
    project.write("policy.yaml", policy.replace(line, f"controls: {{{kept}devices: weakened}}"))
    assert project("policy", "sign", "--quiet") == 0
    return ControlState.WEAKENED


@pytest.mark.sandbox
def test_a_run_is_shown_the_gpu_that_it_asked_for_and_the_provenance_names_it(
    asking: Callable[[int], ProjectFolder], two_gpus: Path
) -> None:
    project = asking(1)
    state = allow_what_nobody_can_know(project, two_gpus)

    assert project("train", "--run", "042", "--quiet") == 0

    log = (project.path / ".tuneguard/runs/042/train.log").read_text()
    assert f"shown ['/dev/nvidia0'] {UUIDS[0]}" in log
    [bundle] = (
        read_bundle(piece.data, piece.name)
        for piece in evidence.read(project.path / "runs/042.evidence")
        if piece.kind == "provenance"
    )
    body = provenance.PREDICATE.read(Statement.decode(bundle.payload, "x"), "x")
    assert body.chosen.resources == provenance.Resources(memory=1 << 30, gpu=1)
    assert body.observed.devices == provenance.Devices(
        shown=(provenance.Device(uuid=UUIDS[0], model="NVIDIA H100 PCIe", kind="whole"),),
        by="device nodes",
        driver=DRIVER,
        libraries={"libcuda.so.1": DRIVER},
    )
    [control] = [each for each in body.observed.controls if each.name == "devices"]
    assert control.state is state


def test_more_gpus_than_there_are_cost_no_run_id(
    asking: Callable[[int], ProjectFolder], two_gpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = asking(3)

    assert project("train", "--run", "042") == 2

    assert "asks for 3 GPUs, and this machine has 2 for a run" in capsys.readouterr().err
    assert not (project.path / "runs").exists()
    assert not (project.path / ".tuneguard/runs/042").exists()


@pytest.mark.sandbox
def test_a_gpu_that_somebody_holds_costs_no_run_id_where_the_policy_wants_it_alone(
    asking: Callable[[int], ProjectFolder], two_gpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = asking(2)

    held = hold(two_gpus / "dev/nvidia1")

    assert project("train", "--run", "042") == 1
    os.close(held)

    said = capsys.readouterr().err
    assert f"process {os.getpid()} (" in said
    assert "isolation controls that this machine cannot prove: devices" in said
    assert not (project.path / ".tuneguard/runs/042").exists()


# --- doctor ---------------------------------------------------------------------------------------


def test_doctor_names_each_gpu_and_what_says_so(two_gpus: Path) -> None:
    found = machine.gpus(Project())

    assert found.state is machine.State.OK
    assert all(f"NVIDIA H100 PCIe {uuid}" in found.found for uuid in UUIDS)
    assert f"by device nodes, driver {DRIVER}" in found.found


def test_doctor_names_the_cdi_file_and_what_stands_in_the_way(two_gpus: Path) -> None:
    said = specification("0", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap12")
    said["devices"] = [{"name": "0:0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}}]
    (two_gpus / "etc/cdi").mkdir()
    (two_gpus / "etc/cdi/nvidia.json").write_text(json.dumps(said))

    found = machine.gpus(Project())
    assert (found.state, "/etc/cdi/nvidia.json" in found.found) == (machine.State.OK, True)

    said["devices"][0]["containerEdits"]["deviceNodes"].append({"path": "/dev/nvidia-caps/nvidia-cap12"})
    (two_gpus / "etc/cdi/nvidia.json").write_text(json.dumps(said))

    found = machine.gpus(Project())
    assert found.state is machine.State.WEAKENED
    assert "--device-name-strategy=uuid" in (found.mend or "")


def test_doctor_on_a_machine_without_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = gpus.offered
    monkeypatch.setattr(gpus, "offered", lambda: offered(tmp_path))

    assert machine.gpus(Project()).state is machine.State.NOT_ASKED
