"""Light: importing the package, and asking for help, loads nothing heavy, and nothing that is not needed."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

from tuneguard.cli import app, commands

HEAVY = ("torch", "transformers", "cryptography", "rich", "jinja2", "numpy", "sqlite3", "yaml")


NOT_FOR_HELP = {
    "dataclasses", "email", "getpass", "hashlib", "hmac", "importlib.metadata", "ipaddress", "pathlib",
    "secrets", "shlex", "subprocess", "urllib.parse",
}  # fmt: skip
COMMANDS = {f"tuneguard.cli.commands.{found.name}" for found in pkgutil.iter_modules(commands.__path__)}
PROGRAM = {
    "tuneguard", "tuneguard.cli", "tuneguard.cli.app", "tuneguard.cli.commands", "tuneguard.cli.console",
}  # fmt: skip
OPTIONS = {"tuneguard.cli.options", "tuneguard.limits"}


def modules_of(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def loaded_by(code: str) -> set[str]:
    return {name.partition(".")[0] for name in modules_of(code)}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "tuneguard"}


ENTRY_POINT = "import sys\nfrom tuneguard.cli.app import main as start"
AS_A_MODULE = "import runpy, sys\nstart = lambda: runpy.run_module('tuneguard', run_name='__main__')"


def started(how: str, *arguments: str) -> set[str]:
    begin = "try: start()\nexcept SystemExit as end: assert not end.code"
    return modules_of(f"{how}\nsys.argv = ['tuneguard', *{arguments!r}]\n{begin}")


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


@pytest.mark.parametrize("how", [ENTRY_POINT, AS_A_MODULE], ids=["entry point", "python -m"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--version"], PROGRAM),
        (["--help"], PROGRAM | OPTIONS | COMMANDS),
        (["run", "--help"], PROGRAM | OPTIONS | {"tuneguard.cli.commands.run"}),
        (["keygen", "--help"], PROGRAM | OPTIONS | {"tuneguard.cli.commands.keygen"}),
    ],
    ids=["--version", "--help", "run --help", "keygen --help"],
)
def test_help_and_version_load_what_they_say_and_no_more(
    how: str, arguments: list[str], expected: set[str]
) -> None:
    loaded = started(how, *arguments)

    assert ours(loaded) - {"tuneguard.__main__"} == expected
    assert not loaded & NOT_FOR_HELP


def test_python_m_loads_what_the_entry_point_loads_and_what_runs_a_module() -> None:
    running = modules_of("import runpy, pkgutil")
    more = started(AS_A_MODULE, "--help") - started(ENTRY_POINT, "--help")

    assert more <= running | {"tuneguard.__main__"}


def test_the_folder_of_commands_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    listed = pkgutil.iter_modules
    monkeypatch.setattr(pkgutil, "iter_modules", lambda path: reads.append(path) or listed(path))
    app._modules.cache_clear()

    assert app.run(["--help"]) == 0
    assert len(reads) == 1


def test_every_public_name_is_there_and_listed() -> None:
    import tuneguard

    for name in tuneguard.__all__:
        assert getattr(tuneguard, name) is not None
        assert name in dir(tuneguard)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import tuneguard

    with pytest.raises(AttributeError, match="no attribute 'promotee'"):
        tuneguard.promotee  # noqa: B018
