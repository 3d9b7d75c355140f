"""docs/sandbox.md: its example runs, and what it names is there."""

import re
from pathlib import Path

import pytest

from tuneguard.limits import LOG_HEAD, LOG_TAIL, OUTPUT_LINE, SHOWN_AT_ONCE, SHOWN_LINES
from tuneguard.sandbox.controls import CONTROLS
from tuneguard.sandbox.find import IN_CONTAINER, OBSTACLES
from tuneguard.sandbox.layout import DEVICES, DROPPED, UID

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")


@pytest.mark.sandbox
def test_the_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    exec(compile(example, "docs/sandbox.md", "exec"), {})


def test_every_obstacle_that_is_known_is_in_the_table_with_its_mend():
    for obstacle in OBSTACLES:
        setting = obstacle.setting.removeprefix("/proc/sys/").replace("/", ".")
        assert f"`{setting}={obstacle.forbids}`" in PAGE
        assert re.findall(r"sudo sysctl \S+", obstacle.mend)[0] in PAGE
    for option in re.findall(r"--security-opt \S+=\w+", IN_CONTAINER.mend):
        assert option in PAGE


def test_the_controls_and_figures_are_those_of_the_code():
    assert re.findall(r"^\| (\w+) \|", PAGE, re.MULTILINE)[-7:] == list(CONTROLS)
    for figure in (
        f"uid {UID} ",
        f"uid {DROPPED}",
        f"{OUTPUT_LINE >> 10} KiB",
        f"{LOG_HEAD >> 20} MiB, the last {LOG_TAIL >> 20} MiB",
        f"{SHOWN_LINES} lines",
        f"{SHOWN_AT_ONCE:,} at",
    ):
        assert figure in PAGE
    for device in DEVICES:
        assert device in PAGE
