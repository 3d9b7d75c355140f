"""A training that wants devices which it was not given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tuneguard.sandbox.controls import DEVICES, Bind
from tuneguard.sandbox.find import find_backend
from tuneguard.sandbox.gpus import offered
from tuneguard.sandbox.inside import probes
from world import gpus
from world.cage import python
from world.users import as_root

if TYPE_CHECKING:
    from pathlib import Path

    from projects import ProjectFolder

__all__ = ["as_root"]

TRY = """
def open_it(path):
    os.close(os.open(path, os.O_RDWR))
def make(path, number):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*number))
places = ["/dev/shm/made", "/tmp/made", "/inside/out/made"]
say({
    "opened": [attempt(open_it, f"/dev/{name}") for name in ("nvidia0", "nvidiactl", "dri/card0", "mem")],
    "made": [attempt(make, path, number) for path in places for number in ((195, 0), (1, 5))],
    "planted": attempt(open_it, "/inside/out/planted"),
    "seen": sorted(name for name in os.listdir("/dev") if stat.S_ISCHR(os.lstat("/dev/" + name).st_mode)),
})
"""

OTHER = """
def open_it(path):
    os.close(os.open(path, os.O_RDWR))
def make(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(195, 1))
found = {path: attempt(open_it, path) for path in ("/dev/nvidia0", "/dev/nvidia1")}
say([found, attempt(make, "/dev/nvidia1"), attempt(make, "/tmp/nvidia1")])
"""


@pytest.mark.sandbox
def test_attack_a_training_that_asked_for_no_gpu_opens_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()

    said = python(find_backend(), TRY, Bind(out, "/inside/out", writable=True)).said

    assert said["opened"] == ["ENOENT"] * 4
    assert set(said["made"]) == {"EPERM"}
    assert said["seen"] == ["full", "null", "random", "urandom", "zero"]


@pytest.mark.sandbox
@pytest.mark.usefixtures("as_root")
def test_attack_a_device_file_planted_in_a_folder_that_the_training_is_given(tmp_path: Path) -> None:
    """Somebody who was root left a node of a GPU, here of /dev/zero, where the training writes."""
    out = tmp_path / "out"
    out.mkdir()
    os.mknod(out / "planted", 0o020666, os.makedev(1, 5))
    os.chmod(out / "planted", 0o666)

    said = python(find_backend(), TRY, Bind(out, "/inside/out", writable=True)).said

    assert said["planted"] == "EACCES"


@pytest.mark.sandbox
def test_attack_a_training_that_was_given_one_gpu_opens_the_other(tmp_path: Path) -> None:
    with gpus.machine(tmp_path / "machine") as machine:
        ran = python(find_backend(), OTHER, gpus=offered(machine).take(1, ""))

    found, *made = ran.said
    assert found == {"/dev/nvidia0": "possible", "/dev/nvidia1": "ENOENT"}
    assert set(made) <= {"EPERM", "EACCES"}


def test_attack_a_device_that_nobody_asked_for_is_in_the_sandbox() -> None:
    """The trial looks at this machine's own /dev, which has more than a sandbox."""
    with pytest.raises(probes.Broken) as caught:
        probes._devices({"devices": sorted(probes.HARMLESS)})

    assert caught.value.control == DEVICES


def test_attack_the_pipeline_file_names_other_gpus(
    project: ProjectFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project.path / "tuneguard.yaml").read_text()
    project.write(
        "tuneguard.yaml", text.replace("  config:", "  env: {CUDA_VISIBLE_DEVICES: all}\n  config:")
    )

    assert project("run", "--run", "042") == 2

    assert "`CUDA_VISIBLE_DEVICES` is set by Tuneguard" in capsys.readouterr().err
