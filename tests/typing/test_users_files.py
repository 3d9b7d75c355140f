"""What a type checker sees of the library, in files of a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api")

GOOD = Path(__file__).with_name("users_file.py")


def checked(*arguments: str) -> tuple[str, int]:
    said, errors, code = api.run(["--strict", "--no-incremental", "--config-file=", *arguments])
    assert not errors, errors
    return said, code


@pytest.mark.slow
def test_a_users_file_is_accepted_with_real_signatures():
    said, code = checked(str(GOOD))

    assert code == 0, said
    shown = [
        line.partition("Revealed type is ")[2].strip('"') for line in said.splitlines() if "Revealed" in line
    ]
    digest, ledger, rotate, files = (each.replace("builtins.", "") for each in shown)
    assert digest.startswith("def (directory: str | pathlib.Path, *, project: tuneguard.project.project")
    assert ledger == "tuneguard.findings.Result[tuneguard.facts.LedgerVerifyFacts]"
    assert files == "int"
    assert "public_key: str | pathlib.Path" in rotate


@pytest.mark.slow
def test_what_does_not_exist_or_does_not_fit_is_refused(tmp_path: Path):
    user = tmp_path / "user.py"
    user.write_text(
        "import tuneguard\n"
        "tuneguard.promot('runs/042', to='oci:registry:v1', run='042')\n"
        "tuneguard.promote('runs/042', too='oci:registry:v1', run='042')\n"
        "tuneguard.digest(42)\n"
        "tuneguard.scan(['model']).verdikt\n"
        "tuneguard.scan(['model']).facts.fyles\n"
    )

    said, code = checked(str(user))

    assert code == 1
    wrong = {int(line.split(":")[1]) for line in said.splitlines() if ": error: " in line}
    assert wrong == {2, 3, 4, 5, 6}, said
    assert 'Module has no attribute "promot"' in said
