"""A wheel: the same bytes from every build, the package and nothing else, one program by either name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--quiet"]
OFFLINE = ["--no-index", "--no-deps"]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Surroundings:
    """What differs from one machine that builds to the next."""

    time_zone: str
    umask: int
    mode: int
    modified: int
    hash_seed: str


HERE = Surroundings("UTC", umask=0o022, mode=0o644, modified=1_000_000_000, hash_seed="1")
ELSEWHERE = Surroundings("Pacific/Chatham", umask=0o077, mode=0o700, modified=1_700_000_001, hash_seed="2")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]


def copy_of_the_checkout(folder: Path, surroundings: Surroundings) -> Path:
    """The tracked files, with these permissions and times."""
    for name in tracked():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod(surroundings.mode)
        os.utime(copy, (surroundings.modified, surroundings.modified))
    return folder


def built(checkout: Path, into: Path, surroundings: Surroundings) -> Path:
    """The one wheel that pip builds from a folder."""
    environment = {**os.environ, "TZ": surroundings.time_zone, "PYTHONHASHSEED": surroundings.hash_seed}
    environment.pop("SOURCE_DATE_EPOCH", None)
    subprocess.run(
        [*PIP, "wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", into, "."],
        cwd=checkout,
        env=environment,
        umask=surroundings.umask,
        check=True,
    )
    [wheel] = into.iterdir()
    return wheel


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_checkout(tmp_path_factory.mktemp("here") / "checkout", HERE)


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(checkout, tmp_path_factory.mktemp("wheel"), HERE)


# --- The file ----------------------------------------------------------------------------------------


def test_a_build_elsewhere_and_later_makes_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """Another folder, time zone, umask, hash seed; files of another time and mode; the rest of a build."""
    other = copy_of_the_checkout(tmp_path / "another folder", ELSEWHERE)
    left = other / "build" / "lib" / "tuneguard" / "gone.py"
    left.parent.mkdir(parents=True)
    left.write_text("a module of an earlier version\n")

    again = built(other, tmp_path / "wheel", ELSEWHERE)

    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_a_source_distribution_makes_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    program = "import sys, reproducible; reproducible.build_sdist(sys.argv[1])"
    source = shutil.copytree(checkout, tmp_path / "source")
    subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        cwd=source,
        env={**os.environ, "PYTHONPATH": "tools"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    [archive] = tmp_path.glob("*.tar.gz")
    subprocess.run([sys.executable, "-m", "tarfile", "-e", archive, tmp_path], check=True)

    again = built(tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "wheel", ELSEWHERE)

    assert again.read_bytes() == wheel.read_bytes()


def test_a_build_leaves_nothing_in_the_checkout(checkout: Path, wheel: Path) -> None:
    assert wheel.is_file()
    there = {path.relative_to(checkout).as_posix() for path in checkout.rglob("*") if path.is_file()}

    assert {name for name in there if "__pycache__" not in name} == set(tracked())


def test_a_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = {name for name in names if name.partition("/")[0].endswith(".dist-info")}

    package = {name.removeprefix("src/") for name in tracked() if name.startswith("src/tuneguard/")}
    assert names - about == package
    assert package >= {"tuneguard/py.typed", "tuneguard/output/templates/report.css"}
    assert {name.partition("/")[2] for name in about} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }


# --- The program -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a new environment: the wheel, and this environment's libraries behind it."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([*PIP, "--python", python, "install", *OFFLINE, wheel], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
    libraries = [entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))]
    Path(found.stdout.strip(), "libraries.pth").write_text("\n".join(libraries) + "\n")
    return python.parent


def called(*words: str | Path, cwd: Path) -> tuple[int, str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_is_installed_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    program = "import tuneguard, click; print(tuneguard.__file__); print(click.__file__)"

    code, out, err = called(installed / "python", "-c", program, cwd=tmp_path)

    assert (code, err) == (0, "")
    ours, theirs = out.splitlines()
    assert Path(ours).is_relative_to(installed.parent)
    assert not Path(theirs).is_relative_to(installed.parent)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["promote", "--help"], 0),
        (["digest", "."], 0),
        (["scan", ".", "--json"], 0),
        ([], 2),
        (["digets"], 2),
        (["digest", "--colour"], 2),
        (["digest", "missing"], 2),
        (["verify", ".", "--model", "m"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_program_and_the_module_say_the_same(
    installed: Path, tmp_path: Path, words: list[str], code: int
) -> None:
    (tmp_path / "config.json").write_text("{}")

    program = called(installed / "tuneguard", *words, cwd=tmp_path)

    assert program == called(installed / "python", "-m", "tuneguard", *words, cwd=tmp_path)
    assert program[0] == code
    assert program[1] or program[2]
    assert "Traceback" not in program[2]


def test_the_version_is_the_wheels(installed: Path, wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]

    assert called(installed / "tuneguard", "--version", cwd=tmp_path) == (
        0,
        f"tuneguard, version {version}\n",
        "",
    )
