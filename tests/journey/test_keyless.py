"""A signer without a key of its own, opened under a role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tuneguard.project.project import Project
from tuneguard.signing import signer
from tuneguard.signing.signers.sigstore import KeylessSigner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("named", ["builder", ""])
def test_a_keyless_signer_has_no_key_that_a_policy_could_have_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    keyless = KeylessSigner(None, None, "sigstore:")
    monkeypatch.setattr(signer, "open_signer", lambda uri, passphrase: keyless)

    assert Project(key_options={named: "sigstore:"}).signer("builder") is keyless
