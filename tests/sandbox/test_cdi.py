"""CDI files: read as the specification has them, strictly, and never believed from somebody else."""

import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneguard import limits
from tuneguard.errors import CannotLook, ConfigurationError, Refused, TuneguardError
from tuneguard.sandbox.cdi import specifications
from world.gpus import UUIDS, specification

KIND = "nvidia.com/gpu"

# As `nvidia-ctk cdi generate` of NVIDIA's Container Toolkit writes it, shortened
WRITTEN = f"""\
---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidia-modeset
  - path: /dev/nvidiactl
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - args:
    - nvidia-cdi-hook
    - create-symlinks
    - --link
    - libnvidia-allocator.so.1::/usr/lib/x86_64-linux-gnu/gbm/nvidia-drm_gbm.so
    - --link
    - libglxserver_nvidia.so.570.86.15::/usr/lib/xorg/modules/extensions/libglxserver_nvidia.so
    hookName: createContainer
    path: /usr/bin/nvidia-cdi-hook
  mounts:
  - containerPath: /usr/lib/x86_64-linux-gnu/libcuda.so.570.86.15
    hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.570.86.15
    options:
    - ro
    - nosuid
    - nodev
    - bind
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      hostPath: /dev/nvidia0
      type: c
      major: 195
      minor: 0
      fileMode: 438
      permissions: rw
  name: {UUIDS[0]}
kind: nvidia.com/gpu
"""


@pytest.fixture
def put(tmp_path):
    def write(data, name="etc/cdi/nvidia.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def test_what_the_toolkit_writes_is_read(put, tmp_path):
    put(WRITTEN)

    [read] = specifications(KIND, tmp_path)

    assert read.path == "/etc/cdi/nvidia.yaml"
    assert [(device.name, device.container_edits.device_nodes[0].path) for device in read.devices] == [
        (UUIDS[0], "/dev/nvidia0")
    ]
    assert read.edits.mounts[0].host_path.endswith("libcuda.so.570.86.15")
    assert (read.edits.env, len(read.edits.hooks)) == (("NVIDIA_VISIBLE_DEVICES=void",), 1)


def test_json_says_the_same(put, tmp_path):
    put(json.dumps(specification(UUIDS[0], "/dev/nvidia0")), "var/run/cdi/nvidia.json")

    [read] = specifications(KIND, tmp_path)

    assert [device.name for device in read.devices] == ["0", UUIDS[0], "all"]


def test_other_kinds_of_devices_and_other_files_are_none_of_ours(put, tmp_path):
    put("kind: vendor.com/net\nof: another shape\n", "etc/cdi/vendor.yaml")
    put("no specification", "etc/cdi/README.txt")

    assert specifications(KIND, tmp_path) == ()
    assert specifications(KIND, tmp_path / "nowhere") == ()


def test_a_later_folder_comes_later(put, tmp_path):
    put(WRITTEN, "var/run/cdi/a.yaml")
    put(WRITTEN, "etc/cdi/z.yaml")

    assert [each.path for each in specifications(KIND, tmp_path)] == [
        "/etc/cdi/z.yaml",
        "/var/run/cdi/a.yaml",
    ]


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("cdiVersion: 0.5.0", "cdiVersion: 2.0.0", "a version that is not known"),
        ("cdiVersion: 0.5.0\n", "", "missing key `cdiVersion`"),
        ("devices:", "device:", "unknown key `device`"),
        ("- path: /dev/nvidiactl", "- path: dev/nvidiactl", "must be an absolute path"),
        ("- path: /dev/nvidiactl", "- path: /dev/../etc/shadow", "must be an absolute path"),
        ("hostPath: /dev/nvidia0", "hostPath: //dev/nvidia0", "must be an absolute path"),
        ("- NVIDIA_VISIBLE_DEVICES=void", "- NVIDIA_VISIBLE_DEVICES", "must be NAME=VALUE"),
        ("- NVIDIA_VISIBLE_DEVICES=void", '- "A=\\e[2J"', "must be NAME=VALUE"),
        ("type: c", "type: c\n      mode: 1", "unknown key `mode`"),
        ("kind: nvidia.com/gpu", "kind: nvidia.com/gpu\nkind: nvidia.com/gpu", "duplicate key"),
    ],
)
def test_what_is_not_as_the_specification_has_it_is_an_error(put, tmp_path, before, after, fault):
    assert before in WRITTEN
    put(WRITTEN.replace(before, after, 1))

    with pytest.raises(ConfigurationError) as caught:
        specifications(KIND, tmp_path)

    assert any(fault in problem.what for problem in caught.value.problems), caught.value.problems
    assert all("/etc/cdi/nvidia.yaml" in problem.where for problem in caught.value.problems)


@pytest.mark.parametrize("of", ["file", "folder"])
def test_attack_a_cdi_file_that_anybody_can_write(put, tmp_path, of):
    """It names what of the machine a training is shown: somebody's keys, for one."""
    path = put(WRITTEN)
    (path if of == "file" else path.parent).chmod(0o777)

    with pytest.raises(Refused, match="somebody else could have written this CDI file"):
        specifications(KIND, tmp_path)


def test_attack_a_cdi_file_of_another_user(put, tmp_path, as_root):
    os.chown(put(WRITTEN), 61234, 61234)

    with pytest.raises(Refused, match="somebody else could have written this CDI file"):
        specifications(KIND, tmp_path)


def test_attack_a_cdi_file_that_never_ends(put, tmp_path):
    put(b"#" * (limits.CDI_BYTES + 1))
    with pytest.raises(TuneguardError, match="larger than"):
        specifications(KIND, tmp_path)


def test_attack_a_fifo_in_the_place_of_a_cdi_file(put, tmp_path):
    path = put("")
    path.unlink()
    os.mkfifo(path, 0o600)

    with pytest.raises(TuneguardError, match="not a regular file"):
        specifications(KIND, tmp_path)


def test_attack_cdi_files_without_end(put, tmp_path):
    for number in range(limits.CDI_FILES + 1):
        put("kind: vendor.com/x\n", f"etc/cdi/{number}.yaml")

    with pytest.raises(CannotLook, match="more than 100 CDI files"):
        specifications(KIND, tmp_path)


def test_attack_yaml_that_grows_when_it_is_read(put, tmp_path):
    put("a: &a [x, x]\nb: &b [*a, *a]\nkind: *b\n")

    with pytest.raises(ConfigurationError):
        specifications(KIND, tmp_path)


@given(data=st.binary(max_size=200) | st.text(alphabet="kind:-{}[]&*!|> nvidia.com/gpu\n", max_size=200))
def test_whatever_lies_there_is_read_or_is_an_error_of_ours(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cdi") / "etc/cdi"
    folder.mkdir(parents=True)
    for name in ("a.yaml", "a.json"):
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        with contextlib.suppress(TuneguardError):
            assert specifications(KIND, folder.parents[1]) == ()
        (folder / name).unlink()
