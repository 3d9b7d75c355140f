"""Which GPUs a machine has for runs, and what a sandbox is shown of them: on stand-ins, not on a real GPU."""

import contextlib
import json
import os
import socket

import pytest

from tuneguard.errors import UsageError
from tuneguard.sandbox.controls import DEVICES
from tuneguard.sandbox.gpus import offered
from tuneguard.sandbox.state import ControlState
from world import gpus
from world.cage import python
from world.gpus import DRIVER, PART, UUIDS, describe, hold, specification


@pytest.fixture
def build(tmp_path):
    """Stand-ins for a machine, for as long as the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(gpus.machine(tmp_path / "machine", **options))


@pytest.fixture
def machine(build):
    return build()


def cdi(machine, said, name="etc/cdi/nvidia.json"):
    path = machine / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))
    return said


def taken(machine, count=1):
    return offered(machine).take(count, "tuneguard.yaml")


def targets(shown):
    return [device.target for device in shown.edits.devices]


# --- by device nodes ------------------------------------------------------------------------------


def test_a_gpu_is_its_node_those_of_the_driver_and_the_drivers_libraries(machine):
    shown = taken(machine)

    assert targets(shown) == [
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-uvm-tools",
        "/dev/nvidia0",
    ]
    assert shown.edits.environment == {"CUDA_VISIBLE_DEVICES": UUIDS[0]}
    assert [(gpu.uuid, gpu.model, gpu.part) for gpu in shown.gpus] == [(UUIDS[0], "NVIDIA H100 PCIe", False)]
    assert (shown.by, shown.driver, shown.libraries) == ("device nodes", DRIVER, {"libcuda.so.1": DRIVER})
    assert [each.target for each in shown.edits.files] == [gpus.CUDA]


def test_libraries_below_usr_are_shown_with_it(build):
    machine = build(libraries=("/usr/lib/x86_64-linux-gnu/libcuda.so.1",))

    shown = taken(machine)

    assert shown.edits.files == ()
    assert shown.libraries == {"libcuda.so.1": DRIVER}


def test_two_gpus_are_named_by_their_uuids(machine):
    assert taken(machine, 2).edits.environment["CUDA_VISIBLE_DEVICES"] == ",".join(UUIDS)


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (
            lambda root: describe(root, 0, GPU_UUID="GPU-????????-????-????-????-????????????"),
            "run nvidia-smi",
        ),
        (lambda root: describe(root, 0, GPU_Excluded="Yes"), "has no GPU for CUDA"),
        (lambda root: (root / "dev/nvidia0").unlink(), "there is no /dev/nvidia0"),
        (lambda root: (root / "dev/nvidia-uvm").unlink(), "run nvidia-modprobe"),
        (lambda root: (root / "etc/ld.so.cache").unlink(), "install the driver's libraries"),
        (
            lambda root: (root / "proc/driver/nvidia/capabilities/gpu0/mig/gi1").mkdir(parents=True),
            "name its parts by nvidia-ctk cdi generate",
        ),
    ],
)
def test_a_gpu_that_cannot_be_shown_whole_is_none_and_the_mend_is_told(build, spoil, mend):
    machine = build(cards=1)
    spoil(machine)

    with pytest.raises(UsageError, match="asks for 1 GPU, and this machine has none for a run") as caught:
        taken(machine)

    assert mend in caught.value.help


def test_more_gpus_than_there_are_is_a_mistake_in_the_pipeline_file(machine):
    with pytest.raises(UsageError, match="asks for 3 GPUs, and this machine has 2 for a run") as caught:
        taken(machine, 3)

    assert caught.value.problems[0].where == "tuneguard.yaml"


def test_a_machine_without_a_driver_has_none(tmp_path):
    assert offered(tmp_path).gpus == ()


def test_a_gpu_that_nobody_holds_is_taken_first(machine):
    held = hold(machine / "dev/nvidia0")

    assert taken(machine).gpus[0].uuid == UUIDS[1]
    os.close(held)


# --- by a specification ---------------------------------------------------------------------------


def test_a_specification_says_what_belongs_to_a_gpu(machine):
    said = cdi(machine, specification(UUIDS[0], "/dev/nvidia0", "/dev/dri/card0"))

    shown = taken(machine)

    assert targets(shown) == ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0"]
    assert shown.edits.environment == {"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": UUIDS[0]}
    assert shown.edits.left_out == (
        "hooks of /etc/cdi/nvidia.json",
        "/dev/dri/card0, which is no device of CUDA's",
    )
    assert list(shown.specifications) == ["/etc/cdi/nvidia.json"]
    assert len(said["devices"]) == 3
    assert len(offered(machine).gpus) == 1


def test_the_uuid_of_a_gpu_that_is_named_by_its_number_is_the_drivers(machine):
    said = specification("0", "/dev/nvidia1")
    said["devices"] = said["devices"][:1]
    cdi(machine, said)

    assert taken(machine).edits.environment["CUDA_VISIBLE_DEVICES"] == UUIDS[1]


def test_a_part_of_a_gpu_is_named_by_its_own_uuid_and_takes_the_place_of_the_whole(machine):
    caps = ("/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-caps/nvidia-cap13")
    said = specification(PART, "/dev/nvidia0", *caps)
    said["devices"].append({"name": UUIDS[0], "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}})
    cdi(machine, said)

    [gpu] = offered(machine).gpus

    assert (gpu.uuid, gpu.part) == (PART, True)
    assert [path.name for path in gpu.own] == ["nvidia-cap12", "nvidia-cap13"]


def test_a_part_whose_uuid_nobody_tells_is_none(machine):
    said = specification("0:0", "/dev/nvidia0", "/dev/nvidia-caps/nvidia-cap12")
    said["devices"] = [said["devices"][1]]
    cdi(machine, said)

    with pytest.raises(UsageError) as caught:
        taken(machine)

    assert "--device-name-strategy=uuid" in caught.value.help


def test_files_that_the_system_does_not_show_are_mounted_and_sockets_are_left_out(machine):
    icd = machine / "etc/vulkan/icd.d/nvidia_icd.json"
    icd.parent.mkdir(parents=True)
    icd.write_text("{}")
    smi = machine / "usr/bin/nvidia-smi"
    smi.parent.mkdir(parents=True)
    smi.write_text("")
    (machine / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        before = os.getcwd()
        os.chdir(machine / "run")  # the whole path may be too long for a socket
        listening.bind("persistenced")
        os.chdir(before)
    paths = ("/etc/vulkan/icd.d/nvidia_icd.json", "/usr/bin/nvidia-smi", "/run/persistenced")
    mounts = [{"hostPath": path, "containerPath": path, "options": ["ro", "bind"]} for path in paths]
    cdi(machine, specification(UUIDS[0], "/dev/nvidia0", mounts=mounts))

    shown = taken(machine)

    assert [(each.source, each.target) for each in shown.edits.files] == [(icd, paths[0])]
    assert "/run/persistenced, which leads to a process outside" in shown.edits.left_out


def mounting(host, inside):
    return {"mounts": [{"hostPath": host, "containerPath": inside}]}


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        (mounting("/etc/ld.so.cache", "/etc/passwd"), "nothing can be bound at /etc/passwd"),
        (mounting("/etc/ld.so.cache", "/proc/self/x"), "nothing can be bound at /proc/self/x"),
        (mounting("/etc/ld.so.cache", "/inside/data/rows"), "nothing can be bound at /inside/data/rows"),
        (mounting("/etc/ld.so.cache", "/run/tuneguard/x"), "nothing can be bound at /run/tuneguard/x"),
        (mounting("/etc/ld.so.cache", "/usr/bin/env"), "/usr/bin/env is shown as this machine has it"),
        (mounting("/etc", "/opt/everything"), "/etc is not a file"),
        (mounting("/etc/none", "/etc/none"), "/etc/none cannot be shown: no such file"),
        ({"deviceNodes": [{"path": "/dev/nvidia9"}]}, "/dev/nvidia9 is not a device of this machine"),
        ({"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/etc/ld.so.cache"}]}, "is not a device"),
        ({"env": ["LD_PRELOAD=/x.so"]}, "the variable LD_PRELOAD has the loader"),
    ],
)
def test_a_specification_that_cannot_be_followed_is_refused_with_the_reason(machine, edits, why):
    cdi(machine, specification(UUIDS[0], "/dev/nvidia0", **edits))

    with pytest.raises(UsageError, match=why) as caught:
        offered(machine)

    assert caught.value.problems[0].where == "/etc/cdi/nvidia.json"


# --- in the sandbox -------------------------------------------------------------------------------

LOOK = """
import glob
found = {path: [os.major(os.stat(path).st_rdev), os.minor(os.stat(path).st_rdev)]
         for path in glob.glob("/dev/nvidia*") + glob.glob("/dev/nvidia-caps/*") if not os.path.isdir(path)}
