"""What a run's interpreter is made of, as a stranger would find it with sha256sum."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tuneguard
from tuneguard.training import environment

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(next(iter(tuneguard.__path__))).parent


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_interpreter_is_the_one_that_runs() -> None:
    assert environment.describe()["interpreter"] == sha256(Path(sys.executable).resolve())


def test_every_distribution_is_named_with_the_digest_of_its_record() -> None:
    """As ``sha256sum …/cryptography-*.dist-info/RECORD`` prints it."""
    import cryptography

    site = Path(cryptography.__path__[0]).parent
    [record] = site.glob("cryptography-*.dist-info/RECORD")

    found = environment.describe()["distributions"]

    assert found["cryptography"] == {"version": cryptography.__version__, "record": sha256(record)}
    records = {sha256(path) for path in site.glob("*.dist-info/RECORD")}
    assert records <= {item["record"] for item in found.values()}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An environment of its own: its interpreter, and its site-packages."""
    root = tmp_path_factory.mktemp("venv")
    venv.create(root, with_pip=False)
    [site] = root.glob("lib/python*/site-packages")
    parts = [str(SOURCE), *(folder for folder in sys.path if folder.endswith("site-packages"))]
    (site / "borrowed.pth").write_text("".join(f"{part}\n" for part in parts))
    return root / "bin/python", site


@pytest.fixture
def described(other: tuple[Path, Path]) -> Callable[[], dict[str, Any]]:
    def describe() -> dict[str, Any]:
        program = (
            "import json; from tuneguard.training import environment as e; print(json.dumps(e.describe()))"
        )
        done = subprocess.run([other[0], "-c", program], capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    return describe


@pytest.mark.parametrize(
    "name",
    ["planted.pth", "sitecustomize.py", "usercustomize.py", "sitecustomize/__init__.py"],
)
def test_attack_code_planted_where_every_program_begins(
    other: tuple[Path, Path], described: Callable[[], dict[str, Any]], name: str
) -> None:
    """Nothing of the run's own changes; what Python runs before it does, and the provenance shows that."""
    before = described()["startup"]
    planted = other[1] / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text("import sys\n")

    after = described()["startup"]

    assert after == before | {str(planted): sha256(planted)}
    planted.unlink()
    if planted.parent != other[1]:
        for left in sorted(planted.parent.rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()
        planted.parent.rmdir()
    assert described()["startup"] == before


def test_attack_a_distribution_changed_after_it_was_installed_with_its_record(
    other: tuple[Path, Path], described: Callable[[], dict[str, Any]]
) -> None:
    info = other[1] / "helper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Helper\nVersion: 1.0\n")
    (info / "RECORD").write_bytes(b"helper.py,sha256=aaaa,10\r\n")
    before = described()["distributions"]["helper"]

    (info / "RECORD").write_bytes(b"helper.py,sha256=bbbb,10\r\n")

    assert before == {"version": "1.0", "record": hashlib.sha256(b"helper.py,sha256=aaaa,10\r\n").hexdigest()}
    assert described()["distributions"]["helper"]["record"] == sha256(info / "RECORD")
