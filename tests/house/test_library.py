"""What the command line does, the library does, in the same words; paths may be plain strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tuneguard
from tuneguard import Verdict
from tuneguard.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return str(folder)


def test_digest_takes_a_path_or_a_text(model: str, tmp_path: Path) -> None:
    assert tuneguard.digest(model) == tuneguard.digest(tmp_path / "model")


def test_scan_takes_one_path_or_several(model: str) -> None:
    assert tuneguard.scan(model).verdict is Verdict.PASSED
    assert tuneguard.scan([model, model]).facts.files == 2


def test_every_function_of_the_library_says_what_is_missing_in_our_own_errors(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside a project, without a policy: a usage error each, from text paths."""
    monkeypatch.chdir(tmp_path)
    seal = {
        "kind": "dataset",
        "name": "n",
        "version": "1",
        "source": "s",
        "license": "l",
        "classification": "c",
    }
    for call in (
        lambda: tuneguard.verify(model, model="m"),
        lambda: tuneguard.sign(model),
        lambda: tuneguard.seal(model, **seal),
        lambda: tuneguard.promote(model, to="oci:r:t", run="1", model="m"),
        lambda: tuneguard.push(model, to="oci:r:t", model="m"),
        lambda: tuneguard.evaluate(model, model="m"),
        lambda: tuneguard.pull("oci:r:t", model + "-new", model="m"),
        lambda: tuneguard.run(run="1"),
        lambda: tuneguard.verify_foreign(model, signature=model + ".sig", public_key=model + ".pub"),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_word_that_the_command_line_would_not_take_is_a_usage_error(model: str, tmp_path: Path) -> None:
    tuneguard.keygen(tmp_path / "some.key", passphrase=None)
    here = tuneguard.Project(key_options={"": str(tmp_path / "some.key")})
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(UsageError, match="rsa is not a type of key"):
        tuneguard.keygen(tmp_path / "other.key", type="rsa", passphrase=None)
    with pytest.raises(UsageError, match="pgp is not a form of signature"):
        tuneguard.sign(model, form="pgp", project=here)
    for purpose in ("deploy", "resume", "release", "integrity"):
        with pytest.raises(UsageError, match=f"{purpose} is not a purpose of verify"):
            tuneguard.verify(model, purpose=purpose, model="m", project=here)

    assert sorted(tmp_path.rglob("*")) == before