say([found, os.environ.get("CUDA_VISIBLE_DEVICES"), open(sys.argv[1]).read() if sys.argv[1:] else None])
"""


def numbers(path):
    return [os.major(os.stat(path).st_rdev), os.minor(os.stat(path).st_rdev)]


@pytest.mark.sandbox
@pytest.mark.parametrize("by", ["nodes", "specification"])
def test_a_sandbox_has_the_gpu_that_it_was_given_and_its_library_and_no_other(backend, machine, by):
    if by == "specification":
        mounts = [{"hostPath": gpus.CUDA, "containerPath": gpus.CUDA, "options": ["ro"]}]
        cdi(machine, specification(UUIDS[0], "/dev/nvidia0", mounts=mounts))
    shown = taken(machine)
    assert shown.gpus[0].uuid == UUIDS[0]

    ran = python(
        backend, LOOK.replace("sys.argv[1:]", "True").replace("sys.argv[1]", repr(gpus.CUDA)), gpus=shown
    )

    found, visible, library = ran.said
    assert found == {device.target: numbers(device.source) for device in shown.edits.devices}
    assert "/dev/nvidia0" in found
    assert "/dev/nvidia1" not in found
    assert visible == UUIDS[0]
    assert library == "a library of the driver"
    control = ran.outcome.control(DEVICES)
    assert "/dev/nvidia0, " in control.how
    assert control.state is (ControlState.PROVEN if shown.why_not_alone() is None else ControlState.WEAKENED)


@pytest.mark.sandbox
def test_a_part_of_a_gpu_is_shown_with_its_capabilities(backend, machine):
    caps = ("/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-caps/nvidia-cap13")
    cdi(machine, specification(PART, "/dev/nvidia0", *caps))

    found, visible, _ = python(backend, LOOK, gpus=taken(machine)).said

    assert set(found) == {"/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", *caps}
    assert visible == PART


@pytest.mark.sandbox
def test_a_gpu_that_another_process_holds_weakens_the_control(backend, machine):
    held = [hold(machine / f"dev/nvidia{number}") for number in range(2)]
    outcome = python(backend, "say(1)", gpus=taken(machine)).outcome
    for each in held:
        os.close(each)

    control = outcome.control(DEVICES)
    assert control.state is ControlState.WEAKENED
    assert f"process {os.getpid()} (" in control.how


@pytest.mark.sandbox
def test_without_gpus_the_control_says_that_there_is_no_device(backend):
    outcome = python(backend, "say(1)").outcome

    assert outcome.control(DEVICES).state is ControlState.PROVEN
    assert outcome.control(DEVICES).how.startswith("no device but null, zero")
