"""Light: importing the package, and asking for help, loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "cryptography", "rich", "jinja2", "numpy", "sqlite3", "yaml")


def loaded_by(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_importing_tuneguard_loads_nothing_heavy() -> None:
    assert loaded_by("import tuneguard").isdisjoint({*HEAVY, "click", "msgspec"})


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("from tuneguard.cli.app import run\nassert run(['--help']) == 0")

    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("command", ["digest", "promote", "run", "scan", "verify"])
def test_help_of_a_command_loads_no_framework(command: str) -> None:
    loaded = loaded_by(f"from tuneguard.cli.app import run\nassert run(['{command}', '--help']) == 0")

    assert loaded.isdisjoint({"torch", "transformers", "rich", "numpy"})


def test_every_public_name_is_there_and_listed() -> None:
    import tuneguard

    for name in tuneguard.__all__:
        assert getattr(tuneguard, name) is not None
        assert name in dir(tuneguard)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tuneguard

    with pytest.raises(AttributeError, match="no attribute 'promotee'"):
        tuneguard.promotee  # noqa: B018
